"""Who is in a group and who speaks next: rules of SillyTavern, with chance handed in."""

from collections.abc import Callable, Iterator

import pytest
from msgspec.structs import replace

from nemochat.domain.chat import Chat
from nemochat.domain.edits import Speaks, applied, taken_back
from nemochat.domain.groups import Cards, Group, Member, Order, due
from nemochat.domain.personas import Persona

MIRA, TOM, ANNA = (Persona(name=name) for name in ("Mira, guild clerk", "Tom", "Anna the Brave"))
GROUP = Group().joined(MIRA).joined(TOM).joined(ANNA)


def draws(*numbers: float) -> Callable[[], float]:
    """Chance that is known: these, and then 0.99."""
    left: Iterator[float] = iter(numbers)
    return lambda: next(left, 0.99)


def quiet(group: Group) -> Group:
    """Nobody speaks without being named."""
    return replace(group, members=tuple(replace(each, talkativeness=0.0) for each in group.members))


@pytest.mark.parametrize(
    ("said", "names"),
    [
        ("Tom, what do you think?", ["Tom"]),
        ("TOM!", ["Tom"]),
        ("Anna and Mira: go.", ["Anna the Brave", "Mira, guild clerk"]),
        ("Ask the clerk.", ["Mira, guild clerk"]),
        ("a tomato, please", []),  # a word that a name is part of
        ("the brave?", ["Anna the Brave"]),
        ("the end", []),  # a common word names nobody
    ],
)
def test_whom_a_message_names_speaks_first(said: str, names: list[str]) -> None:
    found = due(quiet(GROUP), said, (), draws())
    assert list(found) == (names or [GROUP.names[2]]), "and where it names nobody, one is drawn"


def test_names_are_found_where_words_are_not_apart() -> None:
    group = quiet(Group().joined(Persona(name="美咲")).joined(TOM))
    assert due(group, "ねえ美咲はどう思う", (), draws()) == ("美咲",)


def test_the_others_are_drawn_by_their_talkativeness() -> None:
    group = quiet(GROUP)
    chatty = group.changed("Tom", Member(TOM, talkativeness=1.0))
    assert due(chatty, "Anna?", (), draws()) == ("Anna the Brave", "Tom")
    assert due(chatty, "Tom?", (), draws()) == ("Tom",), "each once"


@pytest.mark.parametrize(("kept", "chance"), [("0.8", 0.8), (1, 1.0), (-3, 0.0), ("often", 0.5), (None, 0.5), ("nan", 0.5), ([1], 0.5)])
def test_the_card_says_how_talkative_it_is(kept: object, chance: float) -> None:
    assert Member(Persona(name="A", extensions={"talkativeness": kept})).chance == chance


def test_who_is_muted_is_never_due() -> None:
    group = GROUP.changed("Tom", Member(TOM, muted=True))
    for order in Order:
        assert "Tom" not in due(replace(group, order=order), "Tom?", (), draws(0.0))
    silent = replace(GROUP, members=tuple(replace(each, muted=True) for each in GROUP.members))
    assert [due(replace(silent, order=order), "Hello.", (), draws()) for order in Order] == [()] * 4


def test_nobody_speaks_twice_in_a_row_unless_the_group_allows_it() -> None:
    assert due(quiet(GROUP), "Tom is right, says Tom.", ("Tom",), draws(0.0)) == ("Anna the Brave",)
    assert due(replace(quiet(GROUP), self_replies=True), "Tom is right.", ("Tom",), draws()) == ("Tom",)
    alone = Group().joined(TOM)
    assert due(alone, "Go on.", ("Tom",), draws()) == ("Tom",), "there is nobody else"


def test_the_other_orders() -> None:
    as_listed = replace(GROUP, order=Order.LIST)
    assert due(as_listed, "Tom?", (), draws()) == GROUP.names
    assert due(as_listed, "", ("Tom",), draws()) == ("Anna the Brave", "Mira, guild clerk")
    pooled = replace(GROUP, order=Order.POOLED)
    assert due(pooled, "Tom?", ("Mira, guild clerk", "Tom"), draws(0.0)) == ("Anna the Brave",)
    assert due(replace(GROUP, order=Order.MANUAL), "Tom?", (), draws()) == ()


def test_two_of_one_name_can_be_told_apart() -> None:
    assert Group().joined(TOM).joined(TOM).joined(TOM).names == ("Tom", "Tom 2", "Tom 3")


def test_whose_cards_are_read() -> None:
    muted = GROUP.changed("Tom", Member(TOM, muted=True)).spoken("Anna the Brave")
    assert [each.name for each in muted.read] == ["Mira, guild clerk", "Anna the Brave"]
    assert len(replace(muted, cards=Cards.WITH_MUTED).read) == 3
    assert [each.name for each in replace(muted, cards=Cards.OWN).read] == ["Anna the Brave"]
    assert len(muted.spoken("Tom").read) == 3, "whoever speaks is read"
    assert Group().read == ()


def test_members_change_places() -> None:
    assert GROUP.moved("Tom", -1).names[0] == "Tom"
    assert GROUP.moved("Tom", 9).names[-1] == "Tom"
    assert GROUP.left("Tom").names == ("Mira, guild clerk", "Anna the Brave")


def test_undo_of_a_group_leaves_who_speaks_by_now() -> None:
    before = Chat(group=GROUP)
    after = replace(before, group=GROUP.left("Tom"))
    now = applied(after, Speaks("Anna the Brave"))
    back = taken_back(now, before, after)
    assert back.group == GROUP.spoken("Anna the Brave")


def test_undo_of_a_variable_leaves_the_others() -> None:
    before = Chat(variables={"mood": "calm", "old": "1"})
    after = replace(before, variables={"mood": "angry", "new": "2"})
    now = replace(after, variables={**after.variables, "turns": "7"})
    assert taken_back(now, before, after).variables == {"mood": "calm", "old": "1", "turns": "7"}
