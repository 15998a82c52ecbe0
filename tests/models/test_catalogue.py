from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from nemochat.errors import ModelFileError, NemochatError
from nemochat.models import Catalogue, ModelFiles, inspect
from nemochat.models.catalogue import DEMO, DEMO_NAME, OwnSettings
from nemochat.models.naming import typed_name
from nemochat.settings import SamplingSettings
from tests.models import raw_gguf as raw

GUID_F16 = "0BAEDD5C-F2CA-49AA-9892-621C40030D12"
GUID_Q4 = "0BAEDD5C-F2CA-49AA-9892-621C40030D13"


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return Catalogue(tmp_path / "data" / "nemochat" / "models.json")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    return folder


def stored(tmp_path: Path) -> Path:
    return tmp_path / "data" / "nemochat" / "models.json"


def nvigi_folder(parent: Path, guid: str, model: str) -> Path:
    folder = parent / guid
    folder.mkdir(parents=True)
    raw.write_model(folder / model, {"general.name": (raw.STRING, "minitron")})
    raw.write_mmproj(folder / "mmproj-model-f16.gguf")
    (folder / "nvigi.model.config.json").write_text(json.dumps({"vram": 4000, "n_layers": 33, "prompt_template": ["$user"]}))
    return folder


def test_the_demo_pair_is_always_there(catalogue: Catalogue) -> None:
    assert catalogue.entries() == (DEMO,)
    assert catalogue.default() == catalogue.get(DEMO_NAME) == DEMO
    assert DEMO.is_builtin
    assert Path(DEMO.model_path).parent.name == "demo"


def test_a_model_alone(catalogue: Catalogue, files: Path) -> None:
    entry = catalogue.add(raw.write_model(files / "m.gguf"))
    assert entry.files == ModelFiles("raw-model", files / "m.gguf", None)
    assert catalogue.get("raw-model") == catalogue.entries()[1] == entry
    assert catalogue.default() == DEMO


@pytest.mark.parametrize("projector", ["mmproj-F16.gguf", "m.mmproj.gguf", "vision.gguf"])
@pytest.mark.parametrize("as_folder", [False, True])
def test_a_projector_beside_the_model_is_found(catalogue: Catalogue, files: Path, projector: str, as_folder: bool) -> None:
    model, mmproj = raw.write_model(files / "m.gguf"), raw.write_mmproj(files / projector)
    (files / "readme.txt").write_text("x")
    (files / "sub.gguf").mkdir()
    assert catalogue.add(files if as_folder else model).files == ModelFiles("raw-model", model, mmproj)
    assert catalogue.resolve(str(files if as_folder else model)) == ModelFiles("m", model, mmproj)


def test_a_projector_of_another_model_is_left_alone(catalogue: Catalogue, files: Path) -> None:
    raw.write_mmproj(files / "mmproj-other.gguf", text_width=96)
    assert catalogue.add(raw.write_model(files / "m.gguf")).mmproj_path is None


def test_a_folder_whose_projector_does_not_fit_says_so(catalogue: Catalogue, files: Path) -> None:
    raw.write_mmproj(files / "mmproj.gguf", text_width=96)
    raw.write_model(files / "m.gguf")
    with pytest.raises(ModelFileError, match="language model of width 96"):
        catalogue.add(files)


def test_several_projectors(catalogue: Catalogue, files: Path) -> None:
    model = raw.write_model(files / "m.gguf")
    raw.write_mmproj(files / "mmproj-a.gguf")
    chosen = raw.write_mmproj(files / "mmproj-b.gguf")
    with pytest.raises(ModelFileError, match=r"mmproj-a\.gguf, mmproj-b\.gguf") as caught:
        catalogue.add(model)
    assert "--mmproj" in caught.value.hint
    assert catalogue.add(model, chosen).mmproj_path == str(chosen)
    assert catalogue.resolve(str(model), chosen).mmproj_path == chosen


def test_several_models_in_a_folder(catalogue: Catalogue, files: Path) -> None:
    for name in ("a.gguf", "b.gguf"):
        raw.write_model(files / name)
    with pytest.raises(ModelFileError, match=r"holds 2 models: a\.gguf, b\.gguf"):
        catalogue.add(files)


