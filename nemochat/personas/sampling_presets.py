"""Sampling by name: presets in a folder, a readable TOML file each, and those of SillyTavern and KoboldAI with their own names for it.

What such a file says and has no meaning here is named, and all of the file is kept for the next export.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from nemochat.domain.personas import PersonaSampling
from nemochat.domain.sampling import in_words
from nemochat.domain.sanitize import sanitize, shown
from nemochat.errors import NemochatError, UsageError
from nemochat.files import export_file, free_name, make_folder, reason, write_whole
from nemochat.personas import files
from nemochat.personas.cleaning import clean_json, one_line
from nemochat.personas.files import MAX_NAME, MAX_NODES, MAX_TOML, Unreadable
from nemochat.personas.store import slug
from nemochat.personas.toml_text import toml_string
from nemochat.reading import check_json, check_toml, listed, member, tables
from nemochat.settings import SamplingSettings
from nemochat.system import disk

_MAX_JSON = 4 << 20
_DELETED = "deleted"
_WHOLE_WINDOW = 1_000_000
_MOST_NAMED = 12
_ENDLESS = 1e15
"""What is as large, or infinite, is no number that anything is set to."""
# Our name, theirs (text completion; KoboldAI and chat completion where they differ).
_NUMBERS = {
    "temperature": ("temp", "temperature"),
    "top_k": ("top_k",),
    "top_p": ("top_p",),
    "min_p": ("min_p",),
    "typical_p": ("typical_p", "typical"),
    "top_n_sigma": ("nsigma", "top_n_sigma"),
    "repeat_penalty": ("rep_pen", "repetition_penalty"),
    "repeat_last_n": ("rep_pen_range", "repetition_penalty_range"),
    "presence_penalty": ("presence_pen", "presence_penalty"),
    "frequency_penalty": ("freq_pen", "frequency_penalty"),
    "dry_multiplier": ("dry_multiplier",),
    "dry_base": ("dry_base",),
    "dry_allowed_length": ("dry_allowed_length",),
    "dry_penalty_last_n": ("dry_penalty_last_n",),
    "xtc_probability": ("xtc_probability",),
    "xtc_threshold": ("xtc_threshold",),
    "dynatemp_exponent": ("dynatemp_exponent",),
    "mirostat": ("mirostat_mode", "mirostat"),
    "mirostat_tau": ("mirostat_tau",),
    "mirostat_eta": ("mirostat_eta",),
    "max_tokens": ("genamt", "openai_max_tokens"),
    "seed": ("seed",),
}
_OTHERS = ("dynatemp", "min_temp", "max_temp", "dry_sequence_breakers", "banned_tokens", "logit_bias", "do_sample", "stopping_strings")
# What belongs to a stage, without which it says nothing.
_PARTS = {
    "dry_multiplier": ("dry_base", "dry_allowed_length", "dry_penalty_last_n", "dry_sequence_breakers"),
    "xtc_probability": ("xtc_threshold",),
    "dynatemp_range": ("dynatemp_exponent",),
    "mirostat": ("mirostat_tau", "mirostat_eta"),
}
# Where a field that has no meaning here does nothing anyway; other fields do not change what is written.
_NEUTRAL: dict[str, tuple[object, ...]] = {
    "top_a": (0,), "tfs": (1,), "epsilon_cutoff": (0,), "eta_cutoff": (0,), "no_repeat_ngram_size": (0,), "penalty_alpha": (0,),
    "num_beams": (0, 1), "smoothing_factor": (0,), "guidance_scale": (1,), "negative_prompt": ("",), "grammar_string": ("",),
    "grammar": ("",), "json_schema": ({}, None, ""), "encoder_rep_pen": (1,), "skew": (0,), "min_length": (0,), "ban_eos_token": (False,),
    "ignore_eos_token": (False,), "rep_pen_decay": (0,), "length_penalty": (1,), "prompts": ([],), "adaptive_target": (-1, -0.01, 0),
}  # fmt: skip


_Read = list[tuple[Path, "Preset"]]


class Preset(msgspec.Struct, frozen=True):
    """Sampling with a name. original: the file of another program that it came from."""

    name: str
    sampling: SamplingSettings = SamplingSettings()
    original: dict[str, Any] = {}

    def over(self, sampling: SamplingSettings | None) -> SamplingSettings:
        """In the place of what a chat asks for; its seed and whether to think stay, as far as the preset does not speak of them."""
        stays = [field for field in ("seed", "think") if getattr(self.sampling, field) is None]
        return msgspec.structs.replace(self.sampling, **{field: getattr(sampling, field, None) for field in stays})


class ForeignPreset(msgspec.Struct, frozen=True):
    """A preset as it was read. meaningless: what it says and has no meaning here, in a few words each."""

    preset: Preset
    meaningless: tuple[str, ...] = ()


def is_foreign_preset(root: Mapping[str, Any]) -> bool:
    """Whether the fields of a JSON file are a preset of SillyTavern's (text or chat completion) or KoboldAI's."""
    if "tail_free_sampling" in root or "content" in root:
        return False
    heat = "temp" in root or ("temperature" in root and ("chat_completion_source" in root or "openai_max_tokens" in root))
    return heat and any(key in root for key in ("top_p", "top_k", "rep_pen"))


def from_foreign(root: Mapping[str, Any], name: str) -> ForeignPreset:
    """The preset of another program. Raises `Unreadable`."""
    values = {ours: found for ours, theirs in _NUMBERS.items() if (found := _number(root, theirs)) is not None}
    lost: list[str] = []
    if values.get("seed", -1) < 0:
        values.pop("seed", None)
    if values.get("max_tokens", 1) < 1:
        values.pop("max_tokens")
    # 0 is as far back as there is anything.
    if values.get("repeat_last_n") == 0:
        values["repeat_last_n"] = _WHOLE_WINDOW
    if values.get("dry_penalty_last_n") == 0:
        values["dry_penalty_last_n"] = -1
    wanted: dict[str, Any] = dict(values)
    low, high = _number(root, ("min_temp",)), _number(root, ("max_temp",))
    wanted["dynatemp_range"] = 0.0
    if root.get("dynatemp") is True and low is not None and high is not None and high > low >= 0:
        wanted |= {"temperature": round((low + high) / 2, 6), "dynatemp_range": round((high - low) / 2, 6)}
    if root.get("do_sample") is False:
        wanted["temperature"] = 0.0
    wanted["dry_sequence_breakers"] = _texts(root.get("dry_sequence_breakers"))
    banned, ids = _banned(root.get("banned_tokens"))
    bias = {str(each["text"]): each["value"] for each in tables(root, "logit_bias") if "text" in each and "value" in each}
    wanted |= {"banned_strings": banned, "logit_bias": bias, "stop": _texts(root.get("stopping_strings"))}
    for switch, parts in _PARTS.items():
        if not wanted.get(switch):
            wanted = {field: value for field, value in wanted.items() if field not in parts}
    is_greedy = wanted.get("temperature") == 0
    allowed: dict[str, Any] = {}
    for field, value in wanted.items():
        if value in ((), {}):
            continue
        try:
            allowed[field] = getattr(msgspec.convert({field: value}, SamplingSettings, strict=False), field)
        except msgspec.ValidationError:
            if not is_greedy:
                lost.append(f"{field} {str(value)[:20]}")
    lost += [key for key, off in _NEUTRAL.items() if key in root and root[key] not in off]
    if ids:
        lost.append("banned tokens by their numbers")
    original: dict[str, Any] = clean_json(dict(root), [MAX_NODES])
    return ForeignPreset(Preset(one_line(name, "name", MAX_NAME), SamplingSettings(**allowed), original), tuple(lost))


def to_json(preset: Preset) -> str:
    """The preset in SillyTavern's form (text completion), with everything that the file it came from said."""
    known = {field: value for field, value in msgspec.structs.asdict(preset.sampling).items() if value not in (None, "auto")}
    root = dict(preset.original)
    back = from_foreign(preset.original, preset.name).preset.sampling if preset.original else SamplingSettings()
    for field, value in known.items():
        if getattr(back, field) == value:  # as it came
            continue
        if field in _NUMBERS:
            root[next((name for name in _NUMBERS[field] if name in root), _NUMBERS[field][0])] = value
        elif field == "dynatemp_range":
            heat = known.get("temperature", 1.0)
            root |= {"dynatemp": value > 0, "min_temp": round(max(0.0, heat - value), 6), "max_temp": round(heat + value, 6)}
        elif field == "dry_sequence_breakers":
            root[field] = json.dumps(list(value), ensure_ascii=False)
        elif field == "banned_strings":
            root["banned_tokens"] = "\n".join(f'"{each}"' for each in value)
        elif field == "logit_bias":
            root[field] = [{"text": text, "value": bias} for text, bias in value.items()]
        elif field == "stop":
            root["stopping_strings"] = list(value)
    return json.dumps(root, ensure_ascii=False, indent=4, allow_nan=False) + "\n"


