"""The scenarios: what a user does, the same for every program."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from benchmarks.first_word.lab import BARE, HANDLER, OURS, PEERS, Client, Lab, say
from benchmarks.first_word.texts import Writer
from benchmarks.first_word.values import Pair, Said, Turn
from benchmarks.full_shape import CHAIN

TEXT_COLD, PICTURE_COLD = "text, first turn, cold", "picture, first turn, cold"
ATTACHED, TYPED = "picture attached 10 s before", "question typed at 5 words a second"
TENTH, TRIM, RESUME, SWITCH = "turn 10, picture in the history", "turns around a trim", "resume after a restart", "switch between two chats"
ROLEPLAY, DECODE, LOOKUP_ON, LOOKUP_OFF = "60 turns past the window", "decoding", "repeating text, lookup on", "repeating text, lookup off"
SHIFTED, READ_ANEW = "after forgetting, shifted (f16)", "after forgetting, read anew (f16)"
UNTIL_READ = 300.0
"""Longer than any of this takes to read."""
READING = 20.0
ALL_OFF = {"warm_ahead": False, "prompt_lookup": False, "resume_mb": 0, "spare_tokens": 0}


def first_turns(lab: Lab, pair: Pair) -> None:
    """A new chat of which nothing was read ahead, with text, and with a picture; a picture that was there for 10 s; a typed question.

    The programs take turns, so that a slow spell of the machine meets all of them.
    """
    with lab.start_all(pair) as clients:
        write = {program: lab.writer(pair) for program in clients}
        for scenario, runs, turn_of in (
            (TEXT_COLD, lab.runs_of(pair, 3), _with_text),
            (PICTURE_COLD, lab.runs_of(pair, 2), _with_picture),
        ):
            turns: dict[str, list[Turn]] = {program: [] for program in clients}
            for at in range(runs):
                for program, client in clients.items():
                    turns[program].append(turn_of(client, write[program], f"{scenario} {at}"))
            for program, client in clients.items():
                lab.record(scenario, pair, program, turns[program], client)
        if (ours := clients.get(OURS)) is not None:
            for scenario, wait in ((ATTACHED, 10.0), (TYPED, UNTIL_READ)):
                types = scenario == TYPED
                of_ours = [
                    _with_picture(ours, write[OURS], f"{scenario} {at}", wait=wait, types=types) for at in range(lab.runs_of(pair, 2))
                ]
                lab.record(scenario, pair, OURS, of_ours, ours)


def _with_text(client: Client, write: Writer, chat: str) -> Turn:
    client.open(chat, write.text(40), cold=True)
    turn = client.send(write.text(40))
    client.idle(READING)
    return turn


def _with_picture(client: Client, write: Writer, chat: str, *, wait: float = 0, types: bool = False) -> Turn:
    """Without waiting, nothing is read ahead, and the clock starts before the picture is attached."""
    client.open(chat, write.text(40), cold=not wait)
    picture, question = write.picture(), write.text(20)
    attaching = client.attach(picture)
    client.idle(wait)
    if types:
        client.write(question)
    turn = client.send(question)
    client.idle(READING)
    return turn if wait else msgspec.structs.replace(turn, ttft=turn.ttft + attaching, total=turn.total + attaching)


def _typed(client: Client, program: str, text: str) -> Turn:
    """Write a question at 5 words a second and send it. To the peers typing makes no difference: they are not kept waiting for it."""
    if program == OURS:
        client.write(text)
    return client.send(text)


def tenth_turn(lab: Lab, pair: Pair) -> None:
    """The history was read turn by turn, so turn 9 is had with each program; the handler keeps nothing of it and is given its reply."""
    for program in lab.programs:
        write = lab.writer(pair)
        turns: list[Turn] = []
        with lab.start(program, pair) as client:
            for at in range(lab.runs_of(pair)):
                system, said = write.text(60), write.history(9, 30, 50, picture=True)
                ninth, later = said[-2].text, [write.text(30) for _ in range(3)]
                if program == HANDLER:
                    client.open(f"tenth {at}", system, said)
                    turns += [client.send(text) for text in later[: 3 if pair.is_small else 1]]
                    continue
                client.open(f"tenth {at}", system, said[:-2])
                client.idle(UNTIL_READ)
                client.send(ninth)
                for text in later:
                    client.idle(READING)
                    turns.append(_typed(client, program, text))
            lab.record(TENTH, pair, program, turns, client)


def trim(lab: Lab, pair: Pair) -> None:
    """Turns of a fourteenth of the window each, 20 s of reading between them, from four fifths of it on until the oldest had to go."""
    context = lab.context_of(pair)
    spare = 512 * context // 4096
    size = context // 14
    for program in lab.programs:
        if program == HANDLER and not pair.is_small:
            continue  # it reads all of the prompt at every turn: see turn 10
        write = lab.writer(pair)
        with lab.start(program, pair, context=context, engine={"spare_tokens": spare}) as client:
            client.open("trim", write.text(60), write.history(11, size - 60, 50))
            client.idle(UNTIL_READ)
            turns = []
            for _ in range(5):
                turns.append(_typed(client, program, write.text(size - 24)))
                client.idle(READING)
            lab.record(TRIM, pair, program, turns[1:], client, f"window of {context:,} tokens")


def resume(lab: Lab, pair: Pair) -> None:
    """A chat of 3,000 tokens; another one; the first again; and the first again when the program was started anew.

    A program that keeps nothing over a restart then does what it did when it first saw the chat: that is measured there.
    """
    for program in lab.programs:
        write = lab.writer(pair)
        system, said, other = write.text(60), write.history(20, 50, 85), write.history(2, 50, 85)
        states = str(lab.folder / f"states-{pair.name}")
        with lab.start(program, pair, states=states) as client:
            client.open("long", system, said)
            client.idle(UNTIL_READ)
            question = write.text(30)
            turn = client.send(question)
            if program in PEERS:
                lab.record(RESUME, pair, program, [turn], client)
            said = (*said, *_exchange(question, turn))
            client.idle(READING)
            if program == HANDLER and not pair.is_small:
                continue
            client.open("short", write.text(60), other)
            client.send(write.text(30))
            client.idle(READING)
            client.open("long", system, said)
            question = write.text(30)
            turn = _typed(client, program, question)
            lab.record(SWITCH, pair, program, [turn], client)
            client.idle(READING)
        if program == OURS:
            with lab.start(program, pair, states=states) as client:
                client.open("long", system, (*said, *_exchange(question, turn)))
                lab.record(RESUME, pair, program, [_typed(client, program, write.text(30))], client)


def _exchange(question: str, turn: Turn) -> tuple[Said, Said]:
    return Said("user", question), Said("assistant", turn.text)


def roleplay(lab: Lab, pair: Pair) -> None:
    """60 turns with 20 s of reading after each, half as much again as the window holds."""
    for program in lab.programs:
        write = lab.writer(pair)
        with lab.start(program, pair, reply=64) as client:
            client.open("roleplay", write.text(200))
            turns = []
            for _ in range(60):
                client.idle(READING)
                turns.append(client.send(write.text(90)))
            lab.record(ROLEPLAY, pair, program, turns, client)


def decoding(lab: Lab, pair: Pair) -> None:
    """The whole program and the bare loop in turns, on the same model."""
    write = lab.writer(pair)
    runs = lab.runs_of(pair, 3)
    with lab.start(OURS, pair, reply=32) as ours, lab.start(BARE, pair, reply=32) as bare:
        pairs = []
        for at in range(runs):
            system, question = write.text(40), write.text(40)
            ours.open(f"decoding {at}", system)
            ours.idle(UNTIL_READ)
            prompt = f"<extra_id_0>System\n{system}\n\n<extra_id_1>User\n{question}\n<extra_id_1>Assistant\n"
            of_ours = ours.send(question)
            ours.idle(READING)  # else it would read ahead beside the other
            pairs.append((of_ours, bare.send(prompt)))
        lab.record(DECODE, pair, OURS, [one for one, _ in pairs], ours)
        lab.record(DECODE, pair, BARE, [other for _, other in pairs], bare)


def lookup(lab: Lab, pair: Pair) -> None:
    """A reply that repeats what was asked, with and without guessing from the prompt, in turns."""
    question = CHAIN[:150]
    on, off = {"prompt_lookup": True}, {"prompt_lookup": False}
    with lab.start(OURS, pair, reply=64, engine=on) as guessing, lab.start(OURS, pair, reply=64, engine=off) as plain:
        turns: tuple[list[Turn], list[Turn]] = ([], [])
        for at in range(2):
            for client, of_client in zip((guessing, plain), turns, strict=True):
                client.open(f"lookup {at}", "Repeat what you are told.")
                of_client.append(client.send(question))
                client.idle(READING)
        for scenario, client, of_client in zip((LOOKUP_ON, LOOKUP_OFF), (guessing, plain), turns, strict=True):
            lab.record(scenario, pair, OURS, of_client, client)
        lab.compare(pair, *([turn.text for turn in of_client] for of_client in turns))


def greedy(lab: Lab, pair: Pair) -> None:
    """The same chats with everything on, and with all of it off: each reply must be the same to the letter."""
    texts: list[list[str]] = []
    for is_on in (True, False):
        write = lab.writer(pair)
        with lab.start(OURS, pair, reply=64 if pair.is_small else 16, engine={} if is_on else ALL_OFF) as client:
            texts.append([text for at in range(lab.runs_of(pair)) for text in _greedy_chat(client, write, pair, at)])
    lab.compare(pair, *texts)


def _greedy_chat(client: Client, write: Writer, pair: Pair, at: int) -> list[str]:
    client.open(f"greedy {at}", write.text(40))
    client.idle(READING)
    replies = []
    for turn in range(3 if pair.is_small else 2):
        if turn == 1 and pair.is_small:
            client.attach(write.picture())
            client.idle(READING)
        question = write.text(20)
        client.write(question, 20)
        replies.append(client.send(question).text)
        client.idle(READING)
    return replies


def shift(lab: Lab, pair: Pair) -> None:
    """The reply after the window has forgotten: shifted, and read anew. What differs is what shifting does to the text."""
    texts: list[list[str]] = []
    for scenario, when_full in ((SHIFTED, "shift"), (READ_ANEW, "reread")):
        write = lab.writer(pair)
        with lab.start(OURS, pair, reply=64, engine={"when_full": when_full, "kv_type": "f16", "prompt_lookup": False}) as client:
            turns = []
            for at in range(4 * lab.runs_of(pair)):
                client.open(f"shift {at}", write.text(60), write.history(14, 150, 80))
                client.idle(UNTIL_READ)
                client.send(write.text(300))
                client.idle(READING)
                turns.append(client.send(write.text(30)))
            lab.record(scenario, pair, OURS, turns, client)
            texts.append([turn.text for turn in turns])
    same = sum(one == other for one, other in zip(*texts, strict=True))
    say(f"replies after shifting | {pair.name}: {same} of {len(texts[0])} as after reading anew")


Scenario = Callable[[Lab, Pair], None]
SCENARIOS: dict[str, Scenario] = {
    "first": first_turns,
    "tenth": tenth_turn,
    "trim": trim,
    "resume": resume,
    "roleplay": roleplay,
    "decoding": decoding,
    "lookup": lookup,
    "greedy": greedy,
    "shift": shift,
}
"""By the names that `--only` takes."""
