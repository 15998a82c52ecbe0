from __future__ import annotations

import os
import struct
import time
import tracemalloc
from pathlib import Path

import gguf as reference
import pytest
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType, LlamaFileType
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nemochat.domain.sanitize import sanitize
from nemochat.errors import ModelFileError
from nemochat.models import gguf
from nemochat.models.card import inspect
from nemochat.models.ggml_types import FILE_TYPES, TENSOR_TYPES
from tests.models import raw_gguf as raw
from tests.tiny_gguf import write_language_model, write_projector

VOCABULARY = 64_000


@pytest.fixture(scope="module")
def tiny_pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("pair")
    return write_language_model(folder / "model.gguf"), write_projector(folder / "mmproj.gguf")


@pytest.mark.parametrize("index", [0, 1])
def test_reads_what_the_gguf_package_reads(tiny_pair: tuple[Path, Path], index: int) -> None:
    path = tiny_pair[index]
    header, expected = gguf.read(path), reference.GGUFReader(path)
    contents = {key: field.contents() for key, field in expected.fields.items() if not key.startswith("GGUF.")}
    assert header.metadata.keys() == contents.keys()
    for key, content in contents.items():
        if isinstance(content, list):
            assert header.length(key) == len(content)
        if header.metadata[key] != gguf.SkippedArray(header.length(key)):
            assert header.metadata[key] == (tuple(content) if isinstance(content, list) else content)
    found = header.tensors.values()
    assert [(tensor.name, tensor.shape, tensor.type.name, header.data_start + tensor.offset, tensor.n_bytes) for tensor in found] == [
        (tensor.name, tuple(int(side) for side in tensor.shape), tensor.tensor_type.name, int(tensor.data_offset), int(tensor.n_bytes))
        for tensor in expected.tensors
    ]


def test_tensor_and_file_types_agree_with_the_gguf_package() -> None:
    assert {int(kind): (kind.name, *GGML_QUANT_SIZES[kind]) for kind in GGMLQuantizationType} == TENSOR_TYPES
    names = {int(kind): kind.name.removeprefix("MOSTLY_").removeprefix("ALL_").removesuffix("_MOE") for kind in LlamaFileType}
    assert {number: name for number, name in names.items() if name != "GUESSED"} == FILE_TYPES


def test_version_2_and_every_scalar_type(tmp_path: Path) -> None:
    values: dict[str, raw.Typed] = {
        "u8": (0, 200), "i8": (1, -3), "u16": (2, 60_000), "i16": (3, -9), "u32": (4, 2**32 - 1), "i32": (5, -7), "f32": (6, 0.5),
        "bool": (7, True), "text": (8, "ä"), "u64": (10, 2**64 - 1), "i64": (11, -(2**60)), "f64": (12, 0.1), "list": (9, (11, (1, -1))),
    }  # fmt: skip
    header = gguf.read(raw.write(tmp_path / "a.gguf", values, {}, version=2))
    assert header.version == 2
    assert header.metadata == {key: value[1] if isinstance(value, tuple) else value for key, (_, value) in values.items()}


def test_a_big_vocabulary_is_skipped(tmp_path: Path) -> None:
    metadata: dict[str, raw.Typed] = raw.text_metadata(vocabulary=VOCABULARY) | {
        "tokenizer.ggml.scores": (raw.ARRAY, (raw.F32, (0.0,) * VOCABULARY)),
        "tokenizer.ggml.merges": (raw.ARRAY, (raw.STRING, ("a b",) * VOCABULARY)),
    }
    path = raw.write(tmp_path / "a.gguf", metadata, raw.text_tensors(vocabulary=VOCABULARY))
    tracemalloc.start()
    header = gguf.read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert header.metadata["tokenizer.ggml.tokens"] == gguf.SkippedArray(VOCABULARY)
    assert header.length("tokenizer.ggml.scores") == VOCABULARY
    assert header.text("tokenizer.chat_template") == "{{ messages }}"
    assert peak < 200 * VOCABULARY


