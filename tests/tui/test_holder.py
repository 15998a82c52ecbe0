"""When the user hears what was found about a model: before it is loaded, because loading it may be what fails."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nemochat.chat import ChatSession
from nemochat.domain.servers import ServedModel
from nemochat.errors import EngineDiedError
from nemochat.tui.app import NemochatApp
from nemochat.tui.screens.dialogs import Choose
from tests.chat.fake_engine import FakeEngine
from tests.tui.bench import Bench, Driver


class Cramped(Bench):
    """A machine on which the model will not fit."""

    told: tuple[str, ...] = ()

    async def open(self, model: ServedModel | str | None) -> ChatSession:
        session = await super().open(model)
        self.told = ("fake will need about 9.00 GB of memory and 2.00 GB are available.",)
        return session

    def take_notices(self) -> Sequence[str]:
        told, self.told = self.told, ()
        return told


async def test_the_warning_about_memory_is_shown_also_when_loading_fails(tmp_path: Path) -> None:
    engine = FakeEngine()
    engine.load_errors.append(EngineDiedError("The engine was killed, most likely because the machine ran out of memory."))
    bench = Cramped(tmp_path, {"fake": engine})
    app = NemochatApp(bench)
    async with app.run_test(size=(80, 24)) as pilot:
        driver = Driver(app, pilot, bench)
        await driver.dialog(Choose)
        assert any("9.00 GB of memory" in notice for notice in driver.notices)
    bench.library.close()
    bench.documents.close()
