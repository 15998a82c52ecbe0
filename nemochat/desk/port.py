"""The one door between the desk and whatever shows it: what it tells, what it asks, and what it needs from outside."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from nemochat.chat import Chat, ChatSession, ContextView, RoundEnded, ToolRun, ToolsAnswered, TurnResult
from nemochat.chat.remotes import Remotes
from nemochat.documents.index import DocumentIndex
from nemochat.documents.vectors import Embedder
from nemochat.domain.events import Progress, TextDelta
from nemochat.domain.images import Original, RgbImage
from nemochat.domain.library import Hit, SearchFilters
from nemochat.domain.messages import Role
from nemochat.domain.personas import Lorebook, Persona
from nemochat.domain.sampling import InForce
from nemochat.domain.servers import ServedModel
from nemochat.domain.ttft import ReplyRow
from nemochat.errors import NemochatError
from nemochat.library import Library
from nemochat.models.pull import Puller
from nemochat.paths import Paths
from nemochat.personas.index import PersonaSummary
from nemochat.personas.lore import Scan
from nemochat.personas.lorebooks import LorebookStore, LorebookSummary
from nemochat.personas.sampling_presets import Preset
from nemochat.personas.store import PersonaStore
from nemochat.settings import Settings
from nemochat.tools.approval import Rules
from nemochat.tools.builtin.search import Search
from nemochat.tools.registry import Registry

if TYPE_CHECKING:
    from nemochat.tools.mcp.servers import McpServers

# -- what is told


class Said(msgspec.Struct, frozen=True):
    """A short notice."""

    text: str


class Complained(msgspec.Struct, frozen=True):
    """One sentence about what failed, and what to do."""

    error: NemochatError


class ChatOpened(msgspec.Struct, frozen=True):
    """Another conversation is on the desk. node: the message to show, 0 for the end."""

    node: int = 0


class ChatChanged(msgspec.Struct, frozen=True):
    """The conversation on the desk is another value, not by its turn."""


class ChatsChanged(msgspec.Struct, frozen=True):
    """The list of conversations is another one."""


class TurnBegan(msgspec.Struct, frozen=True):
    """A turn has left the queue. words: what it is at."""

    words: str


class TurnOpened(msgspec.Struct, frozen=True):
    """What was said may be shown, and a reply begins, or the last one goes on (`continues`).

    keeps: how many of the messages stay, None for all.
    """

    keeps: int | None = None
    continues: bool = False


class TurnSaid(msgspec.Struct, frozen=True):
    """What was said is part of the conversation, with what belongs beside it."""


class TurnReported(msgspec.Struct, frozen=True):
    """Something came of the turn."""

    event: Progress | TextDelta | ToolRun | RoundEnded | ToolsAnswered


class TurnEnded(msgspec.Struct, frozen=True):
    """A turn is over: with a result, with an error, or (neither) because it was given up before the engine had it."""

    result: TurnResult | None
    error: NemochatError | None


class QueueChanged(msgspec.Struct, frozen=True):
    """The messages that wait."""

    labels: tuple[str, ...]


class ModelChanged(msgspec.Struct, frozen=True):
    """A model is being opened, was loaded, or is gone. progress: of the loading."""

    progress: Progress | None = None


class Working(msgspec.Struct, frozen=True):
    """Something else is being done, in words; "" when it has ended."""

    words: str


class Fetching(msgspec.Struct, frozen=True):
    """How far a model is that is on its way to this machine, in words; "" when none is any more."""

    words: str


class ReadingAhead(msgspec.Struct, frozen=True):
    """The next prompt is being read; None when that has ended."""

    progress: Progress | None


class EngineFailed(msgspec.Struct, frozen=True):
    """Something that nobody waits for failed: counting, reading ahead. The next turn says it again, and what to do."""

    error: NemochatError


class Counted(msgspec.Struct, frozen=True):
    """How the window would be filled. tokens: of the draft, None while they are being counted."""

    view: ContextView | None
    tokens: int | None


class DraftLoaded(msgspec.Struct, frozen=True):
    """The prompt holds this text and these tokens (key and label) now, and nothing else."""

    text: str
    tokens: tuple[tuple[str, str], ...] = ()


class DraftPutBack(msgspec.Struct, frozen=True):
    """What was sent is in the prompt again, before what was typed since, behind the text `lead` where the prompt begins with that.

    The tokens come first; those of `lead` are among them.
    """

    text: str
    tokens: tuple[tuple[str, str], ...]
    lead: str = ""


class TextInserted(msgspec.Struct, frozen=True):
    """Text at the cursor."""

    text: str


class TokenAdded(msgspec.Struct, frozen=True):
    """A picture stands at the cursor."""

    key: str
    label: str


class TokenChanged(msgspec.Struct, frozen=True):
    """Other words for a picture of the draft."""

    key: str
    label: str


class TokenRemoved(msgspec.Struct, frozen=True):
    """A picture is no part of the draft any more."""

    key: str


class PicturesChanged(msgspec.Struct, frozen=True):
    """The pane of pictures shows something else."""


class ToolsChanged(msgspec.Struct, frozen=True):
    """The pane of tools shows something else."""


class RolesChanged(msgspec.Struct, frozen=True):
    """Who speaks has another face or colour."""


class SettingsChanged(msgspec.Struct, frozen=True):
    """Settings were changed."""


class Wanted(msgspec.Struct, frozen=True):
    """A command of the interface itself: "help", "quit", "tools", "drawer", "prompt". argument: a theme's name, a text to be copied."""

    what: str
    argument: str = ""