def test_metadata_is_sanitised(tmp_path: Path) -> None:
    hostile = "\x1b]52;c;aGk=\x07Nice\x9b6n\r\nname\u202e"
    metadata = dict.fromkeys(("general.name", "general.license", "x.\x1b[2J"), (raw.STRING, hostile))
    path = raw.write(tmp_path / "a.gguf", raw.text_metadata() | metadata, raw.text_tensors())
    header = gguf.read(path)
    assert not any(mark in str(header.metadata) for mark in ("\x1b", "\\x1b", "\\x9b", "\\x07"))
    card = inspect(path)
    assert card.name == card.licence == "]52;c;aGk=Nice6n name"


def test_bad_utf8_is_replaced(tmp_path: Path) -> None:
    content, _ = raw.header({"general.name": (raw.STRING, "AB")}, {})
    (tmp_path / "a.gguf").write_bytes(content.replace(b"AB", b"\xff\xc3"))
    assert gguf.read(tmp_path / "a.gguf").text("general.name") == "��"


def patched(tmp_path: Path, **changes: object) -> Path:
    """A header with one figure replaced by an absurd one."""
    values: dict[str, object] = {"version": 3, "tensors": 1, "metadata": 1, "key": 1, "kind": raw.U32}
    values |= {"dimensions": 1, "side": 32, "type": 0, "offset": 0}
    values |= changes
    content = b"GGUF" + struct.pack("<IQQ", values["version"], values["tensors"], values["metadata"])
    content += struct.pack("<Q", values["key"]) + b"k" + struct.pack("<II", values["kind"], 0)
    content += struct.pack("<Q", 1) + b"t" + struct.pack("<IQIQ", values["dimensions"], values["side"], values["type"], values["offset"])
    path = tmp_path / "patched.gguf"
    path.write_bytes(content + bytes(4096))
    return path


def test_the_patched_file_is_sound_when_nothing_is_changed(tmp_path: Path) -> None:
    assert gguf.read(patched(tmp_path)).tensors["t"].n_bytes == 128


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": 1}, "GGUF version 1"),
        ({"version": 4}, "GGUF version 4"),
        ({"version": 3 << 24}, "big-endian"),
        ({"tensors": 2**63}, "announces 9,223,372,036,854,775,808 tensors"),
        ({"metadata": 2**40}, "metadata entries"),
        ({"key": 2**62}, "a text of 4,611,686,018,427,387,904 bytes"),
        ({"kind": 77}, "an unknown type of value"),
        ({"dimensions": 0}, "0 dimensions"),
        ({"dimensions": 9}, "9 dimensions"),
        ({"side": 0}, "impossible shape"),
        ({"side": 2**63}, "impossible shape"),
        ({"side": 2**40}, "cut short"),
        ({"type": 5}, "unknown type (5)"),
        ({"type": 2, "side": 33}, "rows of 33 values"),
        ({"offset": 32}, "not where the one before it ends"),
    ],
)
def test_absurd_figures(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    tracemalloc.start()
    with pytest.raises(ModelFileError) as caught:
        gguf.read(patched(tmp_path, **changes))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert words in caught.value.message
    assert caught.value.hint
    assert peak < 1_000_000


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"general.alignment": (raw.U32, 0)}, "its alignment is 0"),
        ({"general.alignment": (raw.U32, 48)}, "its alignment is 48"),
        ({"general.alignment": (raw.STRING, "x")}, "its alignment is no number"),
        ({"a": (raw.ARRAY, (raw.ARRAY, ((raw.U32, ()),)))}, "an array of arrays"),
        ({"a": (raw.ARRAY, (99, ()))}, "an unknown type of value (99)"),
    ],
)
def test_absurd_metadata(tmp_path: Path, metadata: dict[str, raw.Typed], words: str) -> None:
    with pytest.raises(ModelFileError) as caught:
        gguf.read(raw.write(tmp_path / "a.gguf", metadata, {}))
    assert words in caught.value.message