def said_by(sampling: SamplingSettings) -> str:
    """What sampling says, on one line: "temperature 1.5, min_p 0.1"."""
    said = {field: value for field, value in msgspec.structs.asdict(sampling).items() if value is not None}
    return ", ".join(f"{field} {in_words(field, value)}" for field, value in said.items())


def for_persona(sampling: SamplingSettings) -> PersonaSampling:
    """The same as a persona asks for it; what only a chat has (seed, stop, think) is left out."""
    wanted = msgspec.structs.asdict(sampling)
    return PersonaSampling(**{field: wanted[field] for field in PersonaSampling.__struct_fields__})


def write_toml(preset: Preset) -> str:
    """The preset as TOML; `read_toml` gives the same again."""
    import tomlkit

    document = tomlkit.document()
    document.add(tomlkit.comment("How replies are made, by name: /preset, or `nemochat presets`."))
    document["name"] = preset.name
    said = {field: value for field, value in msgspec.structs.asdict(preset.sampling).items() if value is not None}
    document["sampling"] = {field: list(value) if isinstance(value, tuple) else value for field, value in said.items()}
    text = tomlkit.dumps(document)
    if not preset.original:
        return text
    kept = toml_string(json.dumps(preset.original, ensure_ascii=False, allow_nan=False))
    return f"{text}\n# The preset of another program that it came from, for the next export.\n[original]\njson = {kept}\n"


