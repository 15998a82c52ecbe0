"""What can be done with a message: the menu, and what each line of it does. Messages are named by their ids."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, Protocol

from nemochat.chat import Chat, ChatEvent, ChatSession, Entry, Stop
from nemochat.chat.recall import PromptHistory
from nemochat.desk.conversation import Around, OpenConversation
from nemochat.desk.documents import sources
from nemochat.desk.draft import Draft, unsaid
from nemochat.desk.port import Answer, AskMenu, AskOne, AskText, Port, Said, ShowText, Wanted
from nemochat.desk.sending import Sending
from nemochat.desk.turns import Play, Turn, speaking
from nemochat.domain.events import FinishReason
from nemochat.domain.messages import Message, Role
from nemochat.domain.sampling import InForce, Sampling, in_words
from nemochat.domain.sanitize import sanitize
from nemochat.domain.ttft import reading_of
from nemochat.numbers import count, duration, speed
from nemochat.prompt.format import as_text

_RIGHT = "An accepted answer on each line, or a regular expression between slashes: /\\bred\\b/"


class Board(Around, Protocol):
    """What messages need of the rest of the desk."""

    def keep_question(self, conversation: OpenConversation, chat: Chat, index: int, right: str) -> None:
        """Keep a message of the user's as a question for ``nemochat eval``. Called in a thread. Raises EvaluationError."""

    @property
    def sampling(self) -> InForce | None:
        """How replies in this conversation are made, None while there is no model."""

    def due(self, chat: Chat, said: str) -> tuple[str, ...]:
        """Who of a group is to answer a message of the user, in their order."""


