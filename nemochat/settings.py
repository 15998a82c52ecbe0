"""Settings: documented groups, each value checked when read. Passed down by the command line; nothing below it reads them by itself."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from nemochat.errors import SettingsError
from nemochat.reading import check_toml, read_regular

MAX_BYTES = 1 << 20
"""Of the settings file."""


class KvType(StrEnum):
    """How the KV cache is stored. q8_0 halves its memory and needs flash attention."""

    F16 = "f16"
    Q8_0 = "q8_0"


class WhenFull(StrEnum):
    """What is done with the KV cache when the window forgets.

    Shifting reads nothing anew, but what is left was computed while what is forgotten was in sight.
    """

    REREAD = "reread"
    SHIFT = "shift"


class PictureProtocol(StrEnum):
    """How pictures are drawn in the terminal."""

    AUTO = "auto"
    KITTY = "kitty"
    SIXEL = "sixel"
    HALFBLOCKS = "halfblocks"
    NONE = "none"


Auto = Literal["auto"]
"""A setting that is left to the model, or to the machine."""
AUTO: Final = "auto"

GpuLayers = Annotated[int, Meta(ge=-1)] | Auto
DeviceNames = Annotated[str, Meta(min_length=1, max_length=400)]
MainGpu = Annotated[int, Meta(ge=0, le=255)] | Auto
TensorSplit = Annotated[tuple[Annotated[float, Meta(ge=0, le=1_000_000)], ...], Meta(max_length=64)]
"""Kinds of settings that say where a model runs (`nemochat.domain.devices`)."""

_AT_START = "at the next start"
_AT_LOADING = "when the model is loaded again"


class ToolAsking(StrEnum):
    """Which calls the user is asked about, where no rule says otherwise."""

    HARMLESS_UNASKED = "harmless unasked"
    EVERYTHING = "ask"


class InterfaceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the full-screen interface looks and behaves; each field says in its description what it does."""

    theme: Annotated[str, Meta(description="The colour theme, by its name.")] = "nemochat-dark"
    pictures: Annotated[
        PictureProtocol, Meta(description="How pictures are drawn; auto asks the terminal.", extra={"applies": _AT_START})
    ] = PictureProtocol.AUTO
    side_panes: Annotated[bool, Meta(description="Show attachments, tools and the context beside the conversation.")] = True
    portraits: Annotated[bool, Meta(description="Show a persona's portrait beside what it says.")] = True
    titles: Annotated[bool, Meta(description="Let the model name a chat when nothing else is to be done; else its first words do.")] = True
    summaries: Annotated[
        bool, Meta(description="Let the model sum up what it is about to forget, when nothing else is to be done. /compact does so now.")
    ] = False
    mouse: Annotated[bool, Meta(description="Use the mouse; off leaves it to the terminal.", extra={"applies": _AT_START})] = True
    notify_seconds: Annotated[float, Meta(ge=1, le=60, description="For how many seconds a notice stays.")] = 6.0


class EngineSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings that matter for memory and speed; each field says in its description what it does.

    threads: more than one thread only slows down a model under 50 million parameters. mmap: mapped only when layers go to a GPU, because on
    a CPU the repacked weights would be held twice.
    """

    context_length: Annotated[
        int,
        Meta(ge=0, le=1_048_576, description="Tokens of the context window; 0, or more than the model's own limit, means that limit."),
    ] = 4096
    format: Annotated[
        str,
        Meta(
            max_length=4096,
            description="How the model is spoken to: auto is as its file says; else nemotron, template, or the path of a .jinja file.",
        ),
    ] = "auto"
    gpu_layers: Annotated[GpuLayers, Meta(description="Layers on the GPU: auto is as many as fit, -1 all of them, 0 none.")] = AUTO
    device: Annotated[
        DeviceNames, Meta(description="Devices that take layers, by their names in `nemochat doctor` with commas between; cpu is none.")
    ] = AUTO
    main_gpu: Annotated[
        MainGpu, Meta(description="The one device that takes all of it, counted from 0; auto shares the layers among all devices.")
    ] = AUTO
    tensor_split: Annotated[
        TensorSplit, Meta(description="How several devices share the layers: a part for each, such as 3, 1. Empty: by their free memory.")
    ] = ()
    threads: Annotated[
        int, Meta(ge=0, le=1024, description="Threads for computing; 0 is one per physical core, and one alone for a very small model.")
    ] = 0
    batch: Annotated[int, Meta(ge=1, le=8192, description="Tokens of the prompt that are evaluated at once.")] = 256
    kv_type: Annotated[KvType, Meta(description="How the KV cache is stored; q8_0 takes half and needs flash attention.")] = KvType.Q8_0
    flash_attention: Annotated[bool, Meta(description="Compute attention in the quick way; q8_0 needs it.")] = True
    mmap: Annotated[
        bool | None, Meta(description="Map the model's file into memory; automatic does so only when layers go to a GPU.")
    ] = None
    warm_ahead: Annotated[
        bool, Meta(description="Read what is known of the next prompt while you look and type, so that the reply begins sooner.")
    ] = True
    spare_tokens: Annotated[
        int, Meta(ge=0, le=1_048_576, description="Room in memory beside the window, in tokens: for other chats, and for what comes next.")
    ] = 512
    when_full: Annotated[
        WhenFull,
        Meta(description="When the window forgets: reread the rest ahead of time, or shift it: free, but replies may change; needs f16."),
    ] = WhenFull.REREAD
    prompt_lookup: Annotated[
        bool, Meta(description="Guess words that repeat the prompt and check several at once, where that is quicker.")
    ] = True
    resume_mb: Annotated[
        int, Meta(ge=0, description="Megabytes on the disk for what the engine has read of chats, so that they open warm; 0 keeps nothing.")
    ] = 2048
    amx: Annotated[
        bool, Meta(description="Use the AMX units of recent Intel processors: quicker, but some builds of llama.cpp crash with them.")
    ] = False
    picture_tokens: Annotated[
        int, Meta(ge=0, le=65_536, description="The most tokens that a picture may take, where the model can do with fewer; 0 is no limit.")
    ] = 0
    image_cache_mb: Annotated[int, Meta(ge=0, description="Megabytes for pictures that were already encoded.")] = 256
    hang_seconds: Annotated[
        float, Meta(gt=0, description="An engine that does not answer for this many seconds is stopped and started again.")
    ] = 20.0


    @property
    def on_gpu(self) -> int:
        """Layers on the GPU, -1 for all. Whoever loads a model has put a number in place of "auto" (`nemochat.models.fit_layers`)."""
        return 0 if self.gpu_layers == "auto" else self.gpu_layers


class SamplingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How replies are made unless somebody else says otherwise (`nemochat.domain.sampling.Source`); the fields are those of `Sampling`
    there. None says nothing, "auto" leaves a value to the model."""

    temperature: Annotated[
        Annotated[float, Meta(ge=0, le=10)] | Auto | None,
        Meta(description="How freely words are chosen; 0 always takes the likeliest and is repeatable."),
    ] = None
    top_k: Annotated[
        Annotated[int, Meta(ge=0, le=1_000_000)] | Auto | None,
        Meta(description="Choose among this many of the likeliest tokens; 0 is off."),
    ] = None
    top_p: Annotated[
        Annotated[float, Meta(gt=0, le=1)] | Auto | None,
        Meta(description="Choose among the likeliest tokens that have this probability together; 1 is off."),
    ] = None
    min_p: Annotated[
        Annotated[float, Meta(ge=0, le=1)] | Auto | None,
        Meta(description="Leave out tokens under this part of the likeliest one's probability; 0 is off."),
    ] = None
    repeat_penalty: Annotated[
        Annotated[float, Meta(gt=0, le=10)] | Auto | None,
        Meta(description="Make tokens that were just used less likely; 1 is off."),
    ] = None
    repeat_last_n: Annotated[
        Annotated[int, Meta(ge=0, le=1_000_000)] | Auto | None, Meta(description="How many tokens back the repeat penalty looks.")
    ] = None
    seed: Annotated[
        Annotated[int, Meta(ge=0, le=4_294_967_295)] | Auto | None,
        Meta(description="The same seed gives the same reply; auto draws a new one each time."),
    ] = None
    max_tokens: Annotated[
        Annotated[int, Meta(ge=1, le=16_777_216)] | Auto | None,
        Meta(description="The longest reply, in tokens; so much of the window is kept free for it. Auto: as long as there is room."),
    ] = None
    stop: Annotated[tuple[str, ...] | None, Meta(description="Further texts that end the reply.")] = None
    think: Annotated[
        bool | Auto | None, Meta(description="Whether a model that can think before it speaks does so; auto is as it does by itself.")
    ] = None
    presence_penalty: Annotated[
        Annotated[float, Meta(ge=-2, le=2)] | Auto | None,
        Meta(description="Make tokens that were just used less likely, once for each; 0 is off."),
    ] = None
    frequency_penalty: Annotated[
        Annotated[float, Meta(ge=-2, le=2)] | Auto | None,
        Meta(description="Make tokens less likely with each time that they were just used; 0 is off."),
    ] = None
    dry_multiplier: Annotated[
        Annotated[float, Meta(ge=0, le=100)] | Auto | None,
        Meta(description="DRY, against repeating what was said: how strong it is; 0 is off, 0.8 is usual."),
    ] = None
    dry_base: Annotated[
        Annotated[float, Meta(ge=1, le=10)] | Auto | None, Meta(description="DRY: how much stronger it grows with each repeated token.")
    ] = None
    dry_allowed_length: Annotated[
        Annotated[int, Meta(ge=1, le=1000)] | Auto | None, Meta(description="DRY: this many tokens may be repeated freely.")
    ] = None
    dry_penalty_last_n: Annotated[
        Annotated[int, Meta(ge=-1, le=1_000_000)] | Auto | None,
        Meta(description="DRY: how many tokens back it looks; -1 is the whole window."),
    ] = None
    dry_sequence_breakers: Annotated[
        Annotated[tuple[Annotated[str, Meta(max_length=40)], ...], Meta(max_length=50)] | Auto | None,
        Meta(description="DRY: texts that end a repetition, such as the marks around names."),
    ] = None
    top_n_sigma: Annotated[
        Annotated[float, Meta(ge=0, le=100)] | Auto | None,
        Meta(description="Choose among tokens within this many standard deviations of the likeliest; 0 is off."),
    ] = None
    typical_p: Annotated[
        Annotated[float, Meta(gt=0, le=1)] | Auto | None,
        Meta(description="Choose among the most typical tokens that have this probability together; 1 is off."),
    ] = None
    xtc_probability: Annotated[
        Annotated[float, Meta(ge=0, le=1)] | Auto | None,
        Meta(description="XTC, for less expected words: how often the likeliest tokens are left out; 0 is off."),
    ] = None
    xtc_threshold: Annotated[
        Annotated[float, Meta(ge=0, le=1)] | Auto | None,
        Meta(description="XTC: of the tokens above this probability only the least likely stays; over 0.5 is off."),
    ] = None
    dynatemp_range: Annotated[
        Annotated[float, Meta(ge=0, le=10)] | Auto | None,
        Meta(description="Let the temperature vary by this much, lower where the model is sure; 0 is off."),
    ] = None
    dynatemp_exponent: Annotated[
        Annotated[float, Meta(gt=0, le=10)] | Auto | None, Meta(description="How the temperature varies between its bounds.")
    ] = None
    mirostat: Annotated[
        Annotated[int, Meta(ge=0, le=2)] | Auto | None,
        Meta(description="Mirostat 1 or 2 keeps the text equally surprising, in place of top k and the like; 0 is off."),
    ] = None
    mirostat_tau: Annotated[Annotated[float, Meta(ge=0, le=20)] | Auto | None, Meta(description="Mirostat: how surprising.")] = None
    mirostat_eta: Annotated[Annotated[float, Meta(ge=0, le=1)] | Auto | None, Meta(description="Mirostat: how quickly it learns.")] = None
    logit_bias: Annotated[
        Annotated[dict[Annotated[str, Meta(max_length=100)], Annotated[float, Meta(ge=-100, le=100)]], Meta(max_length=500)] | None,
        Meta(description='Make texts more or less likely, such as {" indeed": -5}; -100 rules them out.'),
    ] = None
    banned_strings: Annotated[
        Annotated[tuple[Annotated[str, Meta(max_length=100)], ...], Meta(max_length=500)] | None,
        Meta(description="Texts that replies never hold: the model goes back and says something else."),
    ] = None


class ToolSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Tools that the model may call; each field says in its description what it does."""

    offered: Annotated[tuple[str, ...], Meta(description="Tools that are offered in a new chat, by name.")] = ()
    ask: Annotated[
        ToolAsking, Meta(description="Whether harmless tools of nemochat's own run unasked, or every call is asked about.")
    ] = ToolAsking.HARMLESS_UNASKED
    folders: Annotated[tuple[str, ...], Meta(description="Folders whose files the model may read with its tools.")] = ()
    fetch: Annotated[bool, Meta(description="Offer a tool that reads pages of the internet; each call is asked about.")] = False
    constrained: Annotated[bool, Meta(description="Hold calls to what the tools ask for while they are written.")] = True
    gate: Annotated[
        Annotated[float, Meta(ge=0, le=1)] | None,
        Meta(description="Call a tool only from this probability of a call on, 0 always, 1 never; empty leaves it to the model."),
    ] = None
    seconds: Annotated[float, Meta(ge=1, le=600, description="How long a call may take.")] = 30.0
    budget: Annotated[
        int, Meta(ge=0, le=32_768, description="Tokens that tools may take; beyond it only those are told of that are wanted. 0: no limit.")
    ] = 0
    document_tokens: Annotated[
        int, Meta(ge=0, le=32_768, description="How many tokens of the prompt passages of documents may take.")
    ] = 800
    embedding_model: Annotated[
        str, Meta(description="A GGUF file of an embedding model, so that passages are also found by meaning; empty for words alone.")
    ] = ""


class LoreSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Lorebooks; each field says in its description what it does."""

    books: Annotated[tuple[str, ...], Meta(description="Lorebooks that every chat has, by their ids.")] = ()
    names: Annotated[bool, Meta(description="Look for keys in the names of who speaks, too.")] = True
    scan_note: Annotated[bool, Meta(description="Look for keys in the author's note, too.")] = False
    min_entries: Annotated[
        int, Meta(ge=0, le=100, description="Look for keys in older messages until so many entries are there; 0 is only in the last few.")
    ] = 0


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that config.toml may hold.

    model: a name or a path; empty means the one chosen with `nemochat models use`. keys: the id of a binding and the keys for it,
    separated by commas ("ctrl+t,f2"). tool_rules: by a tool's name or a pattern: "ask", "harmless unasked", "never" or, for a name,
    "always".
    """

    model: str = ""
    engine: EngineSettings = EngineSettings()
    sampling: SamplingSettings = SamplingSettings()
    interface: InterfaceSettings = InterfaceSettings()
    tools: ToolSettings = ToolSettings()
    lore: LoreSettings = LoreSettings()
    keys: dict[str, str] = {}
    tool_rules: dict[str, str] = {}


_PREFIX = "NEMOCHAT_"
_Group = type[EngineSettings] | type[SamplingSettings] | type[InterfaceSettings] | type[ToolSettings] | type[LoreSettings]
GROUPS: dict[str, _Group] = {
    "engine": EngineSettings,
    "sampling": SamplingSettings,
    "interface": InterfaceSettings,
    "tools": ToolSettings,
    "lore": LoreSettings,
}
"""The groups by the names that they have in the file."""


class SettingInfo(msgspec.Struct, frozen=True):
    """What there is to know about one setting.

    key: as in "engine.threads". help: one sentence. kind: its type without descriptions. default: the value when nothing is said.
    allowed: the values in words. applies: when a change is put into force, if not at once.
    """

    key: str
    help: str
    kind: msgspec.inspect.Type
    default: object
    allowed: str
    applies: str = ""


def describe(group: str) -> tuple[SettingInfo, ...]:
    """The settings of a group ("interface", "engine", "sampling", "tools", "lore") in their order."""
    infos = []
    for field in msgspec.structs.fields(GROUPS[group]):
        kind = msgspec.inspect.type_info(field.type)
        help_text, applies = "", _AT_LOADING if group == "engine" else ""
        while isinstance(kind, msgspec.inspect.Metadata):
            help_text = (kind.extra_json_schema or {}).get("description", help_text)
            applies = (kind.extra or {}).get("applies", applies)
            kind = kind.type
        infos.append(SettingInfo(f"{group}.{field.name}", help_text, kind, field.default, _in_words(kind), applies))
    return tuple(infos)


def parse_setting(key: str, text: str) -> object:
    """The value that somebody typed for a setting such as "engine.threads".

    A list is JSON. Nothing at all is None or the empty list where that is allowed. Raises SettingsError saying what is allowed.
    """
    group, _, name = key.partition(".")
    kind = next(field.type for field in msgspec.structs.fields(GROUPS[group]) if field.name == name)
    if not text.strip():
        for empty in (None, ()):
            with contextlib.suppress(msgspec.ValidationError):
                return msgspec.convert(empty, kind)
    return typed_value(key, kind, text.strip())


def setting_text(value: object) -> str:
    """A value as it stands in the settings file; "automatic" for what is not in it."""
    if value is None:
        return "automatic"
    if isinstance(value, tuple):
        return f"[{', '.join(f'{each:g}' if isinstance(each, float) else str(each) for each in value)}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def variable_of(key: str) -> str:
    """The environment variable that sets "engine.threads"."""
    return _PREFIX + key.replace(".", "_").upper()


def load_settings(file: Path, environment: Mapping[str, str], overrides: Mapping[str, Mapping[str, object]]) -> Settings:
    """Settings in force: `overrides` (the command line, by group) over the environment over the file over the defaults.

    The environment spells a setting ``NEMOCHAT_ENGINE_THREADS`` or ``NEMOCHAT_SAMPLING_TEMPERATURE``; lists are JSON.
    The file need not exist. Raises SettingsError naming the file or the variable, the key and what is allowed.
    """
    return in_force(_read(file), environment, overrides)


def in_force(settings: Settings, environment: Mapping[str, str], overrides: Mapping[str, Mapping[str, object]]) -> Settings:
    """`settings` with what the environment and then the command line change. Raises SettingsError."""
    if model := environment.get(f"{_PREFIX}MODEL"):
        settings = msgspec.structs.replace(settings, model=model)
    for group, kind in GROUPS.items():
        changes = _from_environment(group, kind, environment) | dict(overrides.get(group, {}))
        settings = msgspec.structs.replace(settings, **{group: msgspec.structs.replace(getattr(settings, group), **changes)})
    return settings


def _read(file: Path) -> Settings:
    try:
        return decode_settings(read_regular(file, MAX_BYTES), file)
    except FileNotFoundError:
        return Settings()
    except OSError as error:
        raise SettingsError(f"The settings in {file} cannot be read: {error.strerror or error}.") from error


def decode_settings(content: bytes, file: Path) -> Settings:
    """The settings that a TOML text holds; `file` is where it comes from. Raises SettingsError naming file, key and what is allowed."""
    try:
        check_toml(content.decode())
        return msgspec.toml.decode(content, type=Settings)
    except msgspec.ValidationError as error:
        problem, _, path = str(error).partition(" - at `$.")
        key = path.rstrip("`")
        where = f"{file}: {key}: " if key else f"{file}: "
        raise SettingsError(f"{where}{_plain(problem)}.", _hint(problem, key)) from error
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise SettingsError(f"{file} is not a valid TOML file: {error}.", "Correct it, or move it away to use the defaults.") from error


def _from_environment(group: str, kind: _Group, environment: Mapping[str, str]) -> dict[str, object]:
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    prefix = f"{_PREFIX}{group.upper()}_"
    values: dict[str, object] = {}
    for variable in sorted(name for name in environment if name.startswith(prefix)):
        name = variable.removeprefix(prefix).lower()
        if name not in fields:
            raise SettingsError(f"{variable} is not a setting of nemochat.", f"Settings of this group: {', '.join(fields)}.")
        values[name] = typed_value(variable, fields[name].type, environment[variable].strip())
    return values


def typed_value(name: str, kind: object, text: str) -> object:
    """A value of a kind from text that somebody typed; a list or a table is JSON, and numbers may also stand with commas between them.

    Raises SettingsError saying what is allowed.
    """
    typed = text
    if _is_of_numbers(kind) and not text.startswith("["):
        text = f"[{text}]"
    try:
        raw = msgspec.json.decode(text) if text.startswith(("[", "{")) else text
        return msgspec.convert(raw, kind, strict=False)
    except msgspec.MsgspecError as error:
        raise SettingsError(f"{name} is {typed!r}, which is not allowed.", f"Allowed: {_allowed(kind)}.") from error


def _is_of_numbers(kind: object) -> bool:
    """Whether it is a list of numbers."""
    info = msgspec.inspect.type_info(kind)
    while isinstance(info, msgspec.inspect.Metadata):
        info = info.type
    kinds = info.types if isinstance(info, msgspec.inspect.UnionType) else (info,)
    return any(isinstance(each, msgspec.inspect.VarTupleType) and isinstance(each.item_type, msgspec.inspect.FloatType) for each in kinds)


def _plain(problem: str) -> str:
    return problem.replace("`", "").replace("Object contains unknown field", "no such setting:")


def _hint(problem: str, key: str) -> str:
    """What is allowed at this key of the file, or the settings that there are when the key itself is unknown."""
    group, _, name = key.partition("[")[0].partition(".")
    kind: type[msgspec.Struct] = GROUPS.get(group, Settings)
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    name = name if group in GROUPS else group
    if "unknown field" in problem or name not in fields:
        return f"There are: {', '.join(fields)}."
    return f"Allowed: {_allowed(fields[name].type)}."


def _allowed(kind: object) -> str:
    """A type with its bounds, in words."""
    return _in_words(msgspec.inspect.type_info(kind))


def _in_words(kind: msgspec.inspect.Type) -> str:
    match kind:
        case msgspec.inspect.Metadata():
            return _in_words(kind.type)
        case msgspec.inspect.IntType() | msgspec.inspect.FloatType():
            name = "a whole number" if isinstance(kind, msgspec.inspect.IntType) else "a number"
            bounds = [("at least", kind.ge), ("more than", kind.gt), ("at most", kind.le), ("less than", kind.lt)]
            return f"{name} {' and '.join(f'{word} {bound}' for word, bound in bounds if bound is not None)}".rstrip()
        case msgspec.inspect.BoolType():
            return "true or false"
        case msgspec.inspect.EnumType():
            return " or ".join(member.value for member in kind.cls)
        case msgspec.inspect.LiteralType():
            return " or ".join(map(str, kind.values))
        case msgspec.inspect.UnionType():
            return ", or ".join(_in_words(each) for each in kind.types if not isinstance(each, msgspec.inspect.NoneType))
        case msgspec.inspect.VarTupleType():
            return f"a list, each {_in_words(kind.item_type)}"
        case msgspec.inspect.DictType():
            return f"a table, each {_in_words(kind.value_type)}"
        case _:
            return "text"