class AboutToAsk(msgspec.Struct, frozen=True):
    """A question comes as soon as what it shows has been read. What is typed by then is meant for it."""


Event = (
    Said | AboutToAsk | Complained | ChatOpened | ChatChanged | ChatsChanged | TurnBegan | TurnOpened | TurnSaid | TurnReported | TurnEnded
    | QueueChanged | ModelChanged | Working | Fetching | ReadingAhead | EngineFailed | Counted | DraftLoaded | DraftPutBack | TextInserted
    | TokenAdded | TokenChanged | TokenRemoved | PicturesChanged | ToolsChanged | RolesChanged | SettingsChanged | Wanted
)  # fmt: skip


# -- what is asked


class Answer(msgspec.Struct, frozen=True):
    """One answer: what is returned, what stands on it, and a key that gives it at once ("" for none).

    allows: whether it allows something that cannot be taken back (`AskAllowed`).
    """

    value: str
    label: str
    key: str = ""
    allows: bool = False


class AskOne(msgspec.Struct, frozen=True):
    """A sentence with a few answers; the first one is the harmless one. Returns its value."""

    title: str
    text: str
    answers: tuple[Answer, ...]
    hint: str = ""


class AskMenu(msgspec.Struct, frozen=True):
    """What can be done with something. Returns the answer's value."""

    title: str
    answers: tuple[Answer, ...]


class AskText(msgspec.Struct, frozen=True):
    """A text to type. Returns it."""

    title: str
    text: str = ""
    hint: str = ""
    one_line: bool = False


class Item(msgspec.Struct, frozen=True):
    """Something to choose: what is returned, what is read, and a few quiet words beside it. The texts may be hostile."""

    value: str
    label: str
    detail: str = ""


class AskItem(msgspec.Struct, frozen=True):
    """One of many. current: the value that is highlighted. empty: what to say when there are none. Returns the item's value.

    later: items that are still being looked for, each time some in place of the item of that value, or behind all others for "". It never
    raises.
    """

    title: str
    items: tuple[Item, ...]
    current: str = ""
    empty: str = ""
    later: Callable[[], AsyncGenerator[tuple[str, Sequence[Item]], None]] | None = None


class AskLeave(msgspec.Struct, frozen=True):
    """Whether words and pictures may leave this machine for a model. Returns a Leave."""

    served: ServedModel


class Leave(StrEnum):
    """What was said to that."""

    NO = "no"
    ONCE = "once"
    ALWAYS = "always"


class AskFile(msgspec.Struct, frozen=True):
    """A file. kind: what is looked for, in words; endings: of the names of such files, in small letters. Returns its path."""

    title: str
    kind: str
    endings: tuple[str, ...]


class AskTheme(msgspec.Struct, frozen=True):
    """A theme, previewed. Returns its name."""


class AskEditor(msgspec.Struct, frozen=True):
    """A text to be written in the user's editor. Returns it when it was changed."""

    text: str
    name: str


class ShowText(msgspec.Struct, frozen=True):
    """A text to read."""

    title: str
    text: str


class ShowPicture(msgspec.Struct, frozen=True):
    """A picture as large as can be."""

    pixels: RgbImage


class AskAllowed(msgspec.Struct, frozen=True):
    """Whether something may be done that cannot be taken back. Returns the answer's value; leaving without a word is a No.

    whole: all that a yes allows, as it has to be seen. about: words of whoever wants it, which need not be read. The first answer says no.
    """

    title: str
    origin: str
    whole: str
    answers: tuple[Answer, ...]
    about: str = ""