@pytest.mark.parametrize(("length", "words"), [(2_000_000, "a list of 2,000,000 texts"), (10**9, "header is larger than any model's")])
def test_an_endless_list_in_a_sparse_file_is_refused_at_once(tmp_path: Path, length: int, words: str) -> None:
    content, _ = raw.header({"a": (raw.ARRAY, (raw.STRING, ()))}, {})
    content = content[: content.rindex(struct.pack("<IQ", raw.STRING, 0))] + struct.pack("<IQ", raw.STRING, length)
    path = tmp_path / "a.gguf"
    path.write_bytes(content)
    os.truncate(path, 10**12)
    with pytest.raises(ModelFileError, match=words):
        gguf.read(path)


def test_the_same_key_or_tensor_twice(tmp_path: Path) -> None:
    content, _ = raw.header({"aa": (raw.U32, 1), "bb": (raw.U32, 2)}, {})
    (tmp_path / "a.gguf").write_bytes(content.replace(b"bb", b"aa"))
    with pytest.raises(ModelFileError, match="the metadata key aa comes twice"):
        gguf.read(tmp_path / "a.gguf")
    content, n_data = raw.header({}, {"tt": ((8,), "F32"), "uu": ((8,), "F32")})
    (tmp_path / "b.gguf").write_bytes(content.replace(b"uu", b"tt") + bytes(n_data))
    with pytest.raises(ModelFileError, match="the tensor tt comes twice"):
        gguf.read(tmp_path / "b.gguf")


def test_a_file_cut_short_says_how_many_bytes_are_missing(tiny_pair: tuple[Path, Path], tmp_path: Path) -> None:
    whole = tiny_pair[0].read_bytes()
    end = max(tensor.offset + tensor.n_bytes for tensor in gguf.read(tiny_pair[0]).tensors.values()) + gguf.read(tiny_pair[0]).data_start
    path = tmp_path / "cut.gguf"
    path.write_bytes(whole[: end - 1234])
    with pytest.raises(ModelFileError, match="is cut short: 1,234 of") as caught:
        gguf.read(path)
    assert caught.value.hint == "Download the file again."
    for percent in range(100):
        path.write_bytes(whole[: len(whole) * percent // 100])
        with pytest.raises(ModelFileError):
            gguf.read(path)


def test_what_is_no_gguf_file(tmp_path: Path) -> None:
    (tmp_path / "empty.gguf").touch()
    (tmp_path / "text.gguf").write_text("hello")
    (tmp_path / "short.gguf").write_bytes(b"GG")
    os.mkfifo(tmp_path / "pipe.gguf")
    for path, words in [
        (tmp_path / "empty.gguf", "is empty"),
        (tmp_path / "text.gguf", "is not a GGUF file"),
        (tmp_path / "short.gguf", "is not a GGUF file"),
        (tmp_path / "pipe.gguf", "is a named pipe, not a file"),
        (tmp_path, "is a folder, not a file"),
        (tmp_path / "missing.gguf", "There is no such model file"),
        (tmp_path / ("x" * 5000), "cannot be read"),
        (tmp_path / "a\0b", "cannot be read"),
    ]:
        with pytest.raises(ModelFileError) as caught:
            gguf.read(path)
        assert words in caught.value.message


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.booleans(), st.data())
def test_flipped_and_cut_files_are_read_or_refused(
    tiny_pair: tuple[Path, Path], tmp_path: Path, flip_projector: bool, data: st.DataObject
) -> None:
    """Whatever happens to a file, `inspect` answers with a card or with a sentence, in little time and memory."""
    original = tiny_pair[1 if flip_projector else 0]
    content = bytearray(original.read_bytes())
    header_end = gguf.read(original).data_start
    for _ in range(data.draw(st.integers(0, 6))):
        content[data.draw(st.integers(0, header_end - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content))) :]
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(content)
    tracemalloc.start()
    started = time.process_time()
    try:
        answer = inspect(tiny_pair[0], broken).name if flip_projector else inspect(broken, tiny_pair[1]).name
    except ModelFileError as error:
        answer = error.message
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert 0 < len(answer) < 600
    assert sanitize(answer, strict=True) == answer
    assert peak < 20_000_000
    assert time.process_time() - started < 10
