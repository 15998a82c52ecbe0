"""The chat core: the one generation loop, and the OpenAI chat shape in which conversations come from outside. It knows no screen."""

from __future__ import annotations

from nemochat.chat.session import ChatSession
from nemochat.chat.talk import Talk
from nemochat.chat.turn import Stop
from nemochat.chat.values import (
    Attachment,
    ChatEvent,
    ContextView,
    Proposed,
    RoundEnded,
    ToolRun,
    ToolsAnswered,
    ToolState,
    thought,
    visible,
)
from nemochat.domain.chat import Chat, Entry
from nemochat.domain.replies import ReplyRecord, TurnResult

__all__ = [
    "Attachment",
    "Chat",
    "ChatEvent",
    "ChatSession",
    "ContextView",
    "Entry",
    "Proposed",
    "ReplyRecord",
    "RoundEnded",
    "Stop",
    "Talk",
    "ToolRun",
    "ToolState",
    "ToolsAnswered",
    "TurnResult",
    "thought",
    "visible",
]
