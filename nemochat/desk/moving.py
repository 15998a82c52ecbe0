"""What comes from other programs: taken in beside the user, with a report at the end."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from nemochat.desk.port import Answer, AskOne, ChatsChanged, Port, Said, ShowText, Workbench, Working
from nemochat.domain.sanitize import shown
from nemochat.moving.report import Report
from nemochat.numbers import count
from nemochat.personas.sampling_presets import PresetStore

_MOST_NAMED = 12


class Moving:
    """Imports one thing at a time."""

    def __init__(self, port: Port, bench: Workbench) -> None:
        self._port, self._bench = port, bench
        self._turn = asyncio.Lock()
        self._stops: set[threading.Event] = set()

    async def take(self, path: Path) -> None:
        """Take in a file or a folder, and show what came of it. Raises NemochatError when it cannot be read at all."""
        from nemochat.moving.importing import Importer, Stores  # seldom needed: the program starts the sooner

        stop = threading.Event()
        self._stops.add(stop)
        loop = asyncio.get_running_loop()

        def show(words: str) -> None:
            if not stop.is_set():
                self._port.tell(Working(words))

        def tell(done: int, total: int) -> None:
            words = f"importing {count(done)} of {count(total)} ..." if total else "looking through the files ..."
            loop.call_soon_threadsafe(show, words)

        bench = self._bench
        stores = Stores(bench.library, bench.personas, bench.lorebooks, PresetStore(bench.paths.presets))
        try:
            async with self._turn:
                tell(0, 0)
                importer = await asyncio.to_thread(Importer, stores, tell, stop.is_set)
                report = await asyncio.to_thread(importer.run, path)
        finally:
            # Who waits for the thread no longer ends it, between two files.
            stop.set()
            self._stops.discard(stop)
            self._port.tell(Working(""))
        self._port.tell(ChatsChanged())
        if report.again and await self._port.ask(_asks_again(report)) == "yes":
            report = await asyncio.to_thread(importer.add_again)
        if report.has_brought_nothing and not report.left:
            why = report.failed[0].why.rstrip(".") if report.failed else "nothing in it is of a kind that is known here"
            self._port.tell(Said(f"{shown(path.name)} brought nothing: {why}."))
            return
        await self._port.ask(ShowText(f"Imported from {shown(path.name)}", report.text))

    def stop(self) -> bool:
        """Stop importing; whether anything was. What came until then stays."""
        for event in self._stops:
            event.set()
        return bool(self._stops)


def _asks_again(report: Report) -> AskOne:
    names = [each.name for each in report.again]
    more = f" and {count(len(names) - _MOST_NAMED)} more" if len(names) > _MOST_NAMED else ""
    text = f"Personas of the same name are here already, and are different: {', '.join(names[:_MOST_NAMED])}{more}."
    return AskOne("Add them beside those?", text, (Answer("no", "Leave them out"), Answer("yes", "Add them")))
