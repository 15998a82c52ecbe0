"""A conversation of any length, of which only the messages around the reader are mounted.

Near an end of the window more messages are mounted on that side, and as many removed from the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from textual.app import ComposeResult
from textual.widget import Widget
from textual.widgets import Static

from nemochat.chat import ContextView, Entry
from nemochat.domain.messages import Role
from nemochat.numbers import count
from nemochat.tui.widgets.message import MessageView, Standing
from nemochat.tui.widgets.steady_scroll import SteadyScroll
from nemochat.tui.widgets.transcript_notes import ForgottenLine, Jump, ShownSummary, SystemText

OPEN = 16
"""Messages mounted when a conversation opens: about a screenful; more follow until a screenful lies beyond it."""
PAGE = 8
"""Messages mounted at once near an end."""
MOST = 64
"""Messages mounted at most; on a very high screen two for each of its rows, so that they always fill more than a screenful."""
SCREENFULS = 3
"""How far away in either direction a message is taken out, when others are mounted."""


class MessageWindow(SteadyScroll):
    """The messages of a conversation, what stands around them, and at the end one more widget: the reply that is being written.

    All `async` methods must run one after another: in this widget's own message queue.
    """

    def __init__(self, *, empty: Widget | None = None, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.entries: tuple[Entry, ...] = ()
        self.views: list[MessageView] = []
        self.first = 0
        self.writing: MessageView | None = None
        self._seen: ContextView | None = None
        self._forgotten: frozenset[int] = frozenset()
        self._model_name = ""
        self._alternatives: Mapping[int, tuple[int, int]] = {}
        self._summary: ShownSummary | None = None
        self._last_user = -1
        self._will_page = False
        self._empty = empty or Static()
        self._system = SystemText()
        self.earlier = Jump(id="earlier")
        self.later = Jump(id="later")
        self.below = Jump("▼ new text below", id="below")
        self._line: ForgottenLine | None = None

    def compose(self) -> ComposeResult:
        """What stands around the messages."""
        yield self._empty
        yield self._system
        yield self.earlier
        yield self.later
        yield self.below

    @property
    def stop(self) -> int:
        """The index after the last mounted message."""
        return self.first + len(self.views)

    def top_child(self) -> Widget | None:
        """The first child in view. The line above the window is no place: it stays at the top, whatever is mounted below it."""
        return next((each for each, region in self._regions.items() if each is not self.earlier and region.bottom > self.scroll_y), None)

    def accent_of(self, entry: Entry) -> str:
        """The colour of the speaker's name, "" for the theme's."""
        return ""

    def portrait_of(self, entry: Entry) -> bytes:
        """The picture of who speaks, b"" for none."""
        return b""

    def is_last(self) -> bool:
        """Whether nothing lies below the window."""
        return self.stop >= len(self.entries)

    def on_resize(self) -> None:
        """A larger view may need more messages."""
        self.has_moved()

    def has_moved(self) -> None:
        """The reader scrolled: mount what comes next."""
        if self.is_following:
            self.below.display = False
        if not self._will_page and self._next_window() is not None:
            self._will_page = True
            self.call_after_refresh(self._page)  # the page that the reader asked for is seen first

    async def change(
        self,
        entries: tuple[Entry, ...],
        seen: ContextView | None,
        model_name: str,
        system: str,
        alternatives: Mapping[int, tuple[int, int]],
        summary: ShownSummary | None,
    ) -> None:
        """Make the display equal to these messages; widgets of unchanged ones stay."""
        if not self.is_attached:
            return
        self._summary = summary
        difference = compare(self.entries, entries)
        kept = {place: view for index, view in self._by_index().items() if (place := difference.place_of(index)) is not None}
        kept = {place: view for place, view in kept.items() if view.entry.message.role is entries[place].message.role}
        was_last, first, stop = self.is_last(), self.first, self.stop
        self.entries, self._seen, self._model_name, self._alternatives = entries, seen, model_name, alternatives
        self._forgotten = frozenset(seen.forgotten if seen else ())
        self._last_user = max((i for i in range(difference.prefix, len(entries)) if entries[i].message.role is Role.USER), default=-1)
        if self._last_user < 0:
            self._last_user = next((i for i in reversed(range(difference.prefix)) if entries[i].message.role is Role.USER), -1)
        self._system.set_text(system)
        if difference.is_other:
            self.is_following = True
            first, stop = max(0, len(entries) - OPEN), len(entries)
        else:
            first, stop = self._moved_window(difference, first, stop, was_last=was_last)
        focused = self.focused_view()
        if focused is not None and focused in self.views and difference.place_of(focused.standing.index) is None:
            self._leave()
        with self.app.batch_update():
            if self.writing is not None and not self.writing.is_streaming and not difference.is_none:
                await self._take_over(self.writing, kept)
            await self.set_window(first, stop, kept)
        self.call_after_refresh(self.has_moved)

    def _leave(self) -> None:
        """The message that has the focus is no more: who goes on typing means no other message, so the focus goes where typing is safe."""
        wanted = self.screen.AUTO_FOCUS
        if wanted and wanted != "*":
            self.screen.set_focus(next((widget for widget in self.screen.query(wanted) if widget.focusable), None))

    async def set_window(self, first: int, stop: int, kept: dict[int, MessageView] | None = None) -> None:
        """Mount the messages from `first` to before `stop`; `kept` are the widgets that can be used, by index."""
        kept = self._by_index() if kept is None else kept
        before = self.views
        views = [kept.get(index) or MessageView(self.entries[index], self._standing(index)) for index in range(first, stop)]
        gone = [view for view in before if view not in views]
        present = {*before, *kept.values()}
        with self.app.batch_update():
            self.first, self.views = first, views
            self._keep_focus(before, gone)
            anchor: Widget = self.writing or self.later
            run: list[MessageView] = []
            for view in reversed(views):
                if view not in present:
                    run.insert(0, view)
                    continue
                if run:
                    await self.mount_all(run, before=anchor)
                    run = []
                anchor = view
            if run:
                await self.mount_all(run, before=anchor)
            if gone:
                await self.remove_children(gone)
            for index, view in enumerate(views, first):
                await view.set(self.entries[index], self._standing(index))
            await self._set_notes()

    async def open_end(self) -> None:
        """Mount the end of the conversation and follow it."""
        if not self.is_last():
            await self.set_window(max(0, len(self.entries) - OPEN), len(self.entries))
        self.follow()
        self.below.display = False
        self.call_after_refresh(self.has_moved)

    async def open_at(self, index: int) -> None:
        """Mount a message and those around it, and bring it to the top."""
        if not self.first <= index < self.stop:
            first = max(0, index - OPEN // 2)
            await self.set_window(first, min(len(self.entries), first + OPEN))
        self.hold(self._system if index == 0 and self._system.has_text else self.views[index - self.first])
        self.call_after_refresh(self.has_moved)

    def _by_index(self) -> dict[int, MessageView]:
        return dict(enumerate(self.views, self.first))

    def _moved_window(self, difference: Change, first: int, stop: int, *, was_last: bool) -> tuple[int, int]:
        """The window after a change: the same messages, and at the end the new ones if the end was there."""
        length = difference.new
        shift = difference.new - difference.old
        stop = length if was_last else min(length, stop if stop <= difference.prefix else stop + shift)
        first = min(first if first < difference.old - difference.suffix else first + shift, stop)
        if stop - first > MOST:
            first, stop = (stop - MOST, stop) if self.is_following else (first, first + MOST)
        return (max(0, stop - OPEN) if stop - first < OPEN else first), stop

    async def _take_over(self, written: MessageView, kept: dict[int, MessageView]) -> None:
        """The reply that was written becomes the widget of its message, when that shows the same; else it goes."""
        self.writing = None
        last = len(self.entries) - 1
        if last >= 0 and last not in kept and written.shows(self.entries[last]):
            kept[last] = written
        else:
            await written.remove()

    def _next_window(self) -> tuple[int, int] | None:
        """The window that should be mounted for where the reader is, None when it is."""
        most = max(MOST, 2 * self.rows)
        if self.first > 0 and self.scroll_y < self.rows:
            first = max(0, self.first - PAGE)
            far = self.scroll_y + (1 + SCREENFULS) * self.rows
            near = [index for index, view in self._by_index().items() if (region := self.region_of(view)) is None or region.y < far]
            return first, min(max(near, default=self.first) + 1, first + most)
        if self.stop < len(self.entries) and self.scroll_y > self.max_scroll_y - self.rows:
            stop = min(len(self.entries), self.stop + PAGE)
            far = self.scroll_y - SCREENFULS * self.rows
            near = [index for index, view in self._by_index().items() if (region := self.region_of(view)) is None or region.bottom > far]
            return max(min(near, default=self.stop), stop - most), stop
        return None

    async def _page(self) -> None:
        self._will_page = False
        window = self._next_window()
        if window is not None:
            # A running animation would go on to a row that means another place after the change.
            await self.stop_animation("scroll_y")
            await self.set_window(*window)
            self.call_after_refresh(self.has_moved)

    def focused_view(self) -> MessageView | None:
        """The message that has the focus."""
        focused = self.screen.focused if self.is_attached else None
        return focused if isinstance(focused, MessageView) and focused.parent is self else None

    def _keep_focus(self, before: Sequence[MessageView], gone: Sequence[MessageView]) -> None:
        """When the focused message leaves the window, the nearest one that stays is focused, without scrolling."""
        focused = self.focused_view()
        staying = [view for view in before if view not in gone]
        if focused in gone and staying:
            place = before.index(focused)
            self.screen.set_focus(min(staying, key=lambda view: abs(before.index(view) - place)), scroll_visible=False)

    async def _set_notes(self) -> None:
        """Bring what stands around the messages up to date."""
        self._empty.display = not self.entries and self.writing is None
        self._system.display = self.first == 0 and self._system.has_text
        self.earlier.set_count("▲", self.first, "earlier")
        self.later.set_count("▼", len(self.entries) - self.stop, "later")
        if self.writing is not None:
            self.writing.display = self.is_last()
        await self._set_line()

    async def _set_line(self) -> None:
        """Put the line of forgetting before the first message that the model still sees."""
        place = self._line_place()
        seen = self._seen
        tokens = f"{count(seen.forgotten_tokens, is_exact=seen.is_exact)} tokens" if seen is not None and seen.forgotten else ""
        if self._line is not None:
            children = list(self.children)
            if place in children and self._line in children and children.index(place) == children.index(self._line) + 1:
                self._line.set_shown(tokens, self._summary)
                return
            line, self._line = self._line, None
            await line.remove()
        if place is not None:
            self._line = ForgottenLine(tokens, self._summary)
            await self.mount(self._line, before=place)

    def _line_place(self) -> Widget | None:
        """The widget before which the line of forgetting stands, None when it is not in the window."""
        if not self._forgotten and self._summary is None:
            return None
        place = max(self._forgotten) + 1 if self._forgotten else self._summary.place if self._summary is not None else 0
        index = place - self.first
        if 0 <= index < len(self.views):
            return self.views[index]
        return (self.writing or self.later) if index == len(self.views) and self.is_last() else None

    def _standing(self, index: int) -> Standing:
        is_reply = self.entries[index].message.role is Role.ASSISTANT
        place, alternatives = self._alternatives.get(index, (1, 1))
        return Standing(
            index=index,
            model_name=self._model_name,
            forgotten=index in self._forgotten,
            summed_up=self._summary is not None and self._summary.is_on and index < self._summary.place,
            can_regenerate=is_reply or index == self._last_user,
            can_continue=is_reply and index == len(self.entries) - 1,
            place=place,
            alternatives=alternatives,
            portrait=self.portrait_of(self.entries[index]),
            accent=self.accent_of(self.entries[index]),
        )


class Change(msgspec.Struct, frozen=True):
    """From `old` to `new` entries: the first `prefix` and the last `suffix` are the same."""

    old: int
    new: int
    prefix: int
    suffix: int

    @property
    def is_other(self) -> bool:
        """Nothing is the same: another conversation, or the first message of this one."""
        return self.prefix == 0 and self.suffix == 0 and not self.is_none

    @property
    def is_none(self) -> bool:
        """Everything is the same."""
        return self.prefix == self.old == self.new

    def place_of(self, index: int) -> int | None:
        """Where the entry at `index` stands now; entries in the changed middle keep their place as long as there is one."""
        if index < self.prefix:
            return index
        if index >= self.old - self.suffix:
            return index + self.new - self.old
        return index if index < self.new - self.suffix else None


def compare(old: Sequence[Entry], new: Sequence[Entry]) -> Change:
    """Find the same beginning and end. Values that are the same object cost nothing."""
    shorter = min(len(old), len(new))
    prefix = next((i for i in range(shorter) if old[i] is not new[i] and old[i] != new[i]), shorter)
    rest = shorter - prefix
    suffix = next((i for i in range(rest) if old[-1 - i] is not new[-1 - i] and old[-1 - i] != new[-1 - i]), rest)
    return Change(len(old), len(new), prefix, suffix)