@pytest.mark.parametrize(
    ("guid", "model", "name"),
    [(GUID_F16, "minitron.gguf", "nemovision-4b-instruct-fp16"), (GUID_Q4, "minitron-Q4_0.gguf", "nemovision-4b-instruct-q4_0")],
)
def test_nvigi_folders(catalogue: Catalogue, files: Path, guid: str, model: str, name: str) -> None:
    folder = nvigi_folder(files, guid, model)
    assert catalogue.add(folder).files == ModelFiles(name, folder / model, folder / "mmproj-model-f16.gguf")
    assert catalogue.resolve(str(folder)).name == name


def test_the_folder_above_both_nvigi_folders_asks_which(catalogue: Catalogue, files: Path) -> None:
    nvigi_folder(files, GUID_F16, "minitron.gguf")
    nvigi_folder(files, GUID_Q4, "minitron-Q4_0.gguf")
    with pytest.raises(ModelFileError, match=f"{GUID_F16}, {GUID_Q4}") as caught:
        catalogue.add(files)
    assert caught.value.hint == "Name one of these folders."


def test_folders_without_a_model(catalogue: Catalogue, files: Path) -> None:
    with pytest.raises(ModelFileError, match=r"holds no \.gguf model"):
        catalogue.add(files)
    raw.write_mmproj(files / "mmproj.gguf")
    with pytest.raises(ModelFileError, match="holds a projector for pictures but no model"):
        catalogue.add(files)


def test_a_bad_file_is_not_added(catalogue: Catalogue, files: Path, tmp_path: Path) -> None:
    (files / "bad.gguf").write_bytes(b"GGUF" + bytes(40))
    for path in (files / "bad.gguf", files / "missing.gguf", files / ("x" * 5000)):
        with pytest.raises(ModelFileError):
            catalogue.add(path)
    assert not stored(tmp_path).exists()


def test_names_are_unique_and_can_be_typed(catalogue: Catalogue, files: Path) -> None:
    hostile = "\x1b[31mMy  Model (v2)!" + "x" * 300
    names = [catalogue.add(raw.write_model(files / f"{i}.gguf", {"general.name": (raw.STRING, hostile)})).name for i in range(3)]
    base = names[0]
    assert base.startswith("31mmy-model-v2-xxx")
    assert names == [base, f"{base}-f16", f"{base}-f16-2"]
    demo = catalogue.add(raw.write_model(files / "d.gguf", {"general.name": (raw.STRING, "Nemochat Demo")}))
    assert demo.name == "nemochat-demo-f16"
    assert len(Catalogue(catalogue._path).entries()) == 5
    assert not catalogue.notices


@pytest.mark.parametrize("name", ["", "東京", "...", "-"])
def test_there_is_always_a_name(catalogue: Catalogue, files: Path, name: str) -> None:
    assert catalogue.add(raw.write_model(files / "東.gguf"), name=name or "?").name == "model"


def test_adding_again_updates_the_entry(catalogue: Catalogue, files: Path) -> None:
    model = raw.write_model(files / "m.gguf")
    catalogue.add(model)
    catalogue.use("raw-model")
    mmproj = raw.write_mmproj(files / "mmproj.gguf")
    assert catalogue.add(model).files == ModelFiles("raw-model", model, mmproj)
    assert catalogue.add(model, name="Mine").name == "mine"
    assert [entry.name for entry in catalogue.entries()] == [DEMO_NAME, "mine"]
    assert catalogue.default().name == "mine"


def test_use_is_remembered(catalogue: Catalogue, files: Path) -> None:
    catalogue.add(raw.write_model(files / "m.gguf"))
    assert catalogue.use("raw-model").name == "raw-model"
    again = Catalogue(catalogue._path)
    assert again.default().name == again.resolve().name == "raw-model"
    assert again.use(DEMO_NAME) == again.default() == DEMO


def test_unknown_names(catalogue: Catalogue, files: Path) -> None:
    catalogue.add(raw.write_model(files / "m.gguf"))
    with pytest.raises(ModelFileError, match="There is no model called raw-mdel") as caught:
        catalogue.resolve("raw-mdel")
    assert caught.value.hint == "Did you mean raw-model?"
    with pytest.raises(ModelFileError) as caught:
        catalogue.use("\x1b[2J")
    assert "\x1b" not in caught.value.message
    with pytest.raises(ModelFileError, match="There is no model called"):
        catalogue.resolve("x" * 5000)


