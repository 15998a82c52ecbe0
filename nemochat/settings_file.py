"""Writing the settings: one value at a time, comments kept, never a torn file. Reading them where a broken file must not stop the start."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from nemochat.domain.sampling import Layers, Source
from nemochat.domain.sanitize import sanitize
from nemochat.errors import SettingsError
from nemochat.files import reason, set_aside, write_whole
from nemochat.reading import TooLargeError, read_regular
from nemochat.settings import GROUPS, MAX_BYTES, SamplingSettings, Settings, decode_settings, in_force, variable_of

if TYPE_CHECKING:
    import tomlkit

COMMAND_LINE = str(Source.COMMAND_LINE)


def write_setting(file: Path, key: str, value: object) -> None:
    """Put one setting ("model", "interface.theme", "keys.chat.send") into the file; None takes it out, so that its default holds.

    Comments and order stay. The file is replaced at once: of two writers the last one wins, and a reader never sees half a file.
    Raises SettingsError when the file is broken or cannot be written, or when the value is not allowed; the file is then as it was.
    """
    import tomlkit
    from tomlkit.exceptions import ParseError, TOMLKitError

    content = _content(file)
    decode_settings(content, file)
    try:
        document = tomlkit.parse(content)
        _put(document, key, value)
        changed = tomlkit.dumps(document).encode()
    except ParseError as error:
        raise SettingsError(f"{file} is not a valid TOML file: {error}.", "Correct it, or move it away to use the defaults.") from error
    except (TOMLKitError, UnicodeEncodeError, TypeError, ValueError) as error:
        raise SettingsError(f"{sanitize(key, strict=True)} cannot be written to {file}: {error}.") from error
    decode_settings(changed, file)
    replace_settings(file, changed)


def load_or_set_aside(
    file: Path, environment: Mapping[str, str], overrides: Mapping[str, Mapping[str, object]]
) -> tuple[Settings, list[str]]:
    """The settings in force, as `load_settings` has them, and sentences for the user about what was wrong with the file.

    A broken file is kept beside the place as config.toml.broken-1 (-2, ...), and the defaults hold instead of it.
    Raises SettingsError only for the environment.
    """
    settings, notices = Settings(), []
    try:
        settings = decode_settings(_content(file), file)
    except SettingsError as error:
        notices.append(_set_aside(file, error))
    return in_force(settings, environment, overrides), notices


def locked_settings(environment: Mapping[str, str], overrides: Mapping[str, Mapping[str, object]]) -> dict[str, str]:
    """The settings that the file cannot change now, by key, with what has set them: a variable's name or `COMMAND_LINE`."""
    locked = {}
    for group, kind in GROUPS.items():
        for field in msgspec.structs.fields(kind):
            key = f"{group}.{field.name}"
            if field.name in overrides.get(group, {}):
                locked[key] = COMMAND_LINE
            elif variable_of(key) in environment:
                locked[key] = variable_of(key)
    return locked


def sampling_layers(settings: Settings, locked: Mapping[str, str]) -> Layers:
    """What the command line, the environment and the file ask of sampling.

    settings: those in force. locked: as `locked_settings` has it.
    """
    layers: dict[Source, dict[str, Any]] = {Source.COMMAND_LINE: {}, Source.ENVIRONMENT: {}, Source.CONFIG: {}}
    for name, value in msgspec.structs.asdict(settings.sampling).items():
        set_by = locked.get(f"sampling.{name}")
        source = Source.CONFIG if set_by is None else Source.COMMAND_LINE if set_by == COMMAND_LINE else Source.ENVIRONMENT
        layers[source][name] = value
    return {source: SamplingSettings(**values) for source, values in layers.items()}


def _content(file: Path) -> bytes:
    """What the file holds; nothing when there is none. Raises SettingsError when it cannot be read."""
    try:
        return read_regular(file, MAX_BYTES)
    except FileNotFoundError:
        return b""
    except TooLargeError:
        raise SettingsError(f"The settings in {file} are larger than a megabyte.") from None
    except OSError as error:
        raise SettingsError(f"The settings in {file} cannot be read: {error.strerror or error}.") from error


def _put(document: tomlkit.TOMLDocument, key: str, value: object) -> None:
    import tomlkit

    group, _, name = key.partition(".")
    table: MutableMapping[str, object] = document
    if name:
        if group not in document:
            if value is None:
                return
            document[group] = tomlkit.table()
        table = document[group]  # `decode_settings` has seen that it is a table
    last = name or group
    if value is None:
        table.pop(last, None)
        return
    value = value.value if isinstance(value, Enum) else value
    table[last] = list(value) if isinstance(value, tuple) else value


def replace_settings(file: Path, content: bytes) -> None:
    """Put the whole content in place of the file's, which may be a link, as those who keep their settings in a repository have.

    Raises SettingsError; the file is then as it was.
    """
    try:
        write_whole(file, content, by_hand=True, keep_mode=True)
    except OSError as error:
        raise SettingsError(f"The settings cannot be saved in {file}: {reason(error)}.") from error


def _set_aside(file: Path, problem: SettingsError) -> str:
    """Move a broken file out of the way without losing what is in it, and say so."""
    reason = sanitize(f"{problem.message} {problem.hint}".strip(), strict=True)
    if not file.is_file() or isinstance(problem.__cause__, OSError):
        return f"{reason} The defaults are used."
    try:
        kept = set_aside(file)
    except OSError as error:
        return f"{reason} The defaults are used; the file cannot be moved away ({error.strerror or error})."
    return f"{reason} It is kept as {kept.name}, and the defaults are used."
