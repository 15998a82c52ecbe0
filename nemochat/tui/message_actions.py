"""What can be done with a message: the menu, and what each line of it does."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from nemochat.chat import Chat, ChatEvent, ChatSession, Entry
from nemochat.domain.events import FinishReason
from nemochat.domain.messages import Role
from nemochat.domain.ttft import reading_of
from nemochat.prompt.nemotron import as_text
from nemochat.tui.documents import sources
from nemochat.tui.numbers import count, duration, speed
from nemochat.tui.screens.dialogs import Answer, Choose, Menu, Read, Write
from nemochat.tui.turns import Job
from nemochat.tui.widgets.message import code_of


class Desk(Protocol):
    """The screen, as far as messages are concerned."""

    @property
    def chat(self) -> Chat:
        """The conversation."""

    def change_chat(self, chat: Chat, *, can_undo: bool = True) -> None:
        """Show, use and keep another value of it."""

    def begin_chat(self, chat: Chat) -> None:
        """Leave it for another, new one."""

    def submit(self, job: Job) -> None:
        """Run a turn."""

    def refuse_while_busy(self) -> bool:
        """Whether a reply is being written; says so to the user."""

    def edit_in_prompt(self, index: int) -> None:
        """Bring the user's message back into the prompt."""

    def copy(self, text: str) -> None:
        """To the clipboard."""

    def say(self, text: str) -> None:
        """A short notice."""

    async def ask(self, screen: Choose | Menu | Write | Read) -> str | None:
        """Show a dialog and wait for its answer."""


def menu_of(entry: Entry, *, is_last: bool) -> Menu:
    """The menu of a message."""
    message = entry.message
    is_reply = message.role is Role.ASSISTANT
    answers = [Answer("copy", "Copy", "c")]
    if code_of(message) is not None:
        answers.append(Answer("copy_code", "Copy the code", "y"))
    if message.role is not Role.TOOL:
        answers.append(Answer("edit", "Edit" if is_reply else "Edit and send again", "e"))
    if message.role is Role.USER:
        answers.append(Answer("rewrite", "Change the words only", "w"))
    if message.role is not Role.TOOL:
        answers.append(Answer("regenerate", "Another reply", "r"))
    if is_reply and is_last:
        answers.append(Answer("continue", "Let it go on", "n"))
    if message.contexts:
        answers.append(Answer("sources", "What was put beside it", "s"))
    answers += [
        Answer("fork", "New chat from here", "f"),
        Answer("pin", "Unpin" if message.pinned else "Pin: the model keeps seeing it", "p"),
        Answer("exclude", "Let the model see it again" if message.excluded else "Exclude: the model does not see it", "x"),
        Answer("delete", "Delete", "d"),
        Answer("details", "Details", "i"),
    ]
    return Menu({Role.USER: "Your message", Role.ASSISTANT: "Reply", Role.TOOL: "Result of a tool"}[message.role], answers)


async def act(desk: Desk, index: int, name: str) -> None:
    """Do what a key or the menu says with the message at `index`."""
    if not 0 <= index < len(desk.chat.entries):
        return
    entry = desk.chat.entries[index]
    message = entry.message
    match name:
        case "menu":
            chosen = await desk.ask(menu_of(entry, is_last=index == len(desk.chat.entries) - 1))
            if chosen:
                await act(desk, index, chosen)
        case "copy":
            desk.copy(message.text)
        case "copy_code":
            desk.copy(code_of(message) or "")
        case "sources":
            await desk.ask(Read("Beside this message", sources(message)))
        case "details":
            await desk.ask(Read("Details", details(entry)))
        case _ if desk.refuse_while_busy():
            return
        case "edit" if message.role is Role.USER:
            desk.edit_in_prompt(index)
        case "edit" | "rewrite" if message.role is not Role.TOOL:
            title, hint = "Edit the reply", "The model will take it for its own words."
            if message.role is Role.USER:
                title, hint = "Change your words", "What came behind them stays."
            text = await desk.ask(Write(title, message.text, hint=hint))
            if text is not None and text.strip():
                desk.change_chat(desk.chat.rewritten(index, text))
        case "regenerate":
            _regenerate(desk, index)
        case "continue":
            desk.submit(Job("let it go on", play=ChatSession.continue_reply, continues=True))
        case "fork":
            desk.begin_chat(desk.chat.forked(index + 1))
            desk.say("This is a new chat now; the one before is in the list (Ctrl+R).")
        case "pin":
            desk.change_chat(desk.chat.marked(index, pinned=not message.pinned))
        case "exclude":
            desk.change_chat(desk.chat.marked(index, excluded=not message.excluded))
        case "delete":
            desk.change_chat(desk.chat.without(index))
            desk.say("Deleted. /undo brings it back.")
        case "swipe_left" | "swipe_right":
            _swipe(desk, index, 1 if name == "swipe_right" else -1)


