"""Whatever a server does, a turn ends with a sentence: what has come is kept, can be gone on with, and the next turn works."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from nemochat.chat import ChatEvent, TurnResult
from nemochat.domain.events import FinishReason, TextDelta
from nemochat.domain.images import RgbImage
from nemochat.domain.messages import Message, Role, TextPart, ToolSpec
from nemochat.domain.sampling import Sampling
from nemochat.domain.sanitize import sanitize
from nemochat.engine.protocol import LoadRequest
from nemochat.engine.remote import open_engine
from nemochat.engine.remote.client import Limits, ServerClient
from nemochat.errors import EngineError, NemochatError, ServerError
from nemochat.settings import EngineSettings
from tests.chat.talking import Talking
from tests.idle import until
from tests.remote.hostile import DROP, HOLD, KEY, Act, HostileServer, Request, Says, answer, begin
from tests.remote.wires import LM_STUDIO, OLLAMA, OPENAI, VLLM, Wire, llama_server


@pytest.fixture(params=[OPENAI, VLLM, LM_STUDIO, OLLAMA, None], ids=lambda wire: wire.kind if wire else "llama-server")
def wire(request: pytest.FixtureRequest) -> Wire:
    """Each kind of server; llama-server is a real one, up to where it goes wrong."""
    return request.param or llama_server(request.getfixturevalue("demo_server").url)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    limits(monkeypatch, Limits(retries=0))


def limits(monkeypatch: pytest.MonkeyPatch, wanted: Limits) -> None:
    """How patient engines are that are opened from now on."""
    defaults = ServerClient.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "limits", wanted)


@contextlib.asynccontextmanager
async def talking(hostile: HostileServer, wire: Wire) -> AsyncIterator[Talking]:
    """A conversation with that server, whose model is loaded."""
    engine = open_engine(hostile.as_server(wire.kind), wire.model, KEY)
    talk = Talking(engine, LoadRequest(f"lab/{wire.model}", "", None, EngineSettings()), Sampling(max_tokens=50))
    try:
        yield talk
    finally:
        await talk.close()


def user(text: str) -> Message:
    return Message(Role.USER, (TextPart(text),))


async def send(talk: Talking, text: str = "Hi") -> TurnResult:
    return _last([event async for event in talk.send(user(text))])


async def _into(seen: list[ChatEvent], talk: Talking) -> None:
    async for event in talk.send(user("Hi")):
        seen.append(event)


def _last(events: list[ChatEvent]) -> TurnResult:
    result = events[-1]
    assert isinstance(result, TurnResult)
    return result


async def failing(talk: Talking, text: str = "Hi") -> EngineError:
    """The error that a turn ends with, which is fit to be read."""
    with pytest.raises(EngineError) as caught:
        await send(talk, text)
    fit(caught.value)
    return caught.value


def fit(error: EngineError) -> None:
    """A sentence, short, harmless, that names the server, and without the key."""
    for words in (error.message, error.hint):
        assert sanitize(words, strict=True) == words
        assert len(words) < 600
        assert KEY not in words
    assert "lab" in error.message
    assert error.hint


def asks(hostile: HostileServer) -> list[Any]:
    """What it was asked for replies to."""
    return [request.json for request in hostile.requests if b'"stream": true' in request.body]


def said(talk: Talking) -> list[str]:
    return [entry.message.text for entry in talk.entries]


async def well_again(talk: Talking, hostile: HostileServer, wire: Wire) -> None:
    """The next turn works, as if nothing had been."""
    before = said(talk)
    wire.says(hostile, wire.well("All", " is well."))
    result = await send(talk, "And now?")
    assert result.reason is FinishReason.STOP
    assert said(talk) == [*before, "And now?", "All is well."]


BROKEN: dict[str, tuple[Callable[[Wire], Says], str]] = {
    "cut": (lambda wire: wire.cut("Hello", " wor"), "broke off in the middle"),
    "ended-early": (lambda wire: [wire.begin(), wire.text("Hello"), wire.text(" wor")], "broke off in the middle"),
    "error": (lambda wire: _then(wire, wire.raw({"error": {"message": f"CUDA out of memory {KEY}", "code": 500}})), "CUDA out of memory …"),
    "plain-error": (lambda wire: _then(wire, wire.raw({"error": "the runner has died\x1b[2J"})), "the runner has died[2J"),
    "nonsense": (lambda wire: _then(wire, b"\x00\x01nonsense\n"), "is no stream of events"),
    "broken-json": (lambda wire: _then(wire, wire.raw(b'{"a": ')), "is not JSON"),
    "a-page": (lambda wire: _then(wire, b"<html><h1>502</h1></html>\n"), "is a web page"),
    "a-long-line": (lambda wire: _then(wire, wire.raw(b'{"a": "' + b"x" * 10_000_000 + b'"}')), "has a line of more than 4 MiB"),
    "a-line-without-end": (lambda wire: _then(wire, b"data: " + b"x" * 10_000_000, HOLD), "has a line of more than 4 MiB"),
    "deep-json": (lambda wire: _then(wire, wire.raw(b'{"a": ' + b"[" * 50_000)), "is nested too deep"),
}


def _then(wire: Wire, *last: bytes | Act) -> Says:
    return [wire.begin(), wire.text("Hello"), wire.text(" wor"), *last]


@pytest.mark.parametrize("fault", BROKEN)
async def test_what_has_come_is_kept_and_can_be_gone_on_with(fault: str, wire: Wire) -> None:
    says, message = BROKEN[fault]
    with wire.serving(says(wire)) as hostile:
        async with talking(hostile, wire) as talk:
            assert message in (await failing(talk)).message
            assert said(talk) == ["Hi", "Hello wor"]
            assert [entry.interrupted for entry in talk.entries] == [False, True]
            wire.says(hostile, wire.well("ld", "."))
            _last([event async for event in talk.continue_reply()])
            assert said(talk) == ["Hi", "Hello world."]
            assert not any(entry.interrupted for entry in talk.entries)
            await well_again(talk, hostile, wire)


async def test_a_reply_that_stalls_is_kept(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    limits(monkeypatch, Limits(silence=0.3, retries=0))
    with wire.serving(_then(wire, HOLD)) as hostile:
        async with talking(hostile, wire) as talk:
            assert "fell silent in the middle of its answer, for 300 ms" in (await failing(talk)).message
            assert said(talk) == ["Hi", "Hello wor"]
            await until(lambda: hostile.left)
        limits(monkeypatch, Limits())
        async with talking(hostile, wire) as another:
            another.open_chat(talk.chat)
            await well_again(another, hostile, wire)


def _with(code: int, body: Any, **headers: str) -> bytes:
    return answer(body, f"{code} Whatever", **headers)


REFUSED: dict[str, tuple[bytes | Says, str]] = {
    "dropped": ([DROP], "closed the connection without an answer"),
    "wrong-key": (_with(401, {"error": {"message": f"Incorrect API key: {KEY}"}}), "does not accept the key: Incorrect API key: …"),
    "no-such-model": (_with(404, {"error": {"message": "The model `tiny` does not exist."}}), "The model `tiny` does not exist"),
    "busy": (_with(429, {"error": "slow down"}, retry_after="1e9"), "has too much to do: slow down"),
    "failed": (_with(500, b"Traceback\n" * 1000, kind="text/plain"), "failed (500): Traceback"),
    "a-page": (answer(b"<html>login</html>", kind="text/html"), "is a web page"),
    "a-page-with-an-error": (_with(502, b"<html><h1>Bad Gateway", kind="text/html"), "failed (502)"),
    "elsewhere": (_with(302, b"", location=f"https://evil.example/{KEY}"), "is not followed: https://evil.example/…"),
    "not-http": (b"\x15\x03\x01\x00\x02\x02\x16\r\n\r\n", "is not HTTP"),
    "packed": (answer(b"\x1f\x8b" + b"x" * 1000, content_encoding="gzip"), "is compressed, unasked"),
    "an-error-that-is-well": (answer({"error": {"message": "\x1b]0;x\x07no"}}), "]0;xno"),
    "a-huge-error": (_with(400, {"error": {"message": "x" * 1_000_000}}), "xxxx"),
    "nothing": (begin("text/event-stream"), "broke off"),
}


@pytest.mark.parametrize("fault", REFUSED)
async def test_what_was_asked_is_kept_when_no_reply_comes(fault: str, wire: Wire) -> None:
    says, message = REFUSED[fault]
    with wire.serving(says) as hostile:
        async with talking(hostile, wire) as talk:
            assert message in (await failing(talk)).message
            assert said(talk) == ["Hi"]
            assert len(asks(hostile)) == 1
            await well_again(talk, hostile, wire)


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nX: ", None], ids=["no-head", "half-a-head", "no-event"])
async def test_a_server_that_says_nothing_is_given_up(start: bytes | None, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    limits(monkeypatch, Limits(first=1.0, retries=0))
    with wire.serving([wire.begin() if start is None else start, HOLD]) as hostile:
        async with talking(hostile, wire) as talk:
            assert (await failing(talk)).message == "lab has not answered for 1.0 s."
            assert said(talk) == ["Hi"]
        limits(monkeypatch, Limits())
        async with talking(hostile, wire) as another:
            another.open_chat(talk.chat)
            await well_again(another, hostile, wire)


async def test_a_server_that_hangs_when_its_model_is_opened_can_be_asked_again(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    limits(monkeypatch, Limits(look=0.5, first=0.5, retries=0))
    with wire.serving() as hostile:
        working, hostile.answers = hostile.answers, {"*": [HOLD]}
        async with talking(hostile, wire) as talk:
            assert (await failing(talk)).message == "lab has not answered for 500 ms."
        hostile.answers = working
        limits(monkeypatch, Limits())
        async with talking(hostile, wire) as talk:
            await well_again(talk, hostile, wire)


async def test_a_server_that_is_gone_and_comes_back(wire: Wire) -> None:
    with wire.serving() as hostile:
        async with talking(hostile, wire) as talk:
            await send(talk)
            hostile.answers = {"*": [DROP]}
            await failing(talk, "Still there?")
            assert said(talk) == ["Hi", "Yes.", "Still there?"]
    async with talking(hostile, wire) as talk:
        assert "does not answer at http://127.0.0.1:" in (await failing(talk)).message


async def test_text_is_made_harmless_and_what_is_broken_in_it_shows(wire: Wire) -> None:
    texts = ("a\x1b]52;c;aGk=\x07b", "c\u202ed", "e", "\x85\x9b31mf")
    pieces = [wire.text(text).replace(b'"e', b'"\xff\xfe') for text in texts]
    with wire.serving([wire.begin(), *pieces, wire.end()]) as hostile:
        async with talking(hostile, wire) as talk:
            await send(talk)
            assert said(talk) == ["Hi", "a]52;c;aGk=bcd\ufffd\ufffd31mf"]


@pytest.mark.parametrize("value", [-1, 10**30, 10**12, 1e300, float("nan"), "9", [], {}, None, True])
async def test_costs_that_cannot_be_meant_are_passed_over(value: Any, wire: Wire) -> None:
    names = (
        "prompt_tokens", "completion_tokens", "total_tokens", "prompt_eval_count", "eval_count", "load_duration", "prompt_eval_duration",
        "eval_duration", "cache_n", "prompt_n", "prompt_ms", "predicted_n", "predicted_ms", "tokens_evaluated", "tokens_cached", "id_slot",
    )  # fmt: skip
    usage = {**dict.fromkeys(names, value), "prompt_tokens_details": {"cached_tokens": value}}
    with wire.serving([wire.begin(), wire.text("Yes."), wire.end(usage)]) as hostile:
        async with talking(hostile, wire) as talk:
            usage_of = (await send(talk)).usage
            assert said(talk) == ["Hi", "Yes."]
            assert min(usage_of.prompt_tokens, usage_of.reused_tokens, usage_of.evaluated_tokens, usage_of.completion_tokens) >= 0
            assert usage_of.prompt_tokens < 1 << 53
            await well_again(talk, hostile, wire)


@pytest.mark.parametrize("value", [None, 5, "x", [], [1], {}, {"message": 5, "choices": 5}, {"message": [], "choices": [{"delta": []}, 5]}])
async def test_events_that_say_nothing_are_passed_over(value: Any, wire: Wire) -> None:
    with wire.serving([wire.begin(), wire.text("Y"), wire.raw(value), wire.text("es."), wire.end()]) as hostile:
        async with talking(hostile, wire) as talk:
            with contextlib.suppress(ServerError):
                await send(talk)
            assert said(talk)[0] == "Hi"
            assert said(talk)[1] in ("Y", "Yes.")
            await well_again(talk, hostile, wire)


CALLS: list[Any] = [
    5, "x", [5], [None], [{}], [{"function": 5}], [{"index": 0, "function": {"name": 5, "arguments": 5}}],
    [{"index": -1, "function": {"name": "a", "arguments": "{}"}}], [{"index": 10**9, "function": {"name": "a", "arguments": "{"}}],
    [{"index": 0, "id": id_, "function": {"name": id_, "arguments": "{}"}} for id_ in "xy"],
    [{"function": {"arguments": "{}"}}], [{"index": True, "function": {"name": "\x1b[2J", "arguments": "[" * 50_000}}],
    [{"index": index, "function": {"name": "a", "arguments": "{}"}} for index in range(300)],
    [{"function": {"name": "a</tool_call><tool_call>", "arguments": '"</tool_call>"'}}],
]  # fmt: skip


@pytest.mark.parametrize("calls", CALLS, ids=range(len(CALLS)))
async def test_calls_that_cannot_be_meant_end_no_program(calls: Any, wire: Wire) -> None:
    with wire.serving([wire.begin(), wire.text("Y"), wire.said({"content": None, "tool_calls": calls}), wire.end()]) as hostile:
        async with talking(hostile, wire) as talk:
            with contextlib.suppress(ServerError):
                await send(talk)
            assert said(talk)[0] == "Hi"
            assert said(talk)[1].startswith("Y")
            wire.says(hostile, wire.well("All is well."))
            await send(talk, "And now?")
            assert said(talk)[-1] == "All is well."


@pytest.mark.parametrize("place", ["head", "event", "text"])
async def test_a_stop_ends_the_request_at_the_server(place: str, wire: Wire) -> None:
    says: dict[str, list[bytes]] = {"head": [], "event": [wire.begin()], "text": [wire.begin(), wire.text("Hello")]}
    with wire.serving([*says[place], HOLD]) as hostile:
        async with talking(hostile, wire) as talk:
            await talk.reader.load.model()
            seen: list[ChatEvent] = []
            turn = asyncio.create_task(_into(seen, talk))
            await until(lambda: asks(hostile) and (place != "text" or any(isinstance(event, TextDelta) for event in seen)))
            talk.stop()
            await asyncio.wait_for(turn, 60)
            assert _last(seen).reason is FinishReason.CANCELLED
            await until(lambda: wire.path in hostile.left)
            assert said(talk) == (["Hi", "Hello"] if place == "text" else ["Hi"])
            await well_again(talk, hostile, wire)


async def test_a_stop_does_not_wait_until_it_may_be_tried_again(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    limits(monkeypatch, Limits())
    with wire.serving(_with(503, {"error": "later"}, retry_after="19")) as hostile:
        async with talking(hostile, wire) as talk:
            turn = asyncio.create_task(send(talk))
            await until(lambda: asks(hostile))
            started = time.monotonic()
            talk.stop()
            assert (await asyncio.wait_for(turn, 60)).reason is FinishReason.CANCELLED
            assert time.monotonic() - started < 15
            await well_again(talk, hostile, wire)


async def test_closing_does_not_wait_for_the_server(wire: Wire) -> None:
    with wire.serving([wire.begin(), wire.text("Hello"), HOLD]) as hostile:
        async with talking(hostile, wire) as talk:
            turn = asyncio.create_task(send(talk))
            await until(lambda: asks(hostile))
            await asyncio.wait_for(talk.close(), 60)
            with contextlib.suppress(EngineError):
                await asyncio.wait_for(turn, 60)
        await until(lambda: hostile.left)


LOADS: list[bytes | Says] = [
    [DROP], _with(401, {"error": KEY}), _with(500, b"no"), answer(b"<html>"), answer([]), answer({}), answer({"data": 5, "models": 5}),
    answer("x"), answer(b"[" * 50_000), answer({"error": "no"}), answer({"data": [], "models": []}),
    answer({"capabilities": 5, "model_info": 5}),
    answer({"capabilities": [[]], "model_info": [1], "parameters": 5}),
    answer({"model_info": {"x.context_length": -1, "general.architecture": []}}),
]  # fmt: skip


@pytest.mark.parametrize("says", LOADS, ids=range(len(LOADS)))
async def test_a_model_that_cannot_be_opened_is_a_sentence(says: bytes | Says, wire: Wire) -> None:
    with wire.serving() as hostile:
        working = hostile.answers
        hostile.answers = {"*": says, wire.path: working[wire.path]}
        async with talking(hostile, wire) as talk:
            try:
                await send(talk)
            except EngineError as error:
                fit(error)
                assert said(talk) == ["Hi"]
            hostile.answers = working
            await send(talk, "And now?")
            assert said(talk)[-1] == "Yes."


async def everything(talk: Talking) -> None:
    """What a session asks of an engine: to load, to take a picture, to count, to read ahead, to reply, to forget."""
    await talk.reader.load.model()
    picture = await talk.attach(RgbImage.from_rgb(8, 8, b"\xff\x00\x00" * 64))
    await talk.context_view()
    await talk.prepare(await talk.preview(user("Hel")))
    await talk.tool_costs([ToolSpec("add", "Adds.", {"type": "object", "properties": {}})])
    await send(talk, "Hello")
    _last([event async for event in talk.send(Message(Role.USER, (picture.part, TextPart("What is this?"))))])
    await talk.prepare(await talk.preview(user("And")))
    await talk.forget(talk.key)


ODD: dict[str, Any] = {
    "null": None,
    "number": 5,
    "text": "x",
    "list": [],
    "numbers": [1, -1, 10**30, None, "x"],
    "object": {},
    "nested": {"data": {"data": 5}},
    "counts": dict.fromkeys(("count", "input_tokens", "n_ctx", "total_slots", "tokens_evaluated", "tokens_cached", "id_slot"), -5),
    "tokens": {"tokens": [-1, "x", None, 10**12, {"id": -3, "piece": 5}, {"id": 1, "piece": [300, "x"]}], "prompt": 5, "count": "x"},
    "no-tokens": {"tokens": [], "prompt": "", "count": 0, "input_tokens": 0, "timings": {}},
    "large": {"count": 10**14, "input_tokens": 10**14, "total_slots": 10**14, "default_generation_settings": {"n_ctx": 10**14}},
    "props": {"default_generation_settings": {"n_ctx": 4096}, "chat_template": "{% for" * 1000, "bos_token": 5, "total_slots": -1},
    "template": {"default_generation_settings": {"n_ctx": 4096}, "chat_template": "{{ 1/0 }}", "eos_token": "\x1b]0;x\x07"},
    "slots": [{"id": -1, "n_ctx": "x"}, {"id": "0", "is_processing": 5}, 5, {}, {"id": 10**14}],
}


@pytest.mark.parametrize("odd", ODD)
async def test_whatever_a_route_says_is_a_sentence_or_passed_over(odd: str, wire: Wire) -> None:
    """Fails when an answer that is JSON, but not what was asked for, ends a turn with anything but a sentence, or for good."""
    with wire.serving() as hostile:
        async with talking(hostile, wire) as talk:
            await everything(talk)
        routes = dict.fromkeys(path.partition("?")[0] for path in hostile.paths())
        assert len(routes) > 1
        for route in routes:
            working = hostile.answers
            hostile.answers = {**working, route: _unless_streamed(ODD[odd], working.get(route))}
            async with talking(hostile, wire) as talk:
                with contextlib.suppress(NemochatError):
                    await everything(talk)
                hostile.answers = working
                wire.says(hostile, wire.well("All is well."))
                with contextlib.suppress(EngineError):  # what was believed of the model may have to be found wrong first
                    await send(talk, "And now?")
        async with talking(hostile, wire) as talk:
            await send(talk, "And now?")
            assert said(talk)[-1] == "All is well."


def _unless_streamed(value: Any, working: Any) -> Callable[..., Says]:
    def behave(request: Request, real: Any) -> Says:
        if b'"stream": true' in request.body and callable(working):
            says: Says = working(request, real)
            return says
        return [answer(value)]

    return behave


async def test_whatever_a_route_hangs_at_a_stop_ends_it(wire: Wire) -> None:
    with wire.serving() as hostile:
        async with talking(hostile, wire) as talk:
            await send(talk)
        for route in dict.fromkeys(path.partition("?")[0] for path in hostile.paths()):
            working, hostile.answers = hostile.answers, {**hostile.answers, route: [HOLD]}
            hostile.requests.clear()
            async with talking(hostile, wire) as talk:
                turn = asyncio.create_task(send(talk))
                await until(lambda: route in [path.partition("?")[0] for path in hostile.paths()])  # noqa: B023 - awaited here
                talk.stop()
                assert (await asyncio.wait_for(turn, 60)).reason is FinishReason.CANCELLED
                hostile.answers = working
                assert said(talk) == ["Hi"]
            async with talking(hostile, wire) as talk:
                await well_again(talk, hostile, wire)
