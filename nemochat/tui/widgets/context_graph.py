"""A picture of the window: a bar of its parts, their sizes, and what the next message costs."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from textual.content import Content
from textual.geometry import Size
from textual.reactive import reactive
from textual.widget import Widget

from nemochat.chat import ContextView
from nemochat.domain.sanitize import sanitize
from nemochat.engine.protocol import Counts
from nemochat.numbers import count, plural

_GUTTER = 2
_MOST_CONTEXTS = 6
_NEAR = {Counts.LEARNT: "~ learnt from earlier replies", Counts.ESTIMATED: "~ guessed from the letters"}
"""Where numbers come from that are only near what the model reads."""


class Part(msgspec.Struct, frozen=True):
    """A part of the window: its name, the character that fills its share of the bar, its colour. is_exact: as in `numbers.count`."""

    name: str
    fill: str
    colour: str
    tokens: int
    is_exact: bool = True


def parts_of(view: ContextView) -> list[Part]:
    """The parts that take any room, in the order of the bar."""
    is_exact = view.is_exact
    parts = [
        Part("template", "▁", "$text-muted", view.template, is_exact),
        Part("system", "█", "$text-primary", view.system, is_exact),
        Part("memory", "▉", "$text-accent", view.memory, is_exact),
        Part("tools", "▓", "$text-secondary", view.tools, is_exact),
        Part("contexts", "▚", "$text-warning", view.documents, is_exact),
        Part("summary", "▤", "$text-warning", view.summary, is_exact),
        Part("history", "▒", "$text-success", view.history, is_exact),
        Part("pictures", "╱", "$text-accent", view.images, is_exact),  # noqa: RUF001
        Part("draft", "▞", "$foreground", view.draft, is_exact),
        Part("free", "·", "$text-muted", view.free, is_exact),
        Part("reserve", "░", "$text-muted", view.reserve),
    ]
    return [part for part in parts if part.tokens > 0]


def share(tokens: Sequence[int], width: int) -> list[int]:
    """Cells for each of these positive numbers: `width` in all, by size, and at least one each where the width allows it."""
    total = sum(tokens)
    if not total or width < len(tokens):
        return [1 if index < width else 0 for index in range(len(tokens))]
    exact = [each * width / total for each in tokens]
    cells = [max(1, int(each)) for each in exact]
    while sum(cells) != width:
        step = 1 if sum(cells) < width else -1
        # The one that is farthest from its exact share in that direction; none goes below one cell.
        order = [index for index in range(len(cells)) if step > 0 or cells[index] > 1]
        cells[max(order, key=lambda index: step * (exact[index] - cells[index]))] += step
    return cells


class ContextGraph(Widget):
    """The bar, its legend and the sentences below."""

    DEFAULT_CSS = "ContextGraph { height: auto; width: 1fr; }"

    view: reactive[ContextView | None] = reactive(None, layout=True)

    def render(self) -> Content:
        """Everything for the present width."""
        return self._content(self.content_size.width)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As many lines as it needs."""
        return self._content(width).get_height({}, width)

    def _content(self, width: int) -> Content:
        view = self.view
        if view is None:
            return Content.styled("Waiting for the model.", "$text-muted")
        parts = parts_of(view)
        cells = share([part.tokens for part in parts], width)
        bar = Content.assemble(*((part.fill * size, part.colour) for part, size in zip(parts, cells, strict=True)))
        return Content("\n").join([bar, *legend(parts, width), *sentences(view)])


def legend(parts: Sequence[Part], width: int) -> list[Content]:
    """The parts with their sizes, in two columns where they fit."""
    column = (width - _GUTTER) // 2
    if all(len(part.name) + len(_tokens(part)) + 3 <= column for part in parts):
        rows = (len(parts) + 1) // 2
        left = [_legend(part, column) for part in parts[:rows]]
        right = [_legend(part, column) for part in parts[rows:]]
        return [Content(" " * _GUTTER).join(pair) for pair in zip(left, right, strict=False)] + left[len(right) :]
    return [_legend(part, width) for part in parts]