NAMES = {
    "SmolLM2-135M-Instruct.Q4_1.gguf": ("Smollm2 135M 8k Lc100K Mix1 Ep2", "smollm2-135m-instruct"),
    "gemma-3-270m-q4_k_m.gguf": ("Gemma 3 270m", "gemma-3-270m"),
    "Qwen2.5-VL-3B-Instruct-UD-Q4_K_XL.gguf": ("Qwen2.5 VL 3B Instruct", "qwen2.5-vl-3b-instruct"),
    "Meta-Llama-3.1-8B-Instruct-IQ2_XXS-00001-of-00003.gguf": ("models", "meta-llama-3.1-8b-instruct"),
    "ggml-model-f16.gguf": ("MiniCPM V 2.6", "minicpm-v-2.6"),
    "model-Q8_0.gguf": ("Tiny Chat Q8_0", "tiny-chat"),
    "sha256-2bada8a7450677000f678be90653b85d364de7db25eb5ea54136ada5f3933730": ("Llama 3.2 1B", "llama-3.2-1b"),
    "tiny.gguf": ("Tiny Chat 1M", "tiny-chat-1m"),
    "phi-4.BF16.gguf": ("", "phi-4"),
    "Q4_K_M.gguf": ("Some Model", "some-model"),
}


@pytest.mark.parametrize("file", NAMES)
def test_a_model_is_called_what_a_person_would_type(file: str) -> None:
    said, name = NAMES[file]
    assert typed_name(Path("/models") / file, said or Path(file).stem) == name


def test_a_model_is_found_by_what_is_typed_of_its_name_or_its_file(catalogue: Catalogue, files: Path) -> None:
    small = catalogue.add(raw.write_model(files / "SmolLM2-135M-Instruct.Q4_1.gguf"))
    large = catalogue.add(raw.write_model(files / "SmolLM2-1.7B-Instruct.Q4_1.gguf"))
    whole = ("smollm2-135m-instruct", "SmolLM2-135M-Instruct.Q4_1.gguf", "smollm2-135m-instruct.q4_1")
    for typed in (*whole, "SmolLM2-135M", "smollm2 135", " SMOLLM2-13"):
        assert catalogue.get(typed) == small
        assert catalogue.resolve(typed).model_path == Path(small.model_path)
    assert catalogue.use("smollm2-1.7b") == large
    with pytest.raises(ModelFileError, match=r"smollm2 may be smollm2-135m-instruct or smollm2-1\.7b-instruct") as caught:
        catalogue.use("smollm2")
    assert caught.value.hint == "Write more of the name."
    for nothing in ("", "  ", "-", "東"):
        with pytest.raises(ModelFileError, match="There is no model called"):
            catalogue.get(nothing)
    catalogue.add(raw.write_model(files / "m.gguf"), name="smollm2")
    assert catalogue.get("smollm2").model_path == str(files / "m.gguf")


def test_two_quantisations_of_one_model_are_told_apart(catalogue: Catalogue, files: Path) -> None:
    names = [catalogue.add(raw.write_model(files / f"Chat-1B-{kind}.gguf")).name for kind in ("Q4_K_M", "F16")]
    assert names == ["chat-1b", "chat-1b-f16"]
    assert [catalogue.get(f"Chat-1B-{kind}.gguf").name for kind in ("Q4_K_M", "F16")] == names


def test_what_is_set_for_one_model_stays_with_it(catalogue: Catalogue, files: Path) -> None:
    model = raw.write_model(files / "chat-1b.gguf")
    catalogue.add(model)
    assert catalogue.resolve("chat").own == OwnSettings()
    catalogue.set("chat", "picture_tokens", "512")
    catalogue.set("chat", "format", "nemotron")
    catalogue.set("chat", "temperature", "0.5")
    again = Catalogue(catalogue._path)
    assert again.resolve("chat-1b").own == again.resolve(str(model)).own == OwnSettings("nemotron", 512)
    assert again.add(model).settings == {"picture_tokens": 512, "format": "nemotron", "temperature": 0.5}
    assert again.set("chat", "picture_tokens", "").settings == {"format": "nemotron", "temperature": 0.5}


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("picture_tokens", "many", "picture_tokens is 'many', which is not allowed"),
        ("picture_tokens", "-1", "picture_tokens is '-1', which is not allowed"),
        ("picture_tokens", "70000", "picture_tokens is '70000', which is not allowed"),
        ("temperature", "11", "temperature is '11', which is not allowed"),
        ("\x1b[2J", "1", "There is no setting"),
        ("stop", "x", "There is no setting stop"),
    ],
)
def test_what_cannot_be_set(catalogue: Catalogue, files: Path, key: str, value: str, message: str) -> None:
    catalogue.add(raw.write_model(files / "chat-1b.gguf"))
    with pytest.raises(NemochatError, match=message) as caught:
        catalogue.set("chat", key, value)
    assert caught.value.message.isprintable()
    assert catalogue.get("chat").settings == {}