class _Original(msgspec.Struct, forbid_unknown_fields=True):
    json: str = "{}"


class _File(msgspec.Struct, forbid_unknown_fields=True):
    name: str = ""
    sampling: SamplingSettings = SamplingSettings()
    original: _Original = msgspec.field(default_factory=_Original)


def read_toml(text: str, name: str) -> Preset:
    """A preset from TOML; `name` is the file's, for messages and for a preset that names none. Raises NemochatError."""
    try:
        check_toml(text)
        read = msgspec.toml.decode(text.removeprefix("\ufeff"), type=_File)
        check_json(read.original.json)
        original = json.loads(read.original.json)
        called = one_line(read.name or Path(name).stem, "name", MAX_NAME)
        if not called or not isinstance(original, dict):
            raise Unreadable("it has no name" if not called else "what it keeps of another program is none of its files")
    except (Unreadable, RecursionError, ValueError) as error:
        problem = sanitize(str(error), strict=True)[:200].rstrip(".")
        raise NemochatError(f"{shown(name)} cannot be read as a preset: {problem}.", "Correct it in an editor.") from None
    return Preset(called, read.sampling, original)


class PresetStore:
    """The presets in a folder, which need not exist yet. notices: sentences about files that the last `list` could not use."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.notices: tuple[str, ...] = ()

    def list(self) -> tuple[Preset, ...]:
        """All presets, by name."""
        return tuple(sorted((preset for _, preset in self._read()), key=lambda each: each.name.casefold()))

    def find(self, name: str) -> Preset:
        """The preset of that name, or the only one whose name begins so; case does not matter. Raises NemochatError."""
        every, wanted = self.list(), name.strip().casefold()
        same = [each for each in every if each.name.casefold() == wanted]
        found = same or [each for each in every if wanted and each.name.casefold().startswith(wanted)]
        if len(found) == 1:
            return found[0]
        said = sanitize(name, strict=True)[:100]
        if found:
            raise NemochatError(f"Several presets are called like {said}: {_some(found)}.", "Write more of the name.")
        raise NemochatError(f"There is no preset {said}.", f"There are: {_some(every)}." if every else "/preset save NAME makes one.")

    def save(self, preset: Preset) -> None:
        """Keep a preset, in the place of the one of that name. Raises NemochatError."""
        name = preset.name.strip()
        if not name or one_line(name, "name", 1_000)[:MAX_NAME] != name:
            raise NemochatError("A preset needs a name of one line.", "/preset save NAME")
        here = {each.name.casefold(): path for path, each in self._read()}
        data = write_toml(msgspec.structs.replace(preset, name=name)).encode()
        if len(data) > MAX_TOML:
            raise NemochatError(f"The preset {name} cannot be saved: it is larger than {MAX_TOML >> 20} MiB.")
        with files.saving(f"The preset {name}"):
            if path := here.get(name.casefold()):
                write_whole(path, data, by_hand=True)
            else:
                self._write_new(slug(name), data)

    def remove(self, name: str) -> tuple[str, Path]:
        """Take a preset away; its whole name, and where it lies now. Raises NemochatError."""
        found = self.find(name)
        path = next(path for path, each in self._read() if each.name == found.name)
        with files.saving("The change"):
            make_folder(self._folder / _DELETED)
            target = free_name(self._folder / _DELETED / path.name)
            disk.move(path, target)
        return found.name, target

    def export(self, name: str, path: Path) -> None:
        """Write a preset as TOML, or as JSON in SillyTavern's form. Raises UsageError and NemochatError."""
        preset = self.find(name)
        writes = {".toml": write_toml, ".json": to_json}.get(path.suffix.lower())
        if writes is None:
            raise UsageError(f"{shown(path)}: the name of an exported preset ends with .toml or .json.")
        with files.saving(shown(path)):
            files.write_new(path, writes(preset).encode())

    def _read(self) -> _Read:
        found: _Read = []
        problems: list[str] = []
        paths: list[Path] = []
        try:
            paths = sorted(each for each in self._folder.iterdir() if each.suffix == ".toml" and not each.name.startswith("."))
        except OSError as error:
            if not isinstance(error, FileNotFoundError):
                problems.append(f"The presets in {shown(self._folder)} cannot be listed ({reason(error)}).")
        for path in paths:
            try:
                found.append((path, read_toml(files.read(path, MAX_TOML).decode("utf-8", "replace"), path.name)))
            except NemochatError as error:
                problems.append(error.message)
        self.notices = tuple(problems)
        return found

    def _write_new(self, stem: str, data: bytes) -> None:
        """Raises OSError."""
        make_folder(self._folder)
        while True:
            with contextlib.suppress(FileExistsError):  # another program was quicker
                export_file(free_name(self._folder / f"{stem}.toml"), data)
                return


