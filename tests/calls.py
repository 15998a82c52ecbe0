"""Tool calls as they stand in a reply."""

from nemochat.domain.messages import ToolCall, ToolCallPart
from nemochat.prompt.replies import FORMAT, written


def call_part(raw: str, calls: tuple[ToolCall, ...] = ()) -> ToolCallPart:
    """What is made of the text between two tags, when these are the calls in it."""
    usual = ToolCallPart(calls)
    return usual if calls and written(usual) == raw else ToolCallPart(calls, raw, FORMAT)