class Messages:
    """Does what a key, the menu or a command says with one message."""

    def __init__(self, port: Port, draft: Draft, history: PromptHistory, sending: Sending, board: Board) -> None:
        self._port, self._draft, self._history, self._sending, self._board = port, draft, history, sending, board

    def act(self, id_: int, name: str) -> Coroutine[Any, Any, None]:
        """`name`: as in `menu_of`, or "menu", "swipe_left", "swipe_right". The message is of the conversation on the desk as it is now, not
        when this is waited for. Raises NemochatError."""
        return self._act(self._board.conversation, id_, name)

    async def _act(self, conversation: OpenConversation, id_: int, name: str) -> None:
        if conversation is not self._board.conversation:
            return
        index = conversation.chat.index_of(id_)
        if index is None:
            return
        entry = conversation.chat.entries[index]
        message = entry.message
        match name:
            case "menu":
                chosen = await self._port.ask(menu_of(entry, is_last=index == len(conversation.chat.entries) - 1))
                if chosen:
                    await self._act(conversation, id_, chosen)
            case "copy":
                self._port.tell(Wanted("copy", message.text))
            case "copy_code":
                self._port.tell(Wanted("copy", code_of(message) or ""))
            case "sources":
                await self._port.ask(ShowText("Added to this message", sources(message)))
            case "details":
                await self._port.ask(ShowText("Details", details(entry)))
            case "question":
                await self.keep_question(id_)
            case _ if self._board.refuse_while_busy():
                return
            case "edit" if message.role is Role.USER:
                await self.edit(id_)
            case "edit" | "rewrite" if message.role is not Role.TOOL:
                await self._rewrite(conversation, id_, message)
            case _:
                self._change(conversation, id_, name)

    async def edit(self, id_: int) -> None:
        """Bring the user's message into the prompt, with its pictures; sending it cuts the conversation there.

        A draft that is there is kept as one of the earlier prompts, so that it is not lost.
        """
        index = self._board.conversation.chat.index_of(id_)
        if index is None or self._board.refuse_while_busy():
            return
        draft = self._draft
        if not draft.is_empty:
            answers = (Answer("no", "Keep what I was writing"), Answer("yes", "Edit the message"))
            text = "The text in the prompt is not sent yet. Up brings it back later; its pictures are removed."
            if await self._port.ask(AskOne("The prompt is not empty", text, answers)) != "yes":
                return
            index = self._board.conversation.chat.index_of(id_)
            if index is None or self._board.refuse_while_busy():
                return
            self._history.add(draft.text)
        message = self._board.conversation.chat.entries[index].message
        for item in draft.items:
            draft.remove(item.key)
        draft.editing = id_  # before the words come, which are counted and read ahead by where they stand
        draft.load(unsaid(message.text))
        for part in message.images:
            draft.add_part(part)
        self._port.tell(Wanted("prompt"))

    async def keep_question(self, id_: int | None = None, right: str = "") -> None:
        """Keep the user's message at or before the one with this id, or their last one, with what would have been right."""
        conversation = self._board.conversation
        chat = conversation.chat
        end = len(chat.entries) - 1 if id_ is None else chat.index_of(id_)
        index = next((at for at in range(-1 if end is None else end, -1, -1) if chat.entries[at].message.role is Role.USER), None)
        if index is None:
            self._port.tell(Said("There is no message of yours to keep."))
            return
        asked = AskText("What would have been right?", hint=_RIGHT)
        said = right or await self._port.ask(asked)
        if said and said.strip():
            await asyncio.to_thread(self._board.keep_question, conversation, chat, index, said)
            self._port.tell(Said("Kept as one of your own questions: nemochat eval run own asks any model."))

    async def edit_last(self) -> None:
        """The same with the user's last message."""
        users = [entry.id for entry in self._board.conversation.chat.entries if entry.message.role is Role.USER]
        if users:
            await self.edit(users[-1])

    async def _rewrite(self, conversation: OpenConversation, id_: int, message: Message) -> None:
        title, hint = "Edit the reply", "The model will treat it as its own words."
        if message.role is Role.USER:
            title, hint = "Edit your message", "The messages after it stay."
        text = await self._port.ask(AskText(title, message.text, hint))
        if text is not None and text.strip():
            conversation.change(_at(id_, lambda chat, index: chat.rewritten(index, text)))

    def _change(self, conversation: OpenConversation, id_: int, name: str) -> None:
        """What needs no answer."""
        chat = conversation.chat
        index = chat.index_of(id_)
        if index is None:
            return
        message = chat.entries[index].message
        match name:
            case "regenerate":
                self._regenerate(conversation, index)
            case "continue":
                speaker = chat.entries[-1].speaker
                self._sending.submit(Turn(conversation, "let it go on", play=_continue, continues=True, speaker=speaker))
            case "fork":
                if self._board.begin(chat.forked(index + 1)):
                    self._port.tell(Said("This is a new chat now; the earlier one is in the list: /open"))
            case "pin":
                conversation.change(_at(id_, lambda chat, index: chat.marked(index, pinned=not message.pinned)))
            case "exclude":
                conversation.change(_at(id_, lambda chat, index: chat.marked(index, excluded=not message.excluded)))
                now = "sees this message again" if message.excluded else "does not see this message any more"
                self._port.tell(Said(f"The model {now}."))
            case "delete":
                conversation.change(_at(id_, lambda chat, index: chat.without(index)))
                self._port.tell(Said("Deleted. /undo brings it back."))
            case "swipe_left" | "swipe_right":
                self._swipe(conversation, index, 1 if name == "swipe_right" else -1)

    def _regenerate(self, conversation: OpenConversation, index: int) -> None:
        """Another reply to the user's message at or before `index`, beside the one that is there; in a group, to what stands before it."""
        chat, entries = conversation.chat, conversation.chat.entries
        user = next((entries[at] for at in range(index, -1, -1) if entries[at].message.role is Role.USER), None)
        if user is None:
            self._port.tell(Said("There is no message to reply to."))
            return
        keeps = (chat.index_of(user.id) or 0) + 1
        play, names = _again(user.id), list[str]()
        if chat.group is not None:
            is_reply = entries[index].message.role is not Role.USER
            keeps = _turn_begins(chat, index) if is_reply else keeps
            behind = [entry.speaker for entry in entries[keeps : keeps + 1]]
            names = behind if is_reply else [*self._board.due(chat.cut(keeps), user.message.text)] or behind
            if not names:
                self._port.tell(Said("Nobody is due to speak. /speak NAME lets somebody."))
                return
            play = speaking(names[0], entries[keeps - 1].id)
        if keeps < len(entries) and (now := self._board.sampling) is not None and now.sampling.temperature == 0:
            another = now.sampling.another(1).temperature
            said = f"Temperature 0 ({now.sources['temperature']}) would say the same again: this reply is made at {another:g}."
            self._port.tell(Said(said))
        speaker, then = next(iter(names), ""), tuple(names[1:])
        self._sending.submit(Turn(conversation, "another reply", play=play, keeps=keeps, speaker=speaker, then=then))

    def _swipe(self, conversation: OpenConversation, index: int, by: int) -> None:
        """To the next alternative of a message; to the right of the newest reply a new one is made. Greetings go round."""
        chat = conversation.chat
        ids = chat.alternatives(index)
        to = ids.index(chat.entries[index].id) + by
        is_reply = chat.entries[index].message.role is Role.ASSISTANT
        opens = all(entry.message.role is Role.ASSISTANT for entry in chat.entries[: index + 1])
        if is_reply and index == len(chat.entries) - 1 and index > 0 and to == len(ids) and not opens:
            self._regenerate(conversation, index)
        elif len(ids) > 1 and opens and chat.group is not None:
            conversation.change(lambda chat: chat.exchanged(index, ids[to % len(ids)]), can_undo=False)  # the others' greetings stay
        elif len(ids) > 1 and (index == 0 or 0 <= to < len(ids)):
            conversation.change(lambda chat: chat.swiped(index, ids[to % len(ids)]), can_undo=False)
        else:
            self._port.tell(Said("There is no other version of this message."))