def read_foreign_file(data: bytes, name: str) -> ForeignPreset:
    """The preset in a JSON file of another program. Raises NemochatError."""
    said = shown(name)
    if len(data) > _MAX_JSON:
        raise NemochatError(f"{said} is larger than {_MAX_JSON >> 20} MiB.", "No preset needs as much.")
    try:
        check_json(data)
        root = json.loads(data.decode("utf-8-sig", "replace"), strict=False)
        # A backup of SillyTavern's has several kinds of presets in one file.
        root = root.get("preset", root) if isinstance(root, dict) and "temp" not in root else root
        if not isinstance(root, dict) or not is_foreign_preset(root):
            raise Unreadable("it holds no sampling")
        return from_foreign(root, (member(root, str, "name") or "").strip() or Path(name).stem)
    except (Unreadable, ValueError, RecursionError) as problem:
        why = str(problem) if isinstance(problem, Unreadable) else "it is no JSON that can be read"
        raise NemochatError(f"{said} cannot be read as a preset: {why}.") from None


def _some(presets: Iterable[Preset]) -> str:
    names = [each.name for each in presets]
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"{', '.join(names[:_MOST_NAMED])}{more}"


def _number(root: Mapping[str, Any], names: Iterable[str]) -> float | None:
    for name in names:
        value = root.get(name)
        if isinstance(value, str):
            with contextlib.suppress(ValueError):
                value = float(value)
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _ENDLESS:
            return int(value) if float(value).is_integer() else value
    return None


def _texts(value: object) -> tuple[str, ...]:
    """A list of texts, or the JSON of one."""
    if isinstance(value, str) and value.strip():
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return ()
    return tuple(sanitize(each) for each in listed(value) if isinstance(each, str))


def _banned(value: object) -> tuple[tuple[str, ...], bool]:
    """What is banned as text, and whether something is by the numbers of its tokens, which another model does not share."""
    lines = [line.strip() for line in (member(value, str) or "").splitlines() if line.strip()]
    texts = [line for line in lines if not (line.startswith("[") and line.endswith("]"))]
    plain = (text[1:-1] if len(text) > 2 and text[0] == text[-1] == '"' else text for text in texts)
    return tuple(map(sanitize, plain)), len(texts) < len(lines)
