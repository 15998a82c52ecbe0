"""From the prompt to a turn: sending, editing an earlier message, and bringing back what was not sent."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from nemochat.chat import Attachment
from nemochat.chat.drops import Drop
from nemochat.domain.messages import Message, Role, TextPart
from nemochat.tui.attaching import Incoming, parts_of
from nemochat.tui.turns import Job

if TYPE_CHECKING:
    from nemochat.tui.screens.chat import ChatScreen


class Composer:
    """What the prompt holds becomes a message; nothing of it is ever lost on the way."""

    def __init__(self, screen: ChatScreen) -> None:
        self._screen = screen
        self._editing: int | None = None

    @property
    def is_editing(self) -> bool:
        """Whether an earlier message is in the prompt."""
        return self._editing is not None

    def submit(self, text: str, tokens: list[str], drop: Drop | None = None) -> None:
        """Run a command, or send a message with the pictures of these tokens and of the drop. The prompt has been emptied."""
        screen = self._screen
        tokens = [*tokens, *(screen.dropping.sent(drop) if drop is not None else ())]
        items = {item.key: item for item in screen.incomings.items}
        labels = [(key, items[key].label) for key in tokens if key in items]
        text = text.strip()
        if screen.slash.run(text):
            screen.aid.history.add(text)
            screen.prompt.put_back("", labels)
            return
        text = _said(text)
        if not text and not labels:
            return
        if self._editing is not None:
            if screen.refuse_while_busy():
                screen.prompt.put_back(text, labels)
                return
            screen.change_chat(screen.chat.cut(self._editing))
            self._editing = None
        taken = screen.incomings.take(tokens)
        screen.aid.history.add(text)
        screen.aid.draft.clear()
        screen.turns.submit(Job(text or "picture", message=partial(_message, text, taken), restore=partial(self._restore, text, taken)))
        screen.draw_side()

    def edit(self, index: int) -> None:
        """Bring the user's message back into the prompt, with its pictures; sending it cuts the conversation there."""
        screen = self._screen
        self._editing = index
        message = screen.chat.entries[index].message
        screen.incomings.arrange([])
        screen.prompt.load_text(message.text)
        screen.dropping.bring_back(message)
        screen.prompt.focus_area()
        screen.draw_status()

    def leave(self) -> None:
        """The conversation on the screen is left: its message is not edited any more."""
        self._editing = None

    def edit_last(self) -> None:
        """The same with the user's last message."""
        users = [index for index, entry in enumerate(self._screen.chat.entries) if entry.message.role is Role.USER]
        if users and not self._screen.refuse_while_busy():
            self.edit(users[-1])

    def give_up_edit(self) -> None:
        """The message stays as it was; the words stay in the prompt."""
        self._editing = None
        self._screen.say("The message stays as it was.")
        self._screen.draw_status()

    def unqueue(self, index: int) -> None:
        """A message that waits comes back into the prompt."""
        job = self._screen.turns.unqueue(index)
        if job is not None:
            job.restore()

    def _restore(self, text: str, items: list[Incoming]) -> None:
        """A message that was not sent comes back into the prompt; pictures that failed are left out."""
        good = [item for item in items if not item.state.startswith("failed")]
        self._screen.incomings.put_back(good)
        self._screen.prompt.put_back(text, [(item.key, item.label) for item in good])


def draft_of(text: str, attached: Sequence[Attachment]) -> Message:
    """What the prompt would send; a command sends nothing."""
    if text.lstrip().startswith("/") and not text.lstrip().startswith("//"):
        text = ""
    return _made_of(_said(text.lstrip()), attached)


async def _message(text: str, items: list[Incoming]) -> Message:
    """The message of a job, when its pictures are there."""
    return _made_of(text, await parts_of(items))


def _said(text: str) -> str:
    """Two slashes at the beginning stand for one that begins no command."""
    return text[1:] if text.startswith("//") else text


def _made_of(text: str, attached: Sequence[Attachment]) -> Message:
    return Message(Role.USER, (*(each.part for each in attached), *((TextPart(text),) if text else ())))
