"""Which devices settings mean: as llama.cpp would choose, and one sentence with those that are there where they mean others."""

from __future__ import annotations

from typing import Any

import pytest

from nemochat.domain.devices import Device, chosen
from nemochat.errors import SettingsError
from nemochat.settings import EngineSettings, parse_setting

BIG = Device("CUDA0", "RTX 4090", "gpu", 24_000, 20_000, "0000:01:00.0")
SMALL = Device("CUDA1", "RTX 3060", "gpu", 12_000, 11_000, "0000:02:00.0")
AGAIN = Device("Vulkan0", "RTX 4090", "gpu", 24_000, 20_000, "0000:01:00.0")
WITHIN = Device("Vulkan1", "UHD 770", "igpu", 64_000, 0)
ALL = (BIG, SMALL, AGAIN, WITHIN)


@pytest.mark.parametrize(
    ("wanted", "devices", "names"),
    [
        ({}, ALL, "CUDA0 CUDA1"),
        ({}, (WITHIN,), "Vulkan1"),
        ({}, (), ""),
        ({"device": "cpu"}, ALL, ""),
        ({"device": " CPU "}, ALL, ""),
        ({"gpu_layers": 0}, ALL, ""),
        ({"device": "vulkan1"}, ALL, "Vulkan1"),
        ({"device": "CUDA1, CUDA0, cuda1"}, ALL, "CUDA1 CUDA0"),
        ({"main_gpu": 1}, ALL, "CUDA1"),
        ({"main_gpu": 1, "device": "Vulkan1,Vulkan0"}, ALL, "Vulkan0"),
        ({"tensor_split": (3.0, 0.0)}, ALL, "CUDA0 CUDA1"),
        ({"tensor_split": (3.0, 1.0), "device": "cpu"}, (), ""),
    ],
)
def test_those_that_are_meant(wanted: dict[str, Any], devices: tuple[Device, ...], names: str) -> None:
    assert " ".join(device.name for device in chosen(EngineSettings(**wanted), devices)) == names


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"device": "CUDA7"}, "There is no device CUDA7 here."),
        ({"device": "CUDA7", "gpu_layers": 0}, "There is no device CUDA7 here."),
        ({"device": "CUDA0,"}, "There is no device without a name here."),
        ({"device": "cpu,CUDA0"}, "device is cpu,CUDA0: cpu cannot stand beside others."),
        ({"device": "\x1b[31mCUDA0"}, "There is no device "),
        ({"main_gpu": 2}, "main_gpu is 2, counted from 0, and there is no such device."),
        ({"tensor_split": (1.0,)}, "tensor_split (1) must have one part for each device that takes layers."),
        ({"tensor_split": (1.0, 2.5, 3.0)}, "tensor_split (1, 2.5, 3) must have one part for each device that takes layers."),
        ({"tensor_split": (0.0, 0.0)}, "tensor_split leaves nothing to any device"),
        ({"tensor_split": (1.0, 1.0), "main_gpu": 0}, "main_gpu puts all layers on one device"),
    ],
)
def test_others_are_refused_in_a_sentence_that_names_those_that_are_there(wanted: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        chosen(EngineSettings(**wanted), (BIG, SMALL))
    assert caught.value.message.startswith(says)
    assert "\x1b" not in caught.value.message
    assert caught.value.hint in ("There are CUDA0 (RTX 4090), CUDA1 (RTX 3060) and the processor (cpu).", "Set one of the two.")


@pytest.mark.parametrize("wanted", [{"device": "CUDA0"}, {"main_gpu": 0}, {"tensor_split": (1.0, 1.0)}])
def test_a_build_for_the_processor_says_so(wanted: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as caught:
        chosen(EngineSettings(**wanted), ())
    assert caught.value.hint == "The processor (cpu) is all that this build of llama.cpp can use here; see `nemochat doctor`."


@pytest.mark.parametrize("text", ["3, 1", "3,1", "[3, 1]", "[3.0,1]"])
def test_a_split_is_typed_as_people_write_it(text: str) -> None:
    assert parse_setting("engine.tensor_split", text) == (3.0, 1.0)


@pytest.mark.parametrize("text", ["-1, 2", "3 1", "3, x", "nan", "1e400", "[3", "3:1"])
def test_a_split_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_setting("engine.tensor_split", text)
    assert caught.value.hint == "Allowed: a list, each a number at least 0 and at most 1000000."
