"""Settings: documented groups, each value checked when read. Passed down by the command line; nothing below it reads them by itself."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec

from nemochat.errors import SettingsError


class KvType(StrEnum):
    """How the KV cache is stored. q8_0 halves its memory and needs flash attention."""

    F16 = "f16"
    Q8_0 = "q8_0"


class EngineSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings that matter for memory and speed.

    context_length: tokens of the window; 0 or more than the file's own limit means the file's limit.
    gpu_layers: layers on the GPU; -1 is all of them, 0 none. threads: 0 is one per physical core,
    and one alone for a model under 50 million parameters, which more only slow down. batch: tokens evaluated at once.
    kv_type: storage of the KV cache. flash_attention: needed by q8_0. mmap: None maps the file only when layers go to a GPU,
    because on a CPU the repacked weights would be held twice. image_cache_mb: bound on cached image embeddings.
    hang_seconds: an engine that does not answer for this long is stopped and started again.
    """

    context_length: Annotated[int, msgspec.Meta(ge=0, le=1_048_576)] = 4096
    gpu_layers: Annotated[int, msgspec.Meta(ge=-1)] = 0
    threads: Annotated[int, msgspec.Meta(ge=0, le=1024)] = 0
    batch: Annotated[int, msgspec.Meta(ge=1, le=8192)] = 512
    kv_type: KvType = KvType.Q8_0
    flash_attention: bool = True
    mmap: bool | None = None
    image_cache_mb: Annotated[int, msgspec.Meta(ge=0)] = 256
    hang_seconds: Annotated[float, msgspec.Meta(gt=0)] = 20.0


class SamplingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How replies are made unless a request says otherwise; the fields are those of `nemochat.domain.sampling.Sampling`."""

    temperature: Annotated[float, msgspec.Meta(ge=0, le=10)] = 0.0
    top_k: Annotated[int, msgspec.Meta(ge=0)] = 40
    top_p: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.95
    min_p: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.05
    repeat_penalty: Annotated[float, msgspec.Meta(gt=0, le=10)] = 1.0
    repeat_last_n: Annotated[int, msgspec.Meta(ge=0)] = 64
    seed: Annotated[int, msgspec.Meta(ge=0, le=4_294_967_295)] | None = None
    max_tokens: Annotated[int, msgspec.Meta(ge=1)] = 512
    stop: tuple[str, ...] = ()


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that config.toml may hold. model: a name or a path; empty means the one chosen with `nemochat models use`."""

    model: str = ""
    engine: EngineSettings = EngineSettings()
    sampling: SamplingSettings = SamplingSettings()


_PREFIX = "NEMOCHAT_"
_GROUPS: dict[str, type[EngineSettings] | type[SamplingSettings]] = {"engine": EngineSettings, "sampling": SamplingSettings}


def load_settings(file: Path, environment: Mapping[str, str], overrides: Mapping[str, Mapping[str, object]]) -> Settings:
    """Settings in force: `overrides` (the command line, by group) over the environment over the file over the defaults.

    The environment spells a setting ``NEMOCHAT_ENGINE_THREADS`` or ``NEMOCHAT_SAMPLING_TEMPERATURE``; lists are JSON.
    The file need not exist. Raises SettingsError naming the file or the variable, the key and what is allowed.
    """
    settings = _read(file)
    if model := environment.get(f"{_PREFIX}MODEL"):
        settings = msgspec.structs.replace(settings, model=model)
    for group, kind in _GROUPS.items():
        changes = _from_environment(group, kind, environment) | dict(overrides.get(group, {}))
        settings = msgspec.structs.replace(settings, **{group: msgspec.structs.replace(getattr(settings, group), **changes)})
    return settings


def _read(file: Path) -> Settings:
    try:
        return msgspec.toml.decode(file.read_bytes(), type=Settings)
    except FileNotFoundError:
        return Settings()
    except OSError as error:
        raise SettingsError(f"The settings in {file} cannot be read: {error.strerror}.") from error
    except msgspec.ValidationError as error:
        problem, _, path = str(error).partition(" - at `$.")
        key = path.rstrip("`")
        where = f"{file}: {key}: " if key else f"{file}: "
        raise SettingsError(f"{where}{_plain(problem)}.", _hint(problem, key)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} is not a valid TOML file: {error}.", "Correct it, or move it away to use the defaults.") from error


def _from_environment(group: str, kind: type[EngineSettings] | type[SamplingSettings], environment: Mapping[str, str]) -> dict[str, object]:
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    prefix = f"{_PREFIX}{group.upper()}_"
    values: dict[str, object] = {}
    for variable in sorted(name for name in environment if name.startswith(prefix)):
        name = variable.removeprefix(prefix).lower()
        text = environment[variable].strip()
        if name not in fields:
            raise SettingsError(f"{variable} is not a setting of nemochat.", f"Settings of this group: {', '.join(fields)}.")
        try:
            raw = msgspec.json.decode(text) if text.startswith("[") else text
            values[name] = msgspec.convert(raw, fields[name].type, strict=False)
        except msgspec.MsgspecError as error:
            raise SettingsError(f"{variable} is {text!r}, which is not allowed.", f"Allowed: {_allowed(fields[name].type)}.") from error
    return values


def _plain(problem: str) -> str:
    return problem.replace("`", "").replace("Object contains unknown field", "no such setting:")


def _hint(problem: str, key: str) -> str:
    """What is allowed at this key of the file, or the settings that there are when the key itself is unknown."""
    group, _, name = key.partition(".")
    kind: type[msgspec.Struct] = _GROUPS.get(group, Settings)
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    name = name.split("[")[0] if group in _GROUPS else group
    if "unknown field" in problem or name not in fields:
        return f"There are: {', '.join(fields)}."
    return f"Allowed: {_allowed(fields[name].type)}."


def _allowed(kind: object) -> str:
    """A type with its bounds, in words."""
    return _in_words(msgspec.inspect.type_info(kind))


def _in_words(kind: msgspec.inspect.Type) -> str:
    match kind:
        case msgspec.inspect.IntType() | msgspec.inspect.FloatType():
            name = "a whole number" if isinstance(kind, msgspec.inspect.IntType) else "a number"
            bounds = [("at least", kind.ge), ("more than", kind.gt), ("at most", kind.le), ("less than", kind.lt)]
            return f"{name} {' and '.join(f'{word} {bound}' for word, bound in bounds if bound is not None)}".rstrip()
        case msgspec.inspect.BoolType():
            return "true or false"
        case msgspec.inspect.EnumType():
            return " or ".join(member.value for member in kind.cls)
        case msgspec.inspect.UnionType():
            return ", or ".join(_in_words(each) for each in kind.types if not isinstance(each, msgspec.inspect.NoneType))
        case msgspec.inspect.VarTupleType():
            return f"a list, each {_in_words(kind.item_type)}"
        case _:
            return "text"
