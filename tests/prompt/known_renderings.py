"""Chat templates rendered as anybody would, with what `call_styles.find` looks for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import jinja2

from nemochat.domain.messages import ToolCall
from nemochat.prompt.call_styles import CALL, QUESTION, REPLY, SECOND, THOUGHT, TOOL, Renderings
from tests.prompt.direct import direct


class RefusedError(Exception):
    """The template does not render this."""


def render(source: str, messages: Sequence[dict[str, Any]], **variables: Any) -> str:
    """The template's text, its tools and switches among the variables. Raises RefusedError."""
    usual = {"bos_token": "<BEGIN>", "eos_token": "<END>", "add_generation_prompt": False, "functions": "", "datetime": "2026-01-01"}
    try:
        return direct(source, {"messages": list(messages), **usual, **variables})
    except (jinja2.TemplateError, TypeError, ValueError) as error:
        raise RefusedError(str(error)) from error


def renderings(source: str, **switches: Any) -> Renderings:
    """What a template says of the known conversation."""

    def said(*messages: dict[str, Any], **variables: Any) -> str:
        try:
            return render(source, [{"role": "user", "content": QUESTION}, *messages], **switches, **variables)
        except RefusedError:
            return ""

    def calling(*calls: ToolCall) -> str:
        """Arguments as an object or as a string, no content as "" or null: what the template takes."""
        function = {"name": TOOL.name, "description": TOOL.description, "parameters": TOOL.parameters}
        for is_text in (False, True):
            for content in ("", None):
                entries = [
                    {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}
                    for call in calls
                    for arguments in [json.dumps(call.arguments) if is_text else call.arguments]
                ]
                message = {"role": "assistant", "content": content, "tool_calls": entries}
                reply = said(message, tools=[{"type": "function", "function": function}])
                if CALL.name in reply.rpartition(QUESTION)[2] and '\\"' not in reply.rpartition(QUESTION)[2]:
                    return reply
        return ""

    thought = {"reasoning_content": THOUGHT, "reasoning": THOUGHT, "thinking": THOUGHT}
    reply = {"role": "assistant", "content": REPLY}
    return Renderings(
        source=source,
        prompt=said(add_generation_prompt=True),
        text=said(reply),
        reasoned=said({**reply, **thought}),
        call=calling(CALL),
        calls=calling(CALL, SECOND),
    )