class AskSettings(msgspec.Struct, frozen=True):
    """The settings. sampling: what is in force of it, None while there is no model. presets: to choose among.
    misplaced: as `Workbench.misplaced`.

    Returns the changed ones by ``group.name``.
    """

    settings: Settings
    locked: Mapping[str, str]
    sampling: InForce | None = None
    presets: tuple[Preset, ...] = ()
    misplaced: Callable[[Mapping[str, object]], Awaitable[str]] | None = None


class PreviewLine(msgspec.Struct, frozen=True):
    """A message around what a search has found. is_hit: what was found."""

    role: Role
    speaker: str
    text: str
    is_hit: bool = False


class Found(msgspec.Struct, frozen=True):
    """What was chosen in a search: a conversation, and the message in it; node is 0 when it was found by its title."""

    conversation: str
    node: int


class AskFound(msgspec.Struct, frozen=True):
    """A search in everything. find, preview: ask the library. personas, models: names to filter by. Returns a Found."""

    find: Callable[[str, SearchFilters], Awaitable[Sequence[Hit]]]
    preview: Callable[[Hit], Awaitable[Sequence[PreviewLine]]]
    personas: tuple[str, ...]
    models: tuple[str, ...]
    words: str


class AskPersona(msgspec.Struct, frozen=True):
    """A persona and what shall be done with it. Returns a PersonaWish."""

    personas: tuple[PersonaSummary, ...]
    load: Callable[[str], tuple[Persona, bytes | None]]
    current: str
    user: str


class PersonaAction(StrEnum):
    """What shall be done with a persona."""

    USE = "use"
    VIEW = "view"
    EDIT = "edit"
    NEW = "new"
    DUPLICATE = "duplicate"
    IMPORT = "import"
    EXPORT = "export"
    DELETE = "delete"


class PersonaWish(msgspec.Struct, frozen=True):
    """What was chosen. id: of the persona under the cursor, "" where there was none."""

    action: PersonaAction
    id: str


class AskPersonaEdited(msgspec.Struct, frozen=True):
    """A persona in the form. saved: as it is kept. lorebooks: those that it may have besides its own. presets: of sampling, to choose
    among. Returns an EditedPersona."""

    persona: Persona
    saved: Persona
    lorebooks: tuple[LorebookSummary, ...] = ()
    presets: tuple[Preset, ...] = ()


class EditedPersona(msgspec.Struct, frozen=True):
    """As the form left it. in_editor: it is to be opened as text in the user's editor."""

    persona: Persona
    in_editor: bool = False


class ShowPersona(msgspec.Struct, frozen=True):
    """A persona's card."""

    persona: Persona
    portrait: bytes | None


class LorebookItem(msgspec.Struct, frozen=True):
    """A lorebook in a list. where: in words, whose it is now ("this chat")."""

    summary: LorebookSummary
    where: tuple[str, ...] = ()


class AskLore(msgspec.Struct, frozen=True):
    """A lorebook and what shall be done with it. load: one by its id, in a thread; it may raise NemochatError. current: the id that is
    highlighted at first. persona: whom the model plays, "" for nobody. Returns a LoreWish."""

    lorebooks: tuple[LorebookItem, ...]
    load: Callable[[str], Lorebook]
    current: str
    persona: str


class LoreAction(StrEnum):
    """What shall be done with a lorebook. The first three give it to somebody, or take it away again."""

    CHAT = "chat"
    PERSONA = "persona"
    EVERYWHERE = "everywhere"
    OPEN = "open"
    NEW = "new"
    IMPORT = "import"
    EXPORT = "export"
    DELETE = "delete"


class LoreWish(msgspec.Struct, frozen=True):
    """What was chosen. id: of the lorebook under the cursor, "" where there was none."""

    action: LoreAction
    id: str


class AskLorebook(msgspec.Struct, frozen=True):
    """The entries of a lorebook, to be read, switched, written and tried. Returns None.

    attempt: what a text would call, in a thread. save: keeps it after each change, without waiting.
    """

    book: Lorebook
    attempt: Callable[[Lorebook, str], Scan]
    save: Callable[[Lorebook], None]


class ShowFigures(msgspec.Struct, frozen=True):
    """The figures of replies: of this chat, and of all (`library`)."""

    chat: tuple[ReplyRow, ...]
    library: Callable[[], Awaitable[Sequence[ReplyRow]]]


Ask = (
    AskOne | AskMenu | AskText | AskItem | AskLeave | AskFile | AskTheme | AskEditor | ShowText | ShowPicture | AskAllowed | AskSettings
    | AskFound | AskPersona | AskPersonaEdited | ShowPersona | ShowFigures | AskLore | AskLorebook
)  # fmt: skip


