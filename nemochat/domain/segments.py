"""A prompt as the engine gets it: a sequence of segments, each tokenised on its own.

Only `Control` text may become special tokens, so no text from a user, a document, a tool, a persona or a file name can forge a turn.
"""

from __future__ import annotations

import msgspec


class Control(msgspec.Struct, frozen=True, tag="control"):
    """Text that the renderer wrote: turn markers, tags, newlines between parts. Special tokens in it are recognised."""

    text: str


class Plain(msgspec.Struct, frozen=True, tag="plain"):
    """Text that anybody else wrote. Never becomes a special token."""

    text: str


class ImageSlot(msgspec.Struct, frozen=True, tag="image"):
    """The place of a picture; the engine must have been given the pixels with this digest (`Engine.add_image`)."""

    digest: str


Segment = Control | Plain | ImageSlot