def test_a_removed_model_is_forgotten_and_its_files_stay(catalogue: Catalogue, files: Path) -> None:
    model = raw.write_model(files / "chat-1b.gguf")
    catalogue.add(model)
    catalogue.use("chat")
    assert catalogue.remove("chat-1b.gguf").name == "chat-1b"
    assert catalogue.entries() == (DEMO,)
    assert catalogue.default() == DEMO
    assert model.exists()
    with pytest.raises(ModelFileError, match="is built in"):
        catalogue.remove(DEMO_NAME)


def split(folder: Path, count: int = 3, **changes: int) -> list[Path]:
    """A model in parts: all metadata and no tensor in the first."""
    tensors = list(raw.text_tensors().items())
    share = -(-len(tensors) // (count - 1))
    paths = []
    for number in range(count):
        about = {"split.no": number, "split.count": count, "split.tensors.count": len(tensors)} | changes
        metadata = (raw.text_metadata() if number == 0 else {}) | {key: (raw.U32, value) for key, value in about.items()}
        path = folder / f"big-{number + 1:05}-of-{count:05}.gguf"
        paths.append(raw.write(path, metadata, dict(tensors[(number - 1) * share : number * share]) if number else {}))
    return paths


def test_a_split_model_is_added_by_its_first_part(catalogue: Catalogue, files: Path) -> None:
    parts = split(files)
    entry = catalogue.add(parts[0])
    assert entry.files == ModelFiles("big", parts[0], None)
    card, whole = inspect(parts[0]), inspect(raw.write_model(files.parent / "whole.gguf"))
    assert (card.parameters, card.weights_bytes) == (whole.parameters, whole.weights_bytes)
    assert card.file_bytes == sum(part.stat().st_size for part in parts)
    assert catalogue.add(files).model_path == str(parts[0])
    mmproj = raw.write_mmproj(files / "mmproj.gguf")
    assert catalogue.add(parts[0]).mmproj_path == str(mmproj)


def test_what_is_wrong_with_parts(catalogue: Catalogue, files: Path) -> None:
    parts = split(files)
    with pytest.raises(ModelFileError, match="is part 2 of a model") as caught:
        catalogue.add(parts[1])
    assert caught.value.hint == "Name its first part: big-00001-of-00003.gguf."
    catalogue.add(parts[0])
    parts[2].rename(files / "elsewhere")
    with pytest.raises(ModelFileError, match=r"There is no such model file: .*big-00003-of-00003\.gguf"):
        catalogue.add(parts[0])
    with pytest.raises(ModelFileError, match=r"is not there: .*big-00003-of-00003\.gguf"):
        catalogue.resolve("big")
    raw.write_model(parts[2])
    with pytest.raises(ModelFileError, match="is no part of the same model"):
        catalogue.add(parts[0])
    with pytest.raises(ModelFileError, match="its name does not say so"):
        catalogue.add(parts[0].rename(files / "renamed.gguf"))
    wrong = files / "wrong"
    wrong.mkdir()
    with pytest.raises(ModelFileError, match="do not go together"):
        catalogue.add(split(wrong, **{"split.tensors.count": 99})[0])


def test_names_win_over_files_and_mmproj_over_the_entry(
    catalogue: Catalogue, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue.add(raw.write_model(files / "m.gguf"))
    monkeypatch.chdir(tmp_path)
    raw.write_model(tmp_path / "raw-model")
    other = raw.write_mmproj(tmp_path / "other-projector.gguf")
    assert catalogue.resolve("raw-model", Path("other-projector.gguf")) == ModelFiles("raw-model", files / "m.gguf", other)
    assert catalogue.resolve("./raw-model").model_path == tmp_path / "raw-model"


def test_files_that_are_gone(catalogue: Catalogue, files: Path) -> None:
    raw.write_mmproj(files / "mmproj.gguf")
    catalogue.add(raw.write_model(files / "m.gguf"))
    (files / "mmproj.gguf").unlink()
    with pytest.raises(ModelFileError, match=r"A file of the model raw-model is not there: .*mmproj\.gguf") as caught:
        catalogue.resolve("raw-model")
    assert "models add" in caught.value.hint
    with pytest.raises(ModelFileError, match="is not there"):
        catalogue.resolve(str(files / "other.gguf"))


BROKEN = [
    b"",
    b"{",
    b"[]",
    b"\xff\xfe",
    b'{"models": 3}',
    b'{"models": [{"name": "a"}]}',
    b'{"models": [{"name": "\\u001b[2J", "model_path": "/x"}]}',
    b'{"models": [{"name": "a", "model_path": "/x"}, {"name": "a", "model_path": "/y"}]}',
    b'{"models": [{"name": "nemochat-demo", "model_path": "/x"}]}',
    b"[" * 100_000,
]


@pytest.mark.parametrize("content", BROKEN, ids=range(len(BROKEN)))
def test_a_broken_list_is_kept_aside(catalogue: Catalogue, files: Path, tmp_path: Path, content: bytes) -> None:
    stored(tmp_path).parent.mkdir(parents=True)
    for number in (1, 2):
        stored(tmp_path).write_bytes(content)
        assert catalogue.entries() == (DEMO,)
        kept = stored(tmp_path).with_name(f"models.json.broken-{number}")
        assert kept.read_bytes() == content
        assert str(kept) in catalogue.notices[-1]
    assert catalogue.notices[-1].isprintable()
    catalogue.add(raw.write_model(files / "m.gguf"))
    assert len(catalogue.entries()) == 2


def test_unknown_fields_of_a_later_version_are_no_damage(catalogue: Catalogue, tmp_path: Path) -> None:
    stored(tmp_path).parent.mkdir(parents=True)
    stored(tmp_path).write_text('{"default": "gone", "models": [], "future": 1}')
    assert catalogue.default() == DEMO
    assert catalogue.notices == ()


def test_saving_leaves_nothing_behind_and_says_when_it_fails(catalogue: Catalogue, files: Path, tmp_path: Path) -> None:
    catalogue.add(raw.write_model(files / "m.gguf"))
    assert [path.name for path in stored(tmp_path).parent.iterdir()] == ["models.json"]
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a folder should be")
    with pytest.raises(ModelFileError, match="cannot be"):
        Catalogue(blocked / "models.json").add(files / "m.gguf")


def test_a_failed_write_keeps_the_old_list(catalogue: Catalogue, files: Path, tmp_path: Path) -> None:
    catalogue.add(raw.write_model(files / "m.gguf"))
    before = stored(tmp_path).read_bytes()
    shutil.move(stored(tmp_path), files / "models.json")
    stored(tmp_path).mkdir()  # os.replace cannot put a file over a folder
    (stored(tmp_path) / "x").touch()
    with pytest.raises(ModelFileError):
        catalogue.add(files / "m.gguf")
    assert [path.name for path in stored(tmp_path).parent.iterdir()] == ["models.json"]
    assert (files / "models.json").read_bytes() == before


def test_the_sampling_of_a_model_stays_with_it(tmp_path: Path, catalogue: Catalogue, files: Path) -> None:
    """By its name and by its path, and when its file is added again; what is not allowed is said by its name."""
    model = raw.write_model(files / "m.gguf")
    catalogue.add(model)

    def put(settings: dict[str, object]) -> None:
        content = json.loads(stored(tmp_path).read_text())
        content["models"][0]["settings"] = settings
        stored(tmp_path).write_text(json.dumps(content))

    put({"temperature": 0, "top_k": 20, "format": "auto"})
    catalogue.add(model)
    wanted = SamplingSettings(temperature=0.0, top_k=20)
    assert catalogue.get("raw-model").settings == {"temperature": 0, "top_k": 20, "format": "auto"}
    assert [catalogue.resolve(each).sampling for each in ("raw-model", str(model))] == [wanted, wanted]
    assert catalogue.resolve(DEMO_NAME).sampling == SamplingSettings()
    put({"temperature": 11})
    with pytest.raises(ModelFileError, match=r"A setting of the model raw-model is not allowed: Expected `float` <= 10.0.*temperature"):
        catalogue.resolve("raw-model")
