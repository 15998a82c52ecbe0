"""A few minutes' worth of a bad day, in seconds. The long one is run by hand: see `tests.terminal.chaos`."""

from __future__ import annotations

from pathlib import Path

from tests.terminal.chaos import Chaos


def test_nothing_that_was_sent_is_lost_on_a_bad_day(tmp_path: Path) -> None:
    chaos = Chaos(5, tmp_path, rush=8.0)
    try:
        chaos.start(early=True)
        day = [chaos.send, chaos.burst, chaos.kill_worker, chaos.send_and_quit, chaos.drop, chaos.send, chaos.terminate, chaos.burst]
        for action in day:
            action()
            chaos.pause(0.1)
        chaos.quit()
        chaos.come_to_rest()
        chaos.check()
    finally:
        chaos.close()
    assert chaos.findings == []
    assert sum(each.is_sure for each in chaos.sent.values()) >= 8
