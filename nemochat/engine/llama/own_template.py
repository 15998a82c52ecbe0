"""What llama.cpp itself makes of a conversation, to be set beside nemochat's rendering when somebody looks for a fault."""

from __future__ import annotations

import ctypes

import llama_cpp

from nemochat.domain.messages import Conversation, TextPart

_CHATML = "chatml"
"""What llama.cpp takes for a model whose file has no template."""


def rendered(template: str, conversation: Conversation) -> str | None:
    """The prompt as llama.cpp's C interface renders it, which knows some templates by sight and executes none.

    None when it does not know this one, or when there is more in the conversation than words: tools, contexts, pictures, thoughts, calls.
    """
    parts = [part for message in conversation.messages for part in message.parts]
    if conversation.tools or conversation.contexts or not all(isinstance(part, TextPart) for part in parts):
        return None
    system = "\n\n".join(text for text in (conversation.system, conversation.memory) if text)
    said = [("system", system)] if system else []
    said += [(message.role.value, message.text) for message in conversation.messages]
    messages = (llama_cpp.llama_chat_message * len(said))(*(_message(role, text) for role, text in said))
    source, room = (template or _CHATML).encode("utf-8", "replace"), 0
    while True:
        text = ctypes.create_string_buffer(room)
        size = llama_cpp.llama_chat_apply_template(source, messages, len(said), True, text, room)
        if size <= room:
            return None if size < 0 else text.raw[:size].decode("utf-8", "replace")
        room = size


def _message(role: str, text: str) -> llama_cpp.llama_chat_message:
    return llama_cpp.llama_chat_message(role.encode(), text.encode("utf-8", "replace"))
