"""The line at the bottom: model, state, how full the window is, and how fast replies come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import msgspec
from rich.cells import cell_len
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from nemochat.chat import TurnResult
from nemochat.domain.events import Progress, Stage
from nemochat.domain.sanitize import sanitize
from nemochat.domain.ttft import COLD_LOAD_MS, reading_of
from nemochat.numbers import count, duration, speed
from nemochat.tui.tables import first_of

_STEPS = "▁▂▃▄▅▆▇█"
_SPARKS = 12
_GAP = " · "
LEAVES, UNPROTECTED = "↗ leaves this machine", "not protected"
_EXPLAINED = {
    LEAVES: "what the model reads is sent to another machine.",
    UNPROTECTED: "the server makes tokens of words itself, so that words of documents and tools could pass for a turn of their own.",
}
_NAME, _LEAST_NAME, _WINDOW = 16, 8, len(" 12,345/32,768")


class StatusView(msgspec.Struct, frozen=True):
    """What the line shows.

    model: "" while it is not known which one is coming. state: in words. used and limit: tokens of the window, limit 0 when unknown.
    ttfts: ms of the conversation's replies, oldest first. leaves: words leave this machine. is_unprotected: what others have written can
    become control tokens. is_exact: whether `used` is what the model reads, or near it. devices: what it runs on beside the processor.
    """

    model: str
    state: str
    used: int
    limit: int
    last: TurnResult | None
    ttfts: tuple[float, ...] = ()
    leaves: bool = False
    is_unprotected: bool = False
    is_exact: bool = True
    devices: tuple[str, ...] = ()

    def marks(self, width: int) -> str:
        """What is said of the model for as long as it holds: in words, where they and the window fit into `width`, else in signs."""
        state = cell_len(self.state) + 2 * len(_GAP)
        said = [(LEAVES, "↗")] * self.leaves + [(UNPROTECTED, "unprotected")] * self.is_unprotected
        if self.devices:
            said.append((f"on {sanitize(', '.join(self.devices), strict=True)}", "GPU"))
        words, short = (_GAP.join(each) for each in ([long for long, _ in said], [short for _, short in said]))
        if cell_len(words) + state + min(cell_len(self.model), _NAME) + _WINDOW <= width:
            return words
        if cell_len(short) + state + _LEAST_NAME <= width:
            return short
        return "↗" * self.leaves + "!" * self.is_unprotected


def state_words(progress: Progress) -> str:
    """What the engine is doing."""
    done, total = progress.done, progress.total
    match progress.stage:
        case Stage.LOAD:
            return f"loading the model {round(100 * done / total)} %" if total else "loading the model"
        case Stage.COMPILE:
            return "preparing the GPU, which takes long the first time"
        case Stage.ENCODE:
            return f"reading the picture {min(done + 1, total)} of {total}" if total > 1 else "reading the picture"
        case Stage.PREFILL:
            return f"reading {count(done)} of {count(total)} tokens" if total else "reading"
        case Stage.SERVER:
            return "waiting for the server"


def sparkline(values: Sequence[float]) -> str:
    """The last values as bars, the largest of them full height."""
    shown = values[-_SPARKS:]
    top = max(shown, default=0.0)
    return "".join(_STEPS[min(len(_STEPS) - 1, int(value / top * len(_STEPS)))] if top > 0 and value > 0 else _STEPS[0] for value in shown)


def figures(view: StatusView, width: int) -> list[str]:
    """What stands on the right, as much of it as fits in `width`: the least important go first."""
    window, share, first, thought, pace, sparks = "", "", "", "", "", ""
    if view.limit:
        window = f"{count(view.used, is_exact=view.is_exact)}/{count(view.limit)}"
        share = f" ({round(100 * view.used / view.limit)} %)"
    last = reading_of(view.last) if view.last is not None else None
    if last is not None and last.ttft_ms is not None:
        first, thought = f"TTFT {duration(last.ttft_ms)}", first_of(last)
        if last.tokens_per_second is not None:
            pace = speed(last.tokens_per_second)
    if len(view.ttfts) > 1:
        sparks = sparkline(view.ttfts)
    choices = [
        [window + share, f"{thought} {sparks}".rstrip(), pace],
        [window + share, f"{first} {sparks}".rstrip(), pace],
        [window + share, first, pace],
        [window + share, first],
        [window, first],
        [window],
    ]
    for choice in choices:
        parts = [part for part in choice if part]
        if len(_GAP.join(parts)) <= width:
            return parts
    return []


def split(result: TurnResult, width: int) -> str:
    """Where the time to the first token of a reply went, as exactly as `width` allows."""
    reading = reading_of(result)
    load = [f"load {duration(reading.load_ms)}"] if reading.load_ms >= COLD_LOAD_MS else []
    encode = [f"pictures {duration(reading.encode_ms)}"] if reading.encode_ms >= 1 else []
    first = f"first token {duration(reading.first_token_ms)}"
    prompt = f"prompt {duration(reading.prefill_ms)}"
    if not reading.is_split:  # what a server did until then, it alone knows
        first, prompt = "", f"server {duration(reading.first_token_ms)}"
    evaluated, total = count(reading.evaluated_tokens), count(reading.prompt_tokens)
    for detail in (f" ({evaluated} of {total} tokens read, {count(reading.reused_tokens)} reused)", f" ({evaluated}/{total})", ""):
        words = _GAP.join([*load, *encode, prompt + detail, *([first] if first else [])])
        if len(words) <= width:
            return words
    return words[: max(0, width - 1)] + "…"


class StatusLine(Widget, can_focus=True):
    """One line, and a second one that splits the time to first token while it has the focus or was clicked."""

    help_title = "Status line"
    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,space", "open", "Split", show=False, id="status.split", tooltip="Show or hide where the time to first token went"),
    ]
    DEFAULT_CSS = """
    StatusLine { dock: bottom; height: 1; width: 100%; padding: 0 1; background: $panel; color: $foreground; }
    StatusLine.-open { height: 2; }
    StatusLine:focus { background: $boost; }
    """

    view: reactive[StatusView | None] = reactive(None)
    opened: reactive[bool] = reactive(False)

    def watch_view(self, view: StatusView | None) -> None:
        """The tooltip says the same as the second line, and what the marks mean."""
        marks = view.marks(200) if view else ""
        explained = [f"{mark}: {words}" for mark, words in _EXPLAINED.items() if mark in marks]
        self.tooltip = Content("\n".join([*explained, self._split(200)])) if view else None

    def watch_opened(self, opened: bool) -> None:
        """A second line, or not."""
        self.set_class(opened, "-open")

    def on_focus(self) -> None:
        """Show the split."""
        self.opened = True

    def on_blur(self) -> None:
        """Hide it."""
        self.opened = False

    def action_open(self) -> None:
        """Show or hide the split."""
        self.opened = not self.opened

    def render(self) -> Content:
        """The line or lines for the present width."""
        view, width = self.view, self.content_size.width
        if view is None or width < 1:
            return Content("")
        first = self._line(view, width)
        return Content("\n").join([first, Content.styled(self._split(width), "$text-muted")]) if self.opened else first

    @staticmethod
    def _line(view: StatusView, width: int) -> Content:
        model, state = sanitize(view.model, strict=True), sanitize(view.state, strict=True)
        # The state may be long ("stopped: ..."), the name of a file too: both are cut before the line is, the name first, and that for the
        # window too as long as enough of it is left. The marks stay.
        marks = view.marks(width)
        marked = f"{_GAP}{marks}" if marks else ""
        needed = cell_len(state) + len(_GAP) + cell_len(marked)
        room = width - needed
        if view.limit and room - _WINDOW >= _NAME:
            room -= _WINDOW
        name = Content(model).truncate(max(_LEAST_NAME, room), ellipsis=True)
        gap = _GAP if model or marks else ""
        colour = "$text-warning" if view.leaves or view.is_unprotected else "$text-muted"
        shown = Content.assemble((name.plain, "bold"), (marked, colour), (gap, "$text-muted"), state)
        left = shown.truncate(width, ellipsis=True)
        right = _GAP.join(figures(view, width - left.cell_length - 2))
        space = width - left.cell_length - Content(right).cell_length
        return Content.assemble(left, " " * space, (right, "$text-muted"))

    def _split(self, width: int) -> str:
        last = self.view.last if self.view else None
        if last is None or last.ttft_ms is None:
            return "No reply yet. The parts of its time to first token will stand here."
        return split(last, width)
