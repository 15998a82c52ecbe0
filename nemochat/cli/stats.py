"""``nemochat stats``, and the figures behind the replies of ``nemochat ask --stats``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nemochat.cli.output import days_ago, print_json, print_note, say
from nemochat.domain.ttft import Reading, statistics_of
from nemochat.tui.tables import costs, in_full, in_words, of_replies, reply_header, reply_row, times


def run(beginning: str | None, *, model: str, days: int | None, as_json: bool) -> None:
    """Print the figures of every reply in the library, or in the conversation whose id begins so. Raises LibraryError."""
    from nemochat.cli.library import opened
    from nemochat.library import ReplyQuery

    title = ""
    with opened() as library:
        conversation = ""
        if beginning is not None:
            found = library.find(beginning)
            conversation, title = found.id, found.title
        query = ReplyQuery(model=model, since=days_ago(days) if days else None, conversation=conversation)
        statistics = statistics_of(row.reading for row in library.replies(query))
    if as_json:
        print_json(statistics)
        return
    if title:
        print_note(title)
    if not statistics.all.replies:
        print_note("No reply matches that." if model or days else "There is no reply yet: ask something, and its figures appear here.")
        return
    say(f"{in_words(statistics)}\n\n{times(statistics).text}\n\n{costs(statistics).text}")


def tell(readings: Iterable[Reading]) -> None:
    """The replies of one turn on stderr, a line each."""
    print_note(of_replies(readings).text, strict=False)


class Running:
    """The figures of many requests, told on stderr one by one as they are served, and all together at the end."""

    def __init__(self) -> None:
        self._readings: list[Reading] = []

    def add(self, reading: Reading) -> None:
        """Tell one."""
        if not self._readings:
            print_note(reply_header())
        print_note(reply_row(reading))
        self._readings.append(reading)

    def finish(self) -> None:
        """Tell p50 and p95, where there are several."""
        readings: Sequence[Reading] = self._readings
        if len(readings) > 1:
            statistics = statistics_of(readings)
            print_note(f"\n{in_full(statistics)}", strict=False)
