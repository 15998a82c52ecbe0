"""The window's policy: what must stay stays, turns go whole and in blocks, and the numbers are exact."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemochat.domain.messages import Conversation, ImagePart, Message, Role, TextPart
from nemochat.domain.segments import ImageSlot, Segment
from nemochat.errors import WindowError
from nemochat.prompt import nemotron, window
from nemochat.prompt.format import as_text
from nemochat.prompt.window import BLOCK, EARLY, FLOOR, RESTORE, TRIGGER, Fit, MessageSize, PromptSize

U, A, T = Role.USER, Role.ASSISTANT, Role.TOOL

property_settings = settings(derandomize=True, deadline=None, max_examples=300)


def sizes(*messages: tuple[Role, int] | tuple[Role, int, bool], system: int = 10, head: int = 2) -> PromptSize:
    return PromptSize(system, tuple(MessageSize(*message) for message in messages), head)


def turns_of(messages: Sequence[MessageSize]) -> list[range]:
    starts = [index for index, message in enumerate(messages) if index == 0 or message.role is U]
    return [range(start, stop) for start, stop in pairwise([*starts, len(messages)])]


def tokens_of(size: PromptSize, kept: Sequence[int]) -> int:
    return size.system_tokens + size.reply_head_tokens + sum(size.messages[index].tokens for index in kept)


# Ten turns of 100 tokens in a window of 1,200 with a room of 1,000: a block is at least 360 tokens and at most 500, so four turns.
TEN_TURNS = [message for _ in range(10) for message in ((U, 40), (A, 60))]


def test_everything_is_kept_as_long_as_it_fits() -> None:
    size = sizes(*TEN_TURNS[:18], (U, 88))
    assert window.fit(size, limit=1200, reserve=200) == Fit(tuple(range(19)), (), 0, 1000, 0)


def test_what_does_not_fit_makes_one_block_go() -> None:
    size = sizes(*TEN_TURNS[:18], (U, 89))
    fit = window.fit(size, limit=1200, reserve=200)
    assert fit == Fit(tuple(range(8, 19)), tuple(range(8)), 8, 601, 400)
    assert fit.trimmed


def test_as_many_blocks_go_as_are_needed() -> None:
    size = sizes(*TEN_TURNS, (U, 500))
    assert window.fit(size, limit=1200, reserve=200) == Fit(tuple(range(16, 21)), tuple(range(16)), 16, 712, 800)


def test_in_idle_time_a_block_goes_a_little_sooner() -> None:
    enough, more = sizes(*TEN_TURNS[:16], (U, 88)), sizes(*TEN_TURNS[:16], (U, 89))
    assert not window.fit_ahead(enough, limit=1200, reserve=200).trimmed
    assert not window.fit(more, limit=1200, reserve=200).trimmed
    assert window.fit_ahead(more, limit=1200, reserve=200) == Fit(tuple(range(8, 17)), tuple(range(8)), 8, 501, 400)
    assert window.fit_ahead(sizes(*TEN_TURNS[:14], (U, 89)), limit=1200, reserve=200, early=True).forgotten == tuple(range(8))
    assert not window.fit_ahead(sizes(*TEN_TURNS[:14], (U, 88)), limit=1200, reserve=200, early=True).trimmed


def test_what_will_go_next_is_known_before_and_after() -> None:
    for count in (10, 14, 20):
        following = window.following(sizes(*TEN_TURNS[:count]), limit=1200, reserve=200)
        assert following is not None
        assert following.forgotten == tuple(range(8))
    following = window.following(sizes(*TEN_TURNS), limit=1200, reserve=200, first_kept=8)
    assert following is not None
    assert following.forgotten == tuple(range(16))


def test_a_block_with_the_last_turn_in_it_is_not_settled() -> None:
    assert window.following(sizes(*TEN_TURNS[:8]), limit=1200, reserve=200) is None
    # Too large for the block already, and it can only grow.
    assert window.following(sizes(*TEN_TURNS[:4], (U, 301)), limit=1200, reserve=200) is not None


def test_a_large_turn_does_not_make_a_block_too_large() -> None:
    size = sizes(*TEN_TURNS[:4], (U, 400), *TEN_TURNS[:6])
    assert window.fit_ahead(size, limit=1200, reserve=200).forgotten == (0, 1, 2, 3)
    # Alone it has to go when nothing else helps, but not before.
    alone = sizes((U, 600), *TEN_TURNS[:6])
    assert not window.fit_ahead(alone, limit=1200, reserve=200).trimmed
    fit = window.fit(sizes((U, 600), *TEN_TURNS[:8]), limit=1200, reserve=200)
    assert fit.forgotten == (0,)


def test_the_cut_stays_while_the_conversation_grows() -> None:
    size = sizes(*TEN_TURNS)
    fit = window.fit(size, limit=1200, reserve=200, first_kept=8)
    assert fit == Fit(tuple(range(8, 20)), tuple(range(8)), 8, 612, 0)
    assert not fit.trimmed


def test_a_tool_call_goes_and_stays_with_its_result() -> None:
    agentic = [(U, 50), (A, 50), (T, 200), (A, 50)]
    fit = window.fit(sizes(*agentic, *agentic, *agentic), limit=1100, reserve=100)
    assert fit.kept == tuple(range(4, 12))
    assert fit.forgotten == tuple(range(4))


def test_a_greeting_is_a_turn_of_its_own() -> None:
    fit = window.fit(sizes((A, 400), *TEN_TURNS[:12]), limit=1100, reserve=100)
    assert fit.forgotten == (0,)


def test_a_pinned_message_keeps_its_turn() -> None:
    size = sizes((U, 40), (A, 60), (U, 40, True), (A, 60), *TEN_TURNS[:16])
    fit = window.fit(size, limit=1200, reserve=200)
    assert fit.kept == (2, 3, *range(10, 20))
    assert fit.first_kept == 10
    assert fit.prompt_tokens == 612


def test_unpinning_lets_a_forgotten_turn_go() -> None:
    size = sizes((U, 40), (A, 60), *TEN_TURNS[:16])
    assert window.fit(size, limit=1200, reserve=200, first_kept=10).kept == tuple(range(10, 18))


def test_with_more_room_everything_comes_back() -> None:
    size = sizes(*TEN_TURNS)
    assert window.fit(size, limit=1200, reserve=200, first_kept=8).forgotten == tuple(range(8))
    assert window.fit(size, limit=4096, reserve=512, first_kept=8).forgotten == ()


def test_a_cut_that_begins_no_turn_is_forgotten() -> None:
    size = sizes(*TEN_TURNS[:14])
    for stale in (9, 400, -1):
        assert window.fit(size, limit=1200, reserve=200, first_kept=stale).forgotten == ()


def test_no_messages_is_a_prompt_too() -> None:
    assert window.fit(sizes(), limit=1000, reserve=100) == Fit((), (), 0, 12, 0)


@pytest.mark.parametrize(
    ("size", "limit", "reserve", "numbers", "hint"),
    [
        (sizes((U, 1)), 512, 512, ["512"], "max_tokens"),
        (sizes((U, 1), system=3990), 4096, 512, ["3992", "4096", "512", "3584"], "system text"),
        (sizes((U, 5120)), 4096, 512, ["5120", "12", "4096", "512", "3584"], "Shorten the message"),
        (sizes((U, 2000), (A, 100), (T, 2000)), 4096, 512, ["4100", "12", "3584"], "tool results"),
        (sizes((U, 3000, True), (A, 100), (U, 600)), 4096, 512, ["3100", "600", "3584"], "Unpin"),
    ],
)
def test_what_cannot_fit_is_an_error_that_names_the_numbers(
    size: PromptSize, limit: int, reserve: int, numbers: list[str], hint: str
) -> None:
    with pytest.raises(WindowError) as raised:
        window.fit(size, limit=limit, reserve=reserve)
    words = raised.value.message.replace(",", " ").replace(".", " ").split()
    assert set(numbers) <= set(words)
    assert hint in raised.value.hint


def test_a_message_fits_to_the_last_token() -> None:
    assert window.fit(sizes((U, 40), (A, 50), (U, 988)), limit=1100, reserve=100).prompt_tokens == 1000
    with pytest.raises(WindowError, match="One message takes 989 tokens"):
        window.fit(sizes((U, 40), (A, 50), (U, 989)), limit=1100, reserve=100)


message_sizes = st.builds(MessageSize, st.sampled_from([U, A, A, T]), st.integers(1, 300), st.sampled_from([False] * 4 + [True]))
prompt_sizes = st.builds(PromptSize, st.integers(1, 400), st.lists(message_sizes, max_size=40).map(tuple), st.integers(0, 5))


@property_settings
@given(size=prompt_sizes, reserve=st.integers(0, 1024), data=st.data())
def test_invariants(size: PromptSize, reserve: int, data: st.DataObject) -> None:
    turns = turns_of(size.messages)
    staying = [index for turn in turns if turn is turns[-1] or any(size.messages[each].pinned for each in turn) for index in turn]
    room = data.draw(st.integers(tokens_of(size, staying) - 20, tokens_of(size, range(len(size.messages))) * 2), label="room")
    first_kept = data.draw(st.sampled_from([turn.start for turn in turns] or [0]) | st.integers(0, 40), label="first_kept")
    limit = room + reserve
    if room <= 0 or tokens_of(size, staying) > room:
        with pytest.raises(WindowError):
            window.fit(size, limit=limit, reserve=reserve, first_kept=first_kept)
        return
    fit = window.fit(size, limit=limit, reserve=reserve, first_kept=first_kept)
    assert fit.prompt_tokens == tokens_of(size, fit.kept)
    assert fit.prompt_tokens + reserve <= limit
    assert sorted(fit.kept + fit.forgotten) == list(range(len(size.messages)))
    assert list(fit.kept) == sorted(fit.kept)
    assert list(fit.forgotten) == sorted(fit.forgotten)
    assert set(staying) <= set(fit.kept)
    for turn in turns:
        assert set(turn) <= set(fit.kept) or set(turn) <= set(fit.forgotten)
    assert set(range(fit.first_kept, len(size.messages))) <= set(fit.kept)
    if tokens_of(size, range(len(size.messages))) <= RESTORE * room:
        assert fit.forgotten == ()
    if fit.trimmed:
        assert fit.prompt_tokens + fit.freed_tokens > room
    again = window.fit(size, limit=limit, reserve=reserve, first_kept=fit.first_kept)
    assert again == msgspec.structs.replace(fit, freed_tokens=0)
    ahead = window.fit_ahead(size, limit=limit, reserve=reserve, first_kept=fit.first_kept)
    assert set(staying) <= set(ahead.kept) <= set(fit.kept)
    assert not ahead.trimmed or (ahead.prompt_tokens + ahead.freed_tokens > TRIGGER * room and ahead.prompt_tokens >= FLOOR * room)


@property_settings
@given(size=prompt_sizes, more=st.lists(message_sizes, max_size=20), room=st.integers(300, 4000), reserve=st.integers(0, 600))
def test_what_follows_is_what_is_chosen_whatever_is_said_until_then(
    size: PromptSize, more: list[MessageSize], room: int, reserve: int
) -> None:
    """What was evaluated ahead is not in vain: a later decision takes out this block, or this one and others."""
    limit = room + reserve
    now = window.fit_ahead(size, limit=limit, reserve=reserve)
    following = window.following(size, limit=limit, reserve=reserve, first_kept=now.first_kept)
    if following is None:
        return
    later = msgspec.structs.replace(size, messages=(*size.messages, *(msgspec.structs.replace(each, pinned=False) for each in more)))
    again = window.following(later, limit=limit, reserve=reserve, first_kept=now.first_kept)
    assert again is None or again.first_kept == following.first_kept
    then = set(following.kept) | set(range(len(size.messages), len(later.messages)))
    chosen = [window.fit_ahead(later, limit=limit, reserve=reserve, first_kept=now.first_kept)]
    with suppress(WindowError):
        chosen.append(window.fit(later, limit=limit, reserve=reserve, first_kept=now.first_kept))
    for each, most in zip(chosen, (TRIGGER * room, room), strict=False):
        if each.trimmed and set(each.kept) != then:
            assert set(each.kept) < then
            assert tokens_of(later, sorted(then)) > most


small_messages = st.builds(MessageSize, st.sampled_from([U, A]), st.integers(1, 90))


@settings(property_settings, max_examples=100)
@given(
    messages=st.lists(small_messages, min_size=40, max_size=160),
    system=st.integers(1, 200),
    room=st.integers(1200, 1700),
    early=st.booleans(),
)
def test_a_growing_conversation_trims_at_most_once_per_thirty_percent(
    messages: list[MessageSize], system: int, room: int, early: bool
) -> None:
    """Where no turn is larger than what a block may be over its least size; see the module's words."""
    limit, reserve = room + 100, 100
    trigger = EARLY if early else TRIGGER
    messages = [MessageSize(U if index % 2 == 0 else A, message.tokens) for index, message in enumerate(messages)]
    assert max(first.tokens + then.tokens for first, then in pairwise(messages)) <= (TRIGGER - FLOOR) * room - BLOCK * limit
    cut, said, changes = 0, 0, 0
    changed_at, overshoot = None, 0.0
    for count in range(1, len(messages) + 1):
        said += messages[count - 1].tokens
        size = PromptSize(system, tuple(messages[:count]), 3)
        if messages[count - 1].role is U:  # before a reply
            fit = window.fit(size, limit=limit, reserve=reserve, first_kept=cut)
            assert fit.prompt_tokens <= room
        else:
            fit = window.fit_ahead(size, limit=limit, reserve=reserve, first_kept=cut, early=early)
        if not fit.trimmed:
            assert fit.first_kept == cut
            continue
        changes += 1
        assert fit.freed_tokens >= BLOCK * limit
        assert fit.prompt_tokens >= FLOOR * room
        if changed_at is not None:
            assert said - changed_at >= BLOCK * limit - overshoot
        cut, changed_at, overshoot = fit.first_kept, said, fit.prompt_tokens + fit.freed_tokens - trigger * room
        assert (changes - 1) * BLOCK * limit <= said + system + 3 - trigger * room


