from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemochat.errors import ImageError
from nemochat.images import decode_data_uri
from nemochat.images.decode import MAX_BYTES


@given(st.binary(min_size=1, max_size=200), st.sampled_from(["png", "jpeg", "svg+xml", "vnd.microsoft.icon", "WEBP"]))
def test_round_trip(content: bytes, subtype: str) -> None:
    assert decode_data_uri(f" data:image/{subtype};base64,{base64.b64encode(content).decode()}\n") == content


@pytest.mark.parametrize(
    "text",
    [
        "",
        "data:",
        "https://example.org/a.png",
        "data:text/plain;base64,aGk=",
        "data:image/png,aGk=",
        "data:image/png;charset=x;base64,aGk=",
        "data:image/;base64,aGk=",
        "data:image/png;base64,aGk",
        "data:image/png;base64,aG k=",
        "data:image/png;base64,aGk=\x00",
        "data:image/png;base64,aGk=é",
        "data:image/png;base64,",
        "data:image/png;base64,a-_=",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ImageError):
        decode_data_uri(text)


def test_too_long_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(ImageError, match="larger than 100 MiB"):
        decode_data_uri("data:image/png;base64," + "A" * (MAX_BYTES // 3 * 4 + 8))
