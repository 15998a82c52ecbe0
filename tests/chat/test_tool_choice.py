"""Tools chosen by need: within the budget, those that the words call for, and no change without a reason."""

from __future__ import annotations

from nemochat.chat import Chat, TurnResult
from nemochat.chat.offered import choose
from nemochat.chat.toolbox import with_tools
from nemochat.domain.messages import Message, Role, TextPart, ToolSpec
from nemochat.domain.sampling import Sampling
from nemochat.engine.protocol import LoadRequest
from nemochat.prompt.format import as_text
from nemochat.settings import EngineSettings
from tests.chat.fake_engine import FakeEngine, reply
from tests.chat.talking import Talking

MAIL, MAPS, SUMS = ToolSpec("send_mail", "Send an e-mail."), ToolSpec("find_route", "Find a route."), ToolSpec("calculator", "Calculate.")
OFFERED = (MAIL, MAPS, SUMS)
COSTS = {"send_mail": 50, "find_route": 50, "calculator": 50}


def names(*args: object) -> list[str]:
    return [spec.name for spec in choose(OFFERED, COSTS, *args)]  # type: ignore[arg-type]


def test_everything_that_fits_is_told_of() -> None:
    assert names("anything", (), 150) == ["send_mail", "find_route", "calculator"]
    assert names("anything", (), 0) == ["send_mail", "find_route", "calculator"]


def test_what_the_words_call_for_comes_first_and_nothing_changes_without_a_call_for_it() -> None:
    assert names("calculate the sum", (), 60) == ["calculator"]
    assert names("and another one", ("calculator",), 60) == ["calculator"]
    assert names("what is the route to Rome?", ("calculator",), 60) == ["find_route"]
    assert names("mail me the route", (), 120) == ["send_mail", "find_route"]


async def test_the_prompt_holds_the_chosen_ones_alone() -> None:
    engine = FakeEngine(reply("One."), reply("Two."), reply("Three."))
    session = Talking(engine, LoadRequest("fake", "fake", None, EngineSettings()), Sampling(max_tokens=10))
    session.tools.budget = 200  # the engine of these tests counts characters: room for one
    session.open_chat(with_tools(Chat(), OFFERED))
    prompts = []
    for text in ("calculate 1 + 1", "once more", "find the route"):
        events = [event async for event in session.send(Message(Role.USER, (TextPart(text),)))]
        assert isinstance(events[-1], TurnResult)
        prompts.append(as_text(engine.requests[-1].segments))
    assert ["calculator" in prompt for prompt in prompts] == [True, True, False]
    assert "find_route" in prompts[2]
    assert [spec.name for spec in session.chat.frame.tools] == [spec.name for spec in OFFERED], "the choice of the user stays"
