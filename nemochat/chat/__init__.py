"""The chat core: the one generation loop, and the OpenAI chat shape in which conversations come from outside. It knows no screen."""

from __future__ import annotations

from nemochat.chat.session import Attachment, ChatEvent, ChatSession, TurnResult

__all__ = ["Attachment", "ChatEvent", "ChatSession", "TurnResult"]