def menu_of(entry: Entry, *, is_last: bool) -> AskMenu:
    """The menu of a message."""
    message = entry.message
    is_reply = message.role is Role.ASSISTANT
    answers = [Answer("copy", "Copy", "c")]
    if code_of(message) is not None:
        answers.append(Answer("copy_code", "Copy the code", "y"))
    if message.role is not Role.TOOL:
        answers.append(Answer("edit", "Edit" if is_reply else "Edit and send again", "e"))
    if message.role is Role.USER:
        answers.append(Answer("rewrite", "Edit the text only", "w"))
    if message.role is not Role.TOOL:
        answers.append(Answer("regenerate", "Another reply", "r"))
    if is_reply and is_last:
        answers.append(Answer("continue", "Continue it", "n"))
    if message.contexts:
        answers.append(Answer("sources", "Show what was added to it", "s"))
    if message.role is not Role.TOOL:
        answers.append(Answer("question", "Keep as a question to test models", "q"))
    answers += [
        Answer("fork", "New chat from here", "f"),
        Answer("pin", "Unpin" if message.pinned else "Pin: the model keeps seeing it", "p"),
        Answer("exclude", "Let the model see it again" if message.excluded else "Exclude: the model does not see it", "x"),
        Answer("delete", "Delete", "d"),
        Answer("details", "Details", "i"),
    ]
    title = {Role.USER: "Your message", Role.ASSISTANT: "Reply", Role.TOOL: "Result of a tool"}[message.role]
    return AskMenu(title, tuple(answers))


def code_of(message: Message) -> str | None:
    """The last code block of a message, None when it has none."""
    if not any(sign in message.text for sign in ("```", "~~~", "    ")):
        return None
    from markdown_it import MarkdownIt

    tokens = MarkdownIt("commonmark").parse(sanitize(message.text))
    blocks = [token.content.rstrip("\n") for token in tokens if token.type in ("fence", "code_block")]
    return blocks[-1] if blocks else None


