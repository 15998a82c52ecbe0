"""What the measuring process and the measured programs say to one another, one JSON value a line."""

from __future__ import annotations

from typing import Any

import msgspec


class Pair(msgspec.Struct, frozen=True):
    """A model with its projector. words: how many words of the texts here come to one token. picture: tokens of a picture."""

    name: str
    model: str
    mmproj: str
    threads: int
    words: float
    picture: int

    @property
    def is_small(self) -> bool:
        """Whether everything is quick with it."""
        return self.name == "demo"


class Spec(msgspec.Struct, frozen=True):
    """How a program is to run a pair: the same for all of them. reply: the longest reply, in tokens.

    engine: further settings of nemochat alone; states: its folder for states. server: the binary of llama-server; "" is the one within
    xllamacpp.
    """

    program: str
    pair: Pair
    context: int = 4096
    batch: int = 256
    reply: int = 16
    engine: dict[str, Any] = {}
    states: str = ""
    server: str = ""


class Said(msgspec.Struct, frozen=True):
    """A message. picture: the path of the one that stands before its words."""

    role: str
    text: str
    picture: str = ""


class Open(msgspec.Struct, frozen=True, tag=True):
    """Go on with this conversation. cold: nothing of it is read ahead before its first message is sent."""

    chat: str
    system: str
    said: tuple[Said, ...] = ()
    cold: bool = False


class Attach(msgspec.Struct, frozen=True, tag=True):
    """Put a picture to the message that will be sent next."""

    picture: str


class Idle(msgspec.Struct, frozen=True, tag=True):
    """The user reads, and does nothing for so long. Ends early when the program has nothing left to do."""

    seconds: float


class Type(msgspec.Struct, frozen=True, tag=True):
    """Write the next message, key by key."""

    text: str
    words_per_second: float


class Send(msgspec.Struct, frozen=True, tag=True):
    """Press Enter: send this text with the attached pictures, and wait for the reply."""

    text: str


class Peak(msgspec.Struct, frozen=True, tag=True):
    """Say how much memory was resident at most."""


Command = Open | Attach | Idle | Type | Send | Peak


class Turn(msgspec.Struct, frozen=True):
    """One reply. Times are seconds by the program's side that shows text; counts are tokens.

    encoded: runs of the vision encoder, None where the program does not tell. ahead: tokens that were evaluated since the turn before,
    ahead of this one.
    """

    ttft: float
    total: float
    prompt: int
    evaluated: int
    tokens: int
    encoded: int | None
    text: str
    ahead: int = 0

    @property
    def itl(self) -> float | None:
        """Seconds between two tokens."""
        return (self.total - self.ttft) / (self.tokens - 1) if self.tokens > 1 else None


class Memory(msgspec.Struct, frozen=True):
    """Bytes resident at most, by process: the model's, and that of the interface where that is another one."""

    engine: int
    interface: int = 0