def _regenerate(desk: Desk, index: int) -> None:
    """Another reply to the user's message at or before `index`, beside the one that is there."""
    entries = desk.chat.entries
    user = next((at for at in range(index, -1, -1) if entries[at].message.role is Role.USER), None)
    if user is None:
        desk.say("There is no message to reply to.")
        return
    def play(session: ChatSession, /, *, asked_at: float) -> AsyncGenerator[ChatEvent, None]:
        return session.regenerate(user, asked_at=asked_at)

    desk.submit(Job("another reply", play=play, keeps=user + 1))


def _swipe(desk: Desk, index: int, by: int) -> None:
    """To the next alternative of a message; to the right of the newest reply a new one is made. Greetings go round."""
    chat = desk.chat
    ids = chat.alternatives(index)
    to = ids.index(chat.entries[index].id) + by
    is_reply = chat.entries[index].message.role is Role.ASSISTANT
    if is_reply and index == len(chat.entries) - 1 and index > 0 and to == len(ids):
        _regenerate(desk, index)
    elif len(ids) > 1 and (index == 0 or 0 <= to < len(ids)):
        desk.change_chat(chat.swiped(index, ids[to % len(ids)]), can_undo=False)
    else:
        desk.say("There is no other version of this message.")


_ENDINGS = {
    FinishReason.STOP: "the model had finished",
    FinishReason.LENGTH: "it had reached the longest reply",
    FinishReason.CANCELLED: "it was stopped",
    FinishReason.TOOL_CALLS: "it called a tool",
}


def details(entry: Entry) -> str:
    """All that is known of a message: times, tokens, sampling, and the exact prompt of a reply."""
    record = entry.record
    if record is None:
        said = "Nothing was measured for it: a greeting, or words that were edited or came from elsewhere."
        return f"{len(entry.message.text):,} characters\n{said}" if entry.message.role is Role.ASSISTANT else _plain_details(entry)
    result, reading, sampling = record.result, reading_of(record.result), record.sampling
    read = f"{count(reading.evaluated_tokens)} of {count(reading.prompt_tokens)} tokens"
    rows = [
        ("Model", str(record.model)),
        ("Ended because", _ENDINGS[result.reason]),
        ("Time to first token", duration(reading.ttft_ms) if reading.ttft_ms is not None else "no text came"),
        ("  loading", duration(reading.load_ms)),
        ("  pictures", f"{duration(reading.encode_ms)}, {count(reading.encoded_images)} encoded"),
        ("  reading the prompt", f"{duration(reading.prefill_ms)}, {read}"),
        ("  first token", duration(reading.first_token_ms)),
        ("Reused from the cache", f"{count(reading.reused_tokens)} tokens"),
        ("Pictures in the prompt", f"{count(reading.image_tokens)} tokens"),
        ("Reply", f"{count(reading.completion_tokens)} tokens, {speed(reading.tokens_per_second)}"),
        ("Not seen by the model", f"{count(len(result.forgotten))} messages"),
        ("Sampling", f"temperature {_own(sampling.temperature)}, top-k {_own(sampling.top_k)}"),
        ("", f"top-p {_own(sampling.top_p)}, min-p {_own(sampling.min_p)}"),
        ("", f"repeat penalty {_own(sampling.repeat_penalty)}, seed {'random' if sampling.seed is None else sampling.seed}"),
        ("", f"at most {count(sampling.max_tokens)} tokens" if sampling.max_tokens else "as long as there is room"),
    ]
    table = "\n".join(f"{name:<24}{value}" for name, value in rows)
    if not record.prompt:
        return f"{table}\n\nThe exact prompt is known only in the run of nemochat that made the reply."
    return f"{table}\n\nThe exact prompt\n\n{as_text(record.prompt)}"


def _own(value: float | None) -> str:
    return "the model's own" if value is None else f"{value:g}"


def _plain_details(entry: Entry) -> str:
    message = entry.message
    pictures = "".join(f"\n{part.name or 'picture'}  {part.digest[:16]}" for part in message.images)
    return f"{len(message.text):,} characters{pictures}"