def _legend(part: Part, width: int) -> Content:
    number = _tokens(part)
    room = max(1, width - len(number) - 3)
    return Content.assemble((part.fill, part.colour), f" {part.name[:room]:<{room}} ", number)


def _tokens(part: Part) -> str:
    return count(part.tokens, is_exact=part.is_exact)


def sentences(view: ContextView) -> list[Content]:
    """What the numbers mean for the next message."""
    exactly = view.is_exact
    lines = [Content.styled(f"{count(view.used, is_exact=exactly)} of {count(view.limit)} used", "bold")]
    over = view.used + view.reserve - view.limit
    if over > 0 and not view.trims:
        lines.append(Content.styled(f"! {plural(over, 'token', is_exact=exactly)} too many", "$text-error"))
    if not exactly:
        lines.append(Content.styled(_NEAR[view.counts], "$text-muted"))
    if view.tells_cached:
        cached, to_read = count(view.cached, is_exact=exactly), count(view.to_read, is_exact=exactly)
        lines.append(Content.styled(f"cached {cached} · to read {to_read}", "$text-muted"))
    if view.forgotten:
        tokens = plural(view.forgotten_tokens, "token", is_exact=exactly)
        lines.append(Content(f"forgotten {plural(len(view.forgotten), 'message')}, {tokens}"))
    if view.summed:
        which = "them" if view.summed == len(view.forgotten) else f"{count(view.summed)} of them"
        lines.append(Content(f"a summary stands for {which}"))
    elif view.summary_state:
        lines.append(Content.styled(view.summary_state, "$text-warning"))
    if view.excluded:
        lines.append(Content(f"hidden by you: {plural(len(view.excluded), 'message')}"))
    if view.trims:
        tokens = plural(view.to_read, "token", is_exact=exactly)
        words = f"! the next message makes the model forget more: {tokens} will be read again"
        lines.append(Content.styled(words, "$text-warning"))
    for context in view.contexts[-_MOST_CONTEXTS:]:
        source, reason = (sanitize(text, strict=True) for text in (context.source or "context", context.reason))
        lines.append(Content.assemble(("+ ", "$text-secondary"), source, (f": {reason}" if reason else "", "$text-muted")))
    if len(view.contexts) > _MOST_CONTEXTS:
        lines.append(Content.styled(f"+ {count(len(view.contexts) - _MOST_CONTEXTS)} more", "$text-muted"))
    if view.lore.always:
        names = ", ".join(sanitize(each.source, strict=True) for each in view.lore.always[:_MOST_CONTEXTS])
        more = f" and {count(len(view.lore.always) - _MOST_CONTEXTS)} more" if len(view.lore.always) > _MOST_CONTEXTS else ""
        lines.append(Content.assemble(("= ", "$text-secondary"), "always there", (f": {names}{more}", "$text-muted")))
    dropped, notices = view.lore.dropped, view.lore.notices
    for each in dropped[:_MOST_CONTEXTS]:
        source, reason = (sanitize(text, strict=True) for text in (each.source, each.reason))
        lines.append(Content.assemble(("− ", "$text-warning"), source, (f": {reason}", "$text-muted")))  # noqa: RUF001
    if len(dropped) > _MOST_CONTEXTS:
        lines.append(Content.styled(f"− {count(len(dropped) - _MOST_CONTEXTS)} more", "$text-muted"))  # noqa: RUF001
    lines += [Content.styled(f"! {sanitize(notice, strict=True)}", "$text-warning") for notice in notices[:_MOST_CONTEXTS]]
    if len(notices) > _MOST_CONTEXTS:
        lines.append(Content.styled(f"! {count(len(notices) - _MOST_CONTEXTS)} more keys cannot be used", "$text-muted"))
    return lines