IMAGE = ImagePart("a" * 64, "cat.png")
CONVERSATION = Conversation(
    "You are kind.",
    contexts=("The key is red.",),
    messages=(
        Message(U, (IMAGE, TextPart("What is this?"))),
        Message(A, (TextPart("A cat."),)),
        Message(U, (TextPart("Sure?"),), pinned=True),
        Message(A, (TextPart("Yes, qu"),)),
    ),
)


def fake_counts(segments: Sequence[Segment]) -> list[int]:
    return [64 if isinstance(segment, ImageSlot) else len(segment.text) for segment in segments]


@pytest.mark.parametrize("continue_reply", [False, True])
def test_what_was_measured_is_what_is_left(continue_reply: bool) -> None:
    layout = nemotron.lay_out(CONVERSATION, continue_reply=continue_reply)
    assert list(layout.segments) == nemotron.render(CONVERSATION, continue_reply=continue_reply)
    size = window.measure(layout, fake_counts(layout.segments))
    assert [message.pinned for message in size.messages] == [False, False, True, False]
    assert size.messages[0] == MessageSize(U, len("<extra_id_1>User\n") + 64 + 1 + len("What is this?\n"))
    assert size.reply_head_tokens == (0 if continue_reply else len("<extra_id_1>Assistant\n"))
    whole = sum(fake_counts(layout.segments))
    fit = window.fit(size, limit=whole + 5, reserve=10)
    assert fit.kept == (2, 3)
    kept = msgspec.structs.replace(CONVERSATION, messages=tuple(CONVERSATION.messages[index] for index in fit.kept))
    left = nemotron.render(kept, continue_reply=continue_reply)
    assert fit.prompt_tokens == sum(fake_counts(left))
    assert fit.prompt_tokens + fit.freed_tokens == whole
    prompt = as_text(left)
    assert prompt.startswith("<extra_id_0>System\nYou are kind.\n\n<context> The key is red. </context>\n\n<extra_id_1>User\nSure?\n")
    assert prompt.endswith("Yes, qu" if continue_reply else "Yes, qu\n<extra_id_1>Assistant\n")


def test_measure_wants_one_count_per_segment() -> None:
    layout = nemotron.lay_out(CONVERSATION)
    with pytest.raises(ValueError, match="1 counts for"):
        window.measure(layout, [3])


def test_only_a_reply_can_be_continued() -> None:
    for messages in ((), CONVERSATION.messages[:1]):
        with pytest.raises(ValueError, match="continued"):
            nemotron.lay_out(Conversation(messages=messages), continue_reply=True)
