"""The time to the first token with a server: through nemochat, counting included, against a bare request to the same llama-server.

    python -m benchmarks.servers MODEL.gguf [--cold 5] [--tenth 3] [--threads 1]

Cold: prompts of 1,000 tokens of which the server holds nothing, in turns through nemochat and as a chat completion from the standard
library alone. Tenth turn: a chat of 3,000 tokens is open and read ahead, its question is typed at five characters a second; the time from
Enter is set beside that of a bare request of the same length that comes unannounced. The server is the one of the wheel xllamacpp, with two
slots, in a process of its own. Medians, and their ratios with the bounds in brackets.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import itertools
import json
import statistics
import time
from collections.abc import AsyncGenerator, Awaitable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from benchmarks.any_model import Silent, ask, same, user
from nemochat.chat import Chat, TurnResult
from nemochat.chat.session import ChatSession
from nemochat.chat.warming import AtHand, WarmAhead
from nemochat.domain.messages import Message, Role, TextPart
from nemochat.domain.sampling import Sampling, Source
from nemochat.engine.protocol import LoadRequest
from nemochat.engine.remote import open_engine
from nemochat.settings import EngineSettings
from tests.remote.llama_server import LlamaServer, running

_STORY = "The road led down to the river, where the mill stood and nobody had worked for years. "
_SENTENCE = 18
"""Tokens of the story's sentence, about."""
_QUESTION = "What do you think about the old mill by the river?"
_REPLY = 8
_TURNS = 9
_NAMES = tuple(map("".join, itertools.product("BCDFGHKLMNPRST", "aeiou", "bdgklmnrst", "aeiou")))


class First(NamedTuple):
    """When the first token came, in milliseconds, and how long the prompt was, in tokens, of which the server reused some."""

    ms: float
    prompt: int
    reused: int


def _bare(server: LlamaServer, texts: list[str]) -> First:
    """A chat completion of these messages, user and assistant in turn, as a program of ten lines asks for it."""
    messages = [{"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(texts)]
    body = {"messages": messages, "stream": True, "max_tokens": _REPLY, "temperature": 0.0, "timings_per_token": True}
    started = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(server.url).port)
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    first = 0.0
    timings: dict[str, int] = {}
    for line in connection.getresponse():
        if not line.startswith(b"data: {"):
            continue
        event = json.loads(line.removeprefix(b"data: "))
        timings = event.get("timings") or timings
        if not first and any(choice["delta"].get("content") for choice in event["choices"]):
            first = (time.perf_counter() - started) * 1000
    connection.close()
    return First(first, timings["cache_n"] + timings["prompt_n"], timings["cache_n"])


def _first(result: TurnResult) -> First:
    assert result.ttft_ms is not None
    return First(result.ttft_ms, result.usage.prompt_tokens, result.usage.reused_tokens)


def _stories() -> Iterator[str]:
    """Beginnings that no two prompts have in common."""
    return (f"{name}, {name} and {name}. " for name in _NAMES)


@asynccontextmanager
async def _session(server: LlamaServer) -> AsyncGenerator[ChatSession, None]:
    layers = {Source.REQUEST: Sampling(temperature=0.0, max_tokens=_REPLY)}
    session = ChatSession(open_engine(server.server, ""), LoadRequest("llama/model", "", None, EngineSettings(), server="llama"), layers)
    try:
        await session.reader.load.model()
        yield session
    finally:
        await session.close()


async def _cold(server: LlamaServer, stories: Iterator[str], tokens: int, turn: int = 0) -> tuple[First, First]:
    """One prompt through nemochat, in a session that has seen nothing but the loading, and one without; they take turns at being first."""
    texts = [f"{next(stories)}{_STORY * (tokens // _SENTENCE)}What comes next?" for _ in range(2)]
    bare = await asyncio.to_thread(_bare, server, texts[1:]) if turn % 2 else None
    async with _session(server) as session:
        _, result = await ask(session, Chat(), texts[0], time.perf_counter())
    return _first(result), bare if bare is not None else await asyncio.to_thread(_bare, server, texts[1:])


async def _tenth(server: LlamaServer, stories: Iterator[str], tokens: int) -> tuple[First, First]:
    """The tenth turn of a chat behind typing, and the same as a request that nobody announced."""
    mine, other = (_history(next(stories), tokens) for _ in range(2))
    chat = Chat().with_messages([Message((Role.USER, Role.ASSISTANT)[at % 2], (TextPart(text),)) for at, text in enumerate(mine)])
    async with _session(server) as session:
        ahead = WarmAhead(partial(same, AtHand(session.reader, chat, "chat")), Silent())
        ahead.opened()
        await ahead.finished()
        for end in range(1, len(_QUESTION) + 1):
            ahead.draft_changed(user(_QUESTION[:end]))
            await asyncio.sleep(0.2)
        ahead.stop()
        _, result = await ask(session, chat, _QUESTION, time.perf_counter())
        await ahead.close()
    return _first(result), await asyncio.to_thread(_bare, server, [*other, _QUESTION])


def _history(begins: str, tokens: int) -> list[str]:
    """Messages of the user and replies in turn."""
    part = _STORY * (tokens // _SENTENCE // (2 * _TURNS))
    return [f"{begins if not at else ''}{part}" for at in range(2 * _TURNS)]


async def _report(what: str, pairs: list[Awaitable[tuple[First, First]]], bound: float) -> None:
    """Each pair as it comes, and the ratio of the medians."""
    ours: list[float] = []
    bare: list[float] = []
    for pair in pairs:
        mine, other = await pair
        ours.append(mine.ms)
        bare.append(other.ms)
        prompts = (f"{first.ms:.0f} ms for {first.prompt} tokens, {first.reused} of them reused" for first in (mine, other))
        print(f"{what}: {', bare '.join(prompts)}", flush=True)
    if pairs:
        ratio = statistics.median(ours) / statistics.median(bare)
        print(f"{what}: {statistics.median(ours):.0f} ms, bare {statistics.median(bare):.0f} ms: ratio {ratio:.3f} ({bound})", flush=True)


async def _measure(server: LlamaServer, cold: int, tenth: int) -> None:
    stories = _stories()
    await _cold(server, stories, 100)  # what is done once is done
    await _report("cold", [_cold(server, stories, 940, turn) for turn in range(cold)], 1.05)
    await _report("tenth turn", [_tenth(server, stories, 2900) for _ in range(tenth)], 0.2)


def main() -> None:
    """Measure one model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--cold", type=int, default=5)
    parser.add_argument("--tenth", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    with running(given.model.absolute(), None, slots=2, context=4096, threads=given.threads) as server:
        asyncio.run(_measure(server, given.cold, given.tenth))


if __name__ == "__main__":
    main()
