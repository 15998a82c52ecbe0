"""Models on their way to this machine, one at a time and beside everything else; what there is to get, and what was begun."""

from __future__ import annotations

import asyncio
import threading
import time
from functools import partial

from nemochat.chat import Stop
from nemochat.desk.jobs import Jobs, Rank
from nemochat.desk.port import AboutToAsk, Answer, AskItem, AskOne, AskText, Complained, Fetching, Item, Port, Said, Workbench
from nemochat.errors import NemochatError
from nemochat.models.download import StoppedError
from nemochat.models.known import Known, known_models
from nemochat.models.pull import Plan, Progress, Wish, no_room
from nemochat.numbers import size_text
from nemochat.system.threads import in_daemon

_RUNNING, _OTHER, _BEGUN = "\0running", "\0other", "\0begun "
"""Stand for what is no model's name in the list."""
_SECONDS = 0.25
"""Between two words of how far it is."""


class Downloads:
    """Owns what is on its way. It ends with the program, and goes on where it was when it is asked for again."""

    def __init__(self, port: Port, bench: Workbench, jobs: Jobs) -> None:
        self._port, self._bench, self._jobs = port, bench, jobs
        self._stop: threading.Event | None = None
        self._name = ""
        self._progress: Progress | None = None

    @property
    def is_running(self) -> bool:
        """Whether a model is on its way."""
        return self._stop is not None

    async def choose(self) -> None:
        """Show what there is to get, and get what is chosen. Raises NemochatError."""
        self._port.tell(AboutToAsk())
        begun = await asyncio.to_thread(self._bench.puller.unfinished)
        free = self._bench.available_memory()
        items = [Item(f"{_BEGUN}{at}", wish.source, "begun and not finished: goes on") for at, wish in enumerate(begun)]
        if self.is_running:
            words = f": {self._progress.in_words()}" if self._progress is not None else ""
            items = [Item(_RUNNING, self._name, f"choose it to stop it; on its way{words}")]
        items += [_item(known, free) for known in known_models()]
        items.append(Item(_OTHER, "Another one…", "owner/repository of Hugging Face, ngc:org/model:version, or an address"))
        chosen: str | None = await self._port.ask(AskItem("Get a model", tuple(items)))
        if chosen is None:
            return
        if chosen == _RUNNING:
            await self.stop()
        elif chosen.startswith(_BEGUN):
            await self._go_on(begun[int(chosen.removeprefix(_BEGUN))])
        elif chosen == _OTHER:
            hint = "owner/repository, with :QUANT or :FILE behind it; ngc:org/model:version; or the address of a .gguf"
            source = await self._port.ask(AskText("Get a model", hint=hint, one_line=True))
            if source and source.strip():
                await self.get(Wish(source.strip()))
        else:
            await self.get(Wish(chosen))

    async def get(self, wish: Wish) -> None:
        """Ask whether a model shall come, and let it. Raises NemochatError."""
        if self._refuse_second():
            return
        self._port.tell(Fetching("asking what there is"))
        try:
            plan = await in_daemon(partial(self._bench.puller.plan, wish), "asking")
            room = self._bench.puller.missing_room(plan)
        finally:
            self._port.tell(Fetching(""))
        if room is not None:
            raise no_room(self._bench.paths.models, *room)
        answers = (Answer("no", "Not now"), Answer("yes", "Use it" if plan.there else "Download"))
        title = f"Get {plan.offer.place.what}?"
        said = await self._port.ask(AskOne(title, _described(plan, self._bench.available_memory()), answers, plan.offer.terms))
        if said == "yes" and not self._refuse_second():
            self._begin(plan)

    async def stop(self) -> None:
        """Ask whether what is on its way shall stop. What has come is kept."""
        answers = (Answer("on", "Go on"), Answer("stop", "Stop it"))
        said = await self._port.ask(AskOne(f"Stop {self._name}?", "What has come is kept: Get a model goes on with it.", answers))
        if said == "stop" and self._stop is not None:
            self._stop.set()

    async def _go_on(self, wish: Wish) -> None:
        answers = (Answer("later", "Not now"), Answer("on", "Go on"), Answer("drop", "Throw it away"))
        said = await self._port.ask(AskOne(wish.source, "A part of it has come. What shall be done with it?", answers))
        if said == "on":
            await self.get(wish)
        elif said == "drop":
            await asyncio.to_thread(self._bench.puller.give_up, wish)
            self._port.tell(Said(f"What had come of {wish.source} is thrown away."))

    def _refuse_second(self) -> bool:
        if self.is_running:
            self._port.tell(Said(f"{self._name} is on its way: wait for it, or stop it with F3."))
        return self.is_running

    def _begin(self, plan: Plan) -> None:
        self._stop, self._name, self._progress = threading.Event(), plan.offer.place.what, None
        self._jobs.start(Rank.USER, "download", partial(self._run, plan, self._stop))

    async def _run(self, plan: Plan, stop: threading.Event, _: Stop) -> None:
        loop = asyncio.get_running_loop()
        last = 0.0

        def report(progress: Progress) -> None:
            nonlocal last
            if not stop.is_set() and time.monotonic() - last >= _SECONDS:
                last = time.monotonic()
                loop.call_soon_threadsafe(self._tell, progress)

        try:
            entry = await in_daemon(lambda: self._bench.puller.pull(plan, report, stop.is_set), "download")
            self._port.tell(Said(f"{entry.name} has come. F3 or /model {entry.name} lets it answer."))
        except StoppedError as error:
            self._port.tell(Said(f"{error.message} {error.hint}".strip()))
        except NemochatError as error:
            self._port.tell(Complained(error))
        finally:
            stop.set()  # its thread ends too when this is cancelled because the program ends
            self._stop = self._progress = None
            self._port.tell(Fetching(""))

    def _tell(self, progress: Progress) -> None:
        if self.is_running:
            self._progress = progress
            self._port.tell(Fetching(progress.in_words()))


def _item(known: Known, free: int) -> Item:
    fits = "fits" if known.gigabytes * 1e9 < free else "too large for the memory that is free"
    words = (f"{known.gigabytes:g} GB", fits, "sees pictures" if known.sees else "text only", known.licence, known.why)
    return Item(known.name, known.name, " · ".join(filter(None, words)))


def _described(plan: Plan, free: int) -> str:
    """What is to be known before it comes."""
    size = size_text(plan.size) if plan.size is not None else "of a size that is not known"
    files = f"{len(plan.files)} files, {size}" if len(plan.files) != 1 else f"1 file, {size}"
    lines = ["It is here already: another program has it, and it is used where it lies." if plan.there else f"{files}."]
    if plan.memory is not None:
        lines.append(f"It needs about {size_text(plan.memory)} of memory, and {size_text(free)} are free.")
    if not plan.is_packed and plan.projector is None:
        lines.append("It reads text only.")
    return "\n\n".join([" ".join(lines), *plan.about.sentences()])
