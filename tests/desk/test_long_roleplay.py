"""A roleplay past the window with the demo model and the real engine: what each request reads is explained to the token."""

from pathlib import Path

import pytest

from benchmarks.roleplay import lines, play
from nemochat.desk import reading


async def test_every_token_that_is_read_follows_from_what_was_read_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A summary costs its question alone, the turn behind it the summary and what is left; nothing else is read twice, and a restart
    changes nothing. `python -m benchmarks.roleplay` plays sixty turns."""
    monkeypatch.setattr(reading, "PAUSE", 0.0)
    costs, before, after, chat = await play(tmp_path, 14, 640)
    assert len([cost for cost in costs if not cost.is_summary]) >= 14
    assert {entry.speaker for entry in chat.entries} >= {"Mira", "Tom", "Orrin"}
    assert chat.variables == {"toll": "2"}
    assert [cost.usage.evaluated_tokens for cost in costs] == [cost.expected for cost in costs]
    summaries = [cost for cost in costs if cost.is_summary]
    assert len(summaries) >= 2
    # Who speaks, and which lore, is by chance; that a summary is asked right behind another one is rare.
    again = "an earlier summary, and the turns that go next, were in the cache already"
    assert min(cost.usage.evaluated_tokens for cost in summaries[1:]) <= 130, again
    assert all(cost.usage.reused_tokens > 0.3 * cost.usage.prompt_tokens for cost in summaries), again
    assert chat.summary is not None
    assert chat.summary.text in before
    assert next(iter(lines(1))) not in before
    assert any(context.source for entry in chat.entries for context in entry.message.contexts), "lore has fired"
    assert before == after