class Port(Protocol):
    """Who shows the desk. `tell` may be called from the event loop alone, and never waits."""

    def tell(self, event: Event) -> None:
        """Something happened."""

    async def ask(self, ask: Ask) -> Any:  # each ask says what it returns; None for one that was left without an answer
        """Ask the user."""


# -- what comes from outside


class ModelChoice(msgspec.Struct, frozen=True):
    """A model to choose from. `detail` says what it is in a few words; model_path: its file, "" where that has no name of its own."""

    name: str
    detail: str
    model_path: str = ""


class ToolChest(msgspec.Struct, frozen=True):
    """Tools, what the settings say about them, and sentences about those that cannot be used."""

    registry: Registry
    rules: Rules
    notices: tuple[str, ...] = ()


class Workbench(Protocol):
    """Opens sessions and keeps settings. Every method raises NemochatError with one sentence when it fails."""

    @property
    def settings(self) -> Settings:
        """The settings in force."""

    @property
    def locked(self) -> Mapping[str, str]:
        """Settings (``group.name``) that the environment or the command line has set, with who did."""

    @property
    def paths(self) -> Paths:
        """Where files lie."""

    @property
    def library(self) -> Library:
        """The conversations that are kept."""

    @property
    def documents(self) -> DocumentIndex:
        """The documents that can be searched for a message."""

    @property
    def embedder(self) -> Embedder | None:
        """The embedding model that the settings name, by which passages are found by meaning as well; None for words alone."""

    @property
    def personas(self) -> PersonaStore:
        """Whom the model can play."""

    @property
    def lorebooks(self) -> LorebookStore:
        """The lorebooks that belong to no single persona."""

    def tools(self, picture: Callable[[int], bytes | None], search: Search) -> ToolChest:
        """The tools that need no server. picture: the file of a picture of the conversation by its number; search: finds passages."""

    async def add_server_tools(self, registry: Registry) -> frozenset[str]:
        """Take in the tools of the MCP servers that the user trusts; the names of those that are not as the user has accepted them."""

    async def mcp_servers(self) -> McpServers:
        """The MCP servers of the user's configuration, read anew."""

    async def close_servers(self) -> None:
        """End the servers, and the embedding model's process."""

    @property
    def resume(self) -> str | None:
        """The conversation to begin with: the beginning of its id, "" for the last one, None for a new one."""

    @property
    def pictures(self) -> str:
        """How this terminal shows pictures (see `nemochat.tui.widgets.picture`)."""

    @property
    def demo_model(self) -> str:
        """The name of the model that is always there."""

    def keep_question(self, chat: Chat, index: int, right: str, original: Callable[[str], Original | None], id_: str) -> None:
        """Keep a message of the user's, with its pictures and what would have been right, as a question for ``nemochat eval``.

        right: accepted answers, one a line, or a regular expression between slashes. Called in a thread.
        """

    def take_notices(self) -> Sequence[str]:
        """Sentences for the user about what was found while files were read; each is given once."""

    def models(self) -> Sequence[ModelChoice]:
        """The models of this machine that can be chosen."""

    @property
    def remotes(self) -> Remotes:
        """The servers that the user added, and what they have."""

    async def find(self, model: str | None) -> ServedModel | None:
        """The model of a server that a name, or None for the one in use, means; None for one of this machine."""

    @property
    def puller(self) -> Puller:
        """Gets models from elsewhere."""

    async def doctor(self) -> str:
        """Lines about what works here and what does not."""

    def available_memory(self) -> int:
        """Bytes that programs can still get."""

    def add_model(self, path: Path) -> str:
        """Check a model's files and remember them; its name. Called in a thread."""

    async def open(self, model: ServedModel | str | None) -> ChatSession:
        """A session with a server's model, or one of this machine by name or path, or the one in use (None). It is being loaded."""

    def forget_states(self, conversation: str) -> None:
        """Remove what engines have kept of a conversation on the disk."""

    def use_model(self, name: str) -> None:
        """Remember the model for the next start."""

    async def misplaced(self, changes: Mapping[str, object]) -> str:
        """Why no model can run where these changed settings say, in words with the devices that there are; "" where it can."""

    def change_setting(self, key: str, value: object) -> None:
        """Write a setting (``group.name``) and put it in force."""


def working_folder() -> Path:
    """Where paths that the user types begin; the home folder when the current one is gone."""
    try:
        return Path.cwd()
    except OSError:
        return Path.home()


