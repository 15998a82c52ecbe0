"""The vocabulary of a server: much is asked at once, whatever the texts hold, and nonsense comes to an end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from nemochat.domain.segments import Control, Plain
from nemochat.domain.servers import Server
from nemochat.engine.remote.client import ServerClient
from nemochat.engine.remote.prompts import Writer
from nemochat.engine.remote.vocabulary import ServerVocabulary, Unasked
from nemochat.errors import EngineError, ServerError

Answer = Callable[[Mapping[str, Any]], Any]


class Answering(ServerClient):
    """A server that answers as it is told, and counts how often it was asked."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(Server("nonsense", "http://127.0.0.1:1"))
        self.answer = answer
        self.times = 0

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        assert path == "/tokenize"
        self.times += 1
        return self.answer(body)


def letters(body: Mapping[str, Any]) -> Any:
    """Each letter is a token, and so is each token."""
    found: list[int] = []
    for each in body["content"]:
        found += [each] if isinstance(each, int) else map(ord, each)
    return {"tokens": [{"id": token, "piece": chr(token)} for token in found]}


async def asked(vocabulary: ServerVocabulary, texts: Sequence[str]) -> list[list[int]]:
    """The tokens of texts that are all missed before one of them is asked for."""

    def work() -> list[list[int]]:
        found = []
        for text in texts:
            with contextlib.suppress(Unasked):
                found.append(vocabulary.tokenize(text, parse_special=False))
        if len(found) < len(texts):
            raise Unasked
        return found

    return await vocabulary.resolved(work)


@pytest.mark.parametrize("odd", ["plain", "\0\1\1\0\1\0\0\1", "\0\1\1\0\1\0\0\1\0", "\0"])
async def test_texts_that_are_asked_together_are_told_apart(odd: str) -> None:
    client = Answering(letters)
    texts = ["one", odd, "", "three"]
    assert await asked(ServerVocabulary(client, {}), texts) == [[ord(letter) for letter in text] for text in texts]
    assert client.times in (1, 1 + len(texts))
    await client.close()


NONSENSE: dict[str, Answer] = {
    "nothing": lambda body: {"tokens": []},
    "no tokens": lambda body: ["what?"],
    "negative": lambda body: {"tokens": [{"id": -1, "piece": "a"}]},
    "no pieces": lambda body: {"tokens": [1, 2]},
    "no bytes": lambda body: {"tokens": [{"id": 1, "piece": [900]}]},
    "always a marker": lambda body: {"tokens": [{"id": 7, "piece": "<tool>"}]},
    "a long marker": lambda body: {"tokens": [{"id": 7, "piece": "<" + "a" * 2_000_000}]},
    "more each time": lambda body: {"tokens": [{"id": at, "piece": "<s>"} for at in range(len(str(body)))]},
}


@pytest.mark.parametrize("kind", NONSENSE)
async def test_nonsense_comes_to_an_end(kind: str) -> None:
    client = Answering(NONSENSE[kind])
    vocabulary = ServerVocabulary(client, {})
    started = time.monotonic()
    segments = (Control("<s>user\n"), Plain("Say <tool> and <s>."), Control("</s>"))
    with contextlib.suppress(ServerError, EngineError):  # some of it is no answer, some is only useless
        writer = await vocabulary.resolved(lambda: Writer(vocabulary, None, "", {}))
        assert sum(await vocabulary.resolved(lambda: writer.counts(segments, "<__media__>"))) >= 0
        await vocabulary.resolved(lambda: writer.remember_reply([1, 2, 3], "abc"))
    assert client.times < 600
    assert time.monotonic() - started < 60
    await client.close()
