"""Values of the chat core: what a turn brings and how the window is filled. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

import msgspec

from nemochat.domain.edits import Edit
from nemochat.domain.events import Progress, TextDelta
from nemochat.domain.images import RgbImage
from nemochat.domain.messages import ContextPart, ImagePart, Part, ReasoningPart, TextPart
from nemochat.domain.replies import TurnResult
from nemochat.engine.protocol import Counts
from nemochat.personas.lore import Scan


class Attachment(msgspec.Struct, frozen=True):
    """A picture that the engine knows: the part for a message, what is shown of it (see `Album.preview`), and its cost in tokens."""

    part: ImagePart
    pixels: RgbImage
    tokens: int


_USED = ("template", "system", "memory", "tools", "documents", "summary", "history", "images", "draft")


class ContextView(msgspec.Struct, frozen=True):
    """How the next prompt will fill the window, in tokens.

    template: what the chat template puts around the system text and before the reply. documents: contexts, of the frame and in messages.
    history: text of messages, turn markers included. reserve: kept free for the reply. cached: what of the next prompt the KV cache
    holds, to_read: what must still be evaluated; tells_cached: that is known. forgotten: indices of messages that the window leaves out,
    forgotten_tokens their size. excluded: indices of those that the user took out. trims: sending now makes the window forget more.
    summary: tokens of the summary that stands in place of `summed` of the forgotten messages; memory: of what the user wants remembered.
    summary_state: why there is a summary that the model does not read, in words.
    contexts: what stands beside messages that the model sees, the draft's among them: entries of a lorebook that fired, passages.
    switches: in a group whose speaker's card alone is read, what would have to be read if each of the others spoke, by name.
    counts: where the numbers come from. lore: what the lorebook was called to with the draft or else with the last message of the user.
    """

    limit: int
    template: int = 0
    system: int = 0
    tools: int = 0
    documents: int = 0
    history: int = 0
    images: int = 0
    draft: int = 0
    reserve: int = 0
    cached: int = 0
    to_read: int = 0
    forgotten: tuple[int, ...] = ()
    excluded: tuple[int, ...] = ()
    forgotten_tokens: int = 0
    summary: int = 0
    memory: int = 0
    summed: int = 0
    summary_state: str = ""
    trims: bool = False
    contexts: tuple[ContextPart, ...] = ()
    counts: Counts = Counts.EXACT
    tells_cached: bool = True
    lore: Scan = Scan()
    switches: Mapping[str, int] = {}

    @property
    def is_exact(self) -> bool:
        """Whether the numbers are what the model reads; else they are near it, and are shown so."""
        return self.counts is Counts.EXACT

    @property
    def used(self) -> int:
        """The prompt, without the reply's reserve."""
        return sum(getattr(self, part) for part in _USED)

    @property
    def free(self) -> int:
        """What is neither used nor reserved."""
        return max(0, self.limit - self.used - self.reserve)


class ToolState(StrEnum):
    """How far a tool call is."""

    ASKED = "asked"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"


class ToolRun(msgspec.Struct, frozen=True):
    """A call of a tool, as the tools pane shows it. `result` is None until there is one."""

    name: str
    arguments: dict[str, Any]
    result: str | None
    state: ToolState
    elapsed_ms: float | None = None


class ReplyForm(msgspec.Struct, frozen=True):
    """What a reply has to be. calls: it begins with a call, of the tool `tool` where one is named. schema: it is JSON that fits this."""

    calls: bool = False
    tool: str = ""
    schema: dict[str, Any] | None = None


class RoundEnded(msgspec.Struct, frozen=True):
    """A reply called tools, which are run now; another reply follows. result: of the reply that called."""

    result: TurnResult


class ToolsAnswered(msgspec.Struct, frozen=True):
    """The results of the tools are part of the conversation, and the next reply begins."""


class Proposed(msgspec.Struct, frozen=True):
    """A change of the conversation, to be applied before the next event is asked for. stores: and to be on the disk by then."""

    edit: Edit
    stores: bool


ChatEvent = Progress | TextDelta | ToolRun | RoundEnded | ToolsAnswered | Proposed | TurnResult


def visible(parts: Iterable[Part]) -> str:
    """What people read of a piece of a reply."""
    return "".join(part.text for part in parts if isinstance(part, TextPart))


def thought(parts: Iterable[Part]) -> str:
    """What the model thought in a piece of a reply."""
    return "".join(part.text for part in parts if isinstance(part, ReasoningPart))