def _continue(session: ChatSession, chat: Chat, stop: Stop, key: str, asked_at: float) -> AsyncGenerator[ChatEvent, None]:
    return session.continue_reply(chat, stop, key=key, asked_at=asked_at)


def _again(user: int) -> Play:
    def play(session: ChatSession, chat: Chat, stop: Stop, key: str, asked_at: float) -> AsyncGenerator[ChatEvent, None]:
        return session.regenerate(chat, stop, chat.index_of(user), key=key, asked_at=asked_at)

    return play


def _turn_begins(chat: Chat, index: int) -> int:
    """Where the turn begins that a reply is part of: its speaker may have called tools before it."""
    while index > 1 and (chat.entries[index - 1].message.role is Role.TOOL or chat.entries[index - 1].message.tool_calls):
        index -= 1
    return index


def _at(id_: int, edit: Callable[[Chat, int], Chat]) -> Callable[[Chat], Chat]:
    """A change of the message with this id, wherever it stands by then; none when it is gone."""

    def change(chat: Chat) -> Chat:
        index = chat.index_of(id_)
        return chat if index is None else edit(chat, index)

    return change


_FURTHER = Sampling.__struct_fields__[Sampling.__struct_fields__.index("presence_penalty") :]
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
        said = "It has no measurements: it is a greeting, was edited, or came from elsewhere."
        return f"{len(entry.message.text):,} characters\n{said}" if entry.message.role is Role.ASSISTANT else _plain_details(entry)
    result, reading, sampling = record.result, reading_of(record.result), record.sampling
    read = f"{count(reading.evaluated_tokens)} of {count(reading.prompt_tokens)} tokens"
    parts = [
        ("  pictures", f"{duration(reading.encode_ms)}, {count(reading.encoded_images)} encoded"),
        ("  reading the prompt", f"{duration(reading.prefill_ms)}, {read}"),
        ("  first token", duration(reading.first_token_ms)),
    ]
    rows = [
        ("Model", str(record.model)),
        ("Ended because", _ENDINGS[result.reason]),
        *([("Time to first thought", duration(reading.first_thought_ms))] if reading.first_thought_ms is not None else []),
        ("Time to first token", duration(reading.ttft_ms) if reading.ttft_ms is not None else "no text came"),
        ("  loading", duration(reading.load_ms)),
        *(parts if reading.is_split else [("  server", f"{duration(reading.first_token_ms)}, {read}")]),
        ("Reused from the cache", f"{count(reading.reused_tokens)} tokens"),
        ("Pictures in the prompt", f"{count(reading.image_tokens)} tokens"),
        ("Reply", f"{count(reading.completion_tokens)} tokens, {speed(reading.tokens_per_second)}"),
        ("Not seen by the model", f"{count(len(result.forgotten))} messages"),
        ("Sampling", f"temperature {_own(sampling.temperature)}, top-k {_own(sampling.top_k)}"),
        ("", f"top-p {_own(sampling.top_p)}, min-p {_own(sampling.min_p)}"),
        ("", f"repeat penalty {_own(sampling.repeat_penalty)}, seed {'random' if sampling.seed is None else sampling.seed}"),
        ("", f"at most {count(sampling.max_tokens)} tokens" if sampling.max_tokens else "as long as there is room"),
        *(("", f"{name} {in_words(name, value)}") for name in _FURTHER if (value := getattr(sampling, name)) is not None),
    ]
    table = "\n".join(f"{name:<24}{value}" for name, value in rows)
    if not record.prompt:
        return f"{table}\n\nThe exact prompt is known only until nemochat is closed."
    return f"{table}\n\nThe exact prompt\n\n{as_text(record.prompt)}"


def _own(value: float | None) -> str:
    return "the model's own" if value is None else f"{value:g}"


def _plain_details(entry: Entry) -> str:
    message = entry.message
    pictures = "".join(f"\n{part.name or 'picture'}  {part.digest[:16]}" for part in message.images)
    return f"{len(message.text):,} characters{pictures}"
