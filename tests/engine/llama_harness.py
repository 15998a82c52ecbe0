"""A real llama.cpp backend on tiny random files, and a conversation that drives it the way the chat core does."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from nemochat.domain.events import EngineEvent, Finished, Progress, TextDelta
from nemochat.domain.images import RgbImage
from nemochat.domain.messages import Conversation, ImagePart, Message, Part, Role, TextPart
from nemochat.domain.sampling import Sampling
from nemochat.domain.segments import Control, Plain, Segment
from nemochat.engine.llama import LlamaBackend
from nemochat.engine.protocol import GenerateRequest, LoadRequest
from nemochat.prompt.nemotron import render
from nemochat.settings import EngineSettings
from tests.tiny_gguf import IMAGE_SIZE

QUICK = EngineSettings(threads=1, batch=16, context_length=1024)
HEAD = Control("<extra_id_0>System\n\n<extra_id_1>User\n")
ANSWER = Control("\n<extra_id_1>Assistant\n")


def never() -> bool:
    """Nobody cancels."""
    return False


def after(calls: int) -> Callable[[], bool]:
    """Somebody cancels: true from the call number `calls` + 1 on."""
    left = iter(range(calls))
    return lambda: next(left, None) is None


def loaded(model: Path, projector: Path | None = None, settings: EngineSettings = QUICK) -> LlamaBackend:
    """A backend with a model."""
    backend = LlamaBackend()
    backend.load(LoadRequest("tiny", str(model), str(projector) if projector else None, settings), lambda _: None)
    return backend


def picture(seed: int) -> RgbImage:
    """Noise of the encoder's own size."""
    return RgbImage.from_rgb(IMAGE_SIZE, IMAGE_SIZE, random.Random(seed).randbytes(IMAGE_SIZE * IMAGE_SIZE * 3))


def question(text: str) -> tuple[Segment, ...]:
    """A conversation of one message."""
    return (HEAD, Plain(text), ANSWER)


class Reply(msgspec.Struct, frozen=True):
    """All that one generation said."""

    text: str
    finished: Finished
    progress: list[Progress]


def gather(events: Iterator[EngineEvent]) -> Reply:
    """Run a generation to its end."""
    text, progress, finished = "", [], None
    for event in events:
        match event:
            case TextDelta(piece):
                assert piece
                assert finished is None
                text += piece
            case Progress():
                progress.append(event)
            case Finished():
                finished = event
    assert finished is not None
    return Reply(text, finished, progress)


def ask(backend: LlamaBackend, segments: Sequence[Segment], cancelled: Callable[[], bool] = never, **sampling: Any) -> Reply:
    """Generate one reply, greedy and of at most 12 tokens unless `sampling` says otherwise."""
    values = msgspec.convert({"temperature": 0.0, "max_tokens": 12, **sampling}, Sampling)
    return gather(backend.generate(GenerateRequest(tuple(segments), values), cancelled))


def clear_cache(backend: LlamaBackend) -> None:
    """Make the KV cache cold by asking about something that shares not a single token at the start."""
    ask(backend, [Plain("zzz"), ANSWER], max_tokens=1)


class Talk:
    """A conversation that grows by questions and the engine's own replies."""

    def __init__(self, backend: LlamaBackend) -> None:
        self.backend = backend
        self.conversation = Conversation(system="Be brief.")

    def ask(self, text: str, *images: RgbImage, **sampling: Any) -> Reply:
        """Add a question, get a reply, add it too."""
        self.add(Role.USER, text, *images)
        reply = ask(self.backend, render(self.conversation), **sampling)
        self.add(Role.ASSISTANT, reply.text)
        return reply

    def add(self, role: Role, text: str, *images: RgbImage) -> None:
        """Add a message."""
        parts: tuple[Part, ...] = (*(ImagePart(image.digest) for image in images), TextPart(text))
        messages = (*self.conversation.messages, Message(role, parts))
        self.conversation = msgspec.structs.replace(self.conversation, messages=messages)
