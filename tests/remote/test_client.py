"""What goes wrong with a server is one sentence, within bounds of time and size, and never holds the key."""

from __future__ import annotations

import asyncio
import contextlib
import time
import traceback
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from nemochat.domain.sanitize import sanitize
from nemochat.domain.servers import Server
from nemochat.engine.remote.client import Limits, ServerClient
from nemochat.errors import ServerError
from tests.idle import until
from tests.remote.hostile import CERTIFICATE, DROP, HOLD, KEY, Act, HostileServer, Says, answer, begin, chunk, event

IMPATIENT = Limits(look=0.3, first=0.3, silence=0.3, retries=0)
ONCE = Limits(retries=0)


@contextlib.asynccontextmanager
async def asked(says: Any, key: str = KEY, limits: Limits = ONCE) -> AsyncIterator[tuple[ServerClient, HostileServer]]:
    """A client of a server that says this to whatever it is asked."""
    with HostileServer({"*": says}) as hostile:
        client = ServerClient(hostile.as_server(), key, limits=limits)
        try:
            yield client, hostile
        finally:
            await client.close()


async def fault(says: Any, key: str = KEY, limits: Limits = ONCE, *, streams: bool = False) -> ServerError:
    """The error that comes of it, which is a sentence in any case."""
    async with asked(says, key, limits) as (client, _):
        with pytest.raises(ServerError) as caught:
            await (rest(client) if streams else client.get("/x"))
    error = caught.value
    for text in (error.message, error.hint):
        assert text == sanitize(text, strict=True)
        assert len(text) < 600
        assert KEY not in text
    assert error.message.endswith(".")
    assert KEY not in "".join(traceback.format_exception(error))  # as a log of a crash would have it
    return error


async def rest(client: ServerClient) -> list[Any]:
    return [value async for value in client.stream("/x", {"a": 1})]


async def test_json_there_and_back() -> None:
    async with asked(answer({"b": [1, None, "ä"]})) as (client, hostile):
        assert await client.get("/v1/models?x=1") == {"b": [1, None, "ä"]}
        assert await client.post("/x", {"text": "ä\ud800"}) == {"b": [1, None, "ä"]}
    get, post = hostile.requests
    assert (get.method, get.path, get.headers["authorization"]) == ("GET", "/v1/models?x=1", f"Bearer {KEY}")
    assert get.headers["accept-encoding"] == "identity"
    assert (post.method, post.json, post.headers["content-type"]) == ("POST", {"text": "ä?"}, "application/json")


async def test_numbers_that_cannot_be_meant_are_none() -> None:
    numbers = b"1, -2, 0.5, 1e3, 123456789012345, 1234567890123456, -99999999999999999999, 1e400, -1e16, NaN, Infinity, "
    async with asked(answer(b"[" + numbers + b"9" * 5000 + b"]")) as (client, _):
        assert await client.get("/x") == [1, -2, 0.5, 1000.0, 123456789012345, *[None] * 7]


async def test_without_a_key_none_is_sent() -> None:
    async with asked(answer({}), key="") as (client, hostile):
        await client.get("/x")
    assert "authorization" not in hostile.requests[0].headers


@pytest.mark.parametrize(
    "body",
    [
        event({"n": 1}) + event({"n": 2}) + b"data: [DONE]\n\n" + event({"n": 3}),
        event({"n": 1}) + event({"n": 2}),
        b": hello\r\n\r\nevent: x\r\nid: 7\r\nretry: 10\r\ndata:{\"n\": 1}\r\n\r\n:\r\ndata: {\"n\": 2}\r\n\r\n",
        b"\xef\xbb\xbf" + event({"n": 1}) + b'data: {"n":\ndata:  2}\n\n',
        b'data: {"n": 1}\ndata: {"n": 2}\n',
        b'{"n": 1}\n{"n": 2}\n',
        b'{"n": 1}\r\n\r\n{"n": 2}',
        event({"n": 1}) + b'data: {"n":\ndata: 2}',
    ],
    ids=["events", "no-done", "every-field", "an-event-of-two-lines", "no-blank-lines", "lines", "lines-of-windows", "no-end"],
)  # fmt: skip
async def test_streams_in_all_their_shapes(body: bytes) -> None:
    for size in (1, 3, len(body)):
        async with asked([begin(), *(body[at : at + size] for at in range(0, len(body), size))]) as (client, _):
            assert await rest(client) == [{"n": 1}, {"n": 2}]
    async with asked([begin("application/x-ndjson", transfer_encoding="chunked"), chunk(body), chunk(b"")]) as (client, _):
        assert await rest(client) == [{"n": 1}, {"n": 2}]


async def test_an_event_is_there_before_the_blank_line_after_it() -> None:
    async with asked([begin(), b'data: {"n": 1}\n', HOLD]) as (client, _):
        stream = client.stream("/x", {})
        assert await anext(stream) == {"n": 1}
        await stream.aclose()


async def test_an_answer_in_one_piece_where_a_stream_was_asked_for() -> None:
    async with asked(answer(b'{\n  "n":\n  1\n}')) as (client, _):
        assert await rest(client) == [{"n": 1}]


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "text/html", "nonsense", ""])
async def test_what_kind_of_content_a_stream_says_to_be_does_not_matter(kind: str) -> None:
    for body in (event({"n": 1}) + event({"n": 2}), b'{"n": 1}\n{"n": 2}\n'):
        async with asked([begin(kind), body]) as (client, _):
            assert await rest(client) == [{"n": 1}, {"n": 2}]


async def test_closing_a_stream_closes_the_connection() -> None:
    async with asked([begin(), event({"n": 1}), HOLD]) as (client, hostile):
        stream = client.stream("/reply", {})
        await anext(stream)
        await stream.aclose()
        await until(lambda: hostile.left == ["/reply"])


async def test_a_cancelled_request_closes_the_connection() -> None:
    async with asked([HOLD]) as (client, hostile):
        task = asyncio.create_task(client.get("/x"))
        await until(lambda: hostile.requests)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: hostile.left)


def _with(code: int, body: Any, **headers: str) -> bytes:
    return answer(body, f"{code} Whatever", **headers)


@pytest.mark.parametrize(
    ("says", "message"),
    [
        (_with(401, {"error": {"message": f"Incorrect key provided: {KEY}."}}), "lab does not accept the key: Incorrect key provided: …."),
        (_with(403, {"detail": "no"}), "lab does not allow that: no."),
        (_with(404, {"error": "model 'x' not found"}), "lab does not know what it was asked for: model 'x' not found."),
        (_with(413, b"<html>"), "What was sent is too large for lab."),
        (_with(422, {"detail": [{"loc": ["body"], "msg": "Field required"}]}), "lab refuses what it was asked (422): Field required."),
        (_with(429, {"error": {"message": "slow down"}}), "lab has too much to do: slow down."),
        (_with(429, {}, retry_after="3600"), "lab has too much to do: asks to be tried again in 60 min 0 s."),
        (_with(429, {}, retry_after="1e300"), "lab has too much to do."),
        (_with(500, b"Traceback: " + b"x" * 100_000), "lab failed (500): Traceback: "),
        (_with(502, b"<html><h1>502 Bad Gateway</h1></html>", kind="text/html"), "lab failed (502)."),
        (_with(503, {"error": {"message": "Loading model", "code": 503}}), "lab is not ready: Loading model."),
        (_with(599, b"\xff\x1b]52;c;aGk=\x07\r\n\r\nb\xe2\x80\xaec"), "lab failed (599): "),
        (_with(400, b"[" * 100_000), "lab refuses what it was asked (400): [[["),
        (answer({"error": "it broke"}), "lab failed: it broke."),
        (answer({"error": {"message": "it broke", "code": 429}}), "lab has too much to do: it broke."),
        (answer({"object": "error", "message": "it broke", "code": 400}), "lab refuses what it was asked (400): it broke."),
        (answer({"error": {"a": 1}}), "lab failed."),
        (answer(b"<!doctype html><html>"), "lab sent an answer that is a web page, not JSON."),
        (answer(b""), "lab sent an answer that is empty."),
        (answer(b"hello"), "lab sent an answer that is not JSON."),
        (answer(b'{"a": '), "lab sent an answer that is not JSON."),
        (answer(b"[" * 100_000), "lab sent an answer that is nested too deep."),
        (answer(b"[" + b"0," * 2_000_001 + b"0]"), "lab sent an answer that holds more than 2,000,000 values."),
        (answer(b"{}", content_encoding="gzip"), "lab sent an answer that is compressed, unasked."),
        ([begin(content_length="100"), b'{"a":'], "lab broke off in the middle of its answer."),
        ([begin(transfer_encoding="chunked"), b"zz\r\n"], "lab broke off in the middle of its answer."),
        ([DROP], "lab closed the connection without an answer."),
        ([b""], "lab closed the connection without an answer."),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "What lab answers at "),
        (b"HTTP/1.1 abc\r\n\r\n", "What lab answers at "),
        (b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * 300_000, "What lab answers at "),
    ],
)  # fmt: skip
async def test_what_goes_wrong_is_a_sentence(says: bytes | Says, message: str) -> None:
    assert (await fault(says)).message.startswith(message)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([DROP], "lab broke off in the middle of its answer."),
        ([event({"error": {"message": "out of memory", "code": 500}})], "lab failed (500): out of memory."),
        ([b'error: {"code": 400, "message": "no", "object": "error"}\n\n'], "lab refuses what it was asked (400): no."),
        ([b'{"error": "an error was encountered while running the model"}\n'], "lab failed: an error was"),
        ([event({"n": 1}), event(b"{nonsense")], "lab sent an answer that is not JSON."),
        ([event({"n": 1}), b"nonsense\n"], "lab sent an answer that is no stream of events."),
        ([b"<html>\n<body>\n"], "lab sent an answer that is a web page, not a reply."),
        ([event({"n": 1}), b"\x00\x1b[2J\n"], "lab sent an answer that is no stream of events."),
        ([b"data: " + b"x" * 10_000_000], "lab sent an answer that has a line of more than 4 MiB."),
        ([b"data: " + b"x" * 10_000_000 + b"\n\n"], "lab sent an answer that has a line of more than 4 MiB."),
        ([b"data: x\n" * 2000], "lab sent an answer that has an event of more than 4 MiB."),
        ([event(b"[" * 50_000)], "lab sent an answer that is nested too deep."),
    ],
)  # fmt: skip
async def test_what_goes_wrong_in_a_stream_is_a_sentence(lines: list[bytes | Act], message: str) -> None:
    assert (await fault([begin(), *lines], streams=True)).message.startswith(message)


async def test_a_chunked_stream_that_is_cut_broke_off() -> None:
    says = [begin(transfer_encoding="chunked"), chunk(event({"n": 1}))]
    async with asked(says) as (client, _):
        stream = client.stream("/x", {})
        assert await anext(stream) == {"n": 1}
        with pytest.raises(ServerError, match="broke off"):
            await anext(stream)


async def test_large_answers_are_not_read_to_their_end() -> None:
    small = Limits(answer=1000, stream=1000, retries=0)
    endless = [begin("application/json"), *[b" " * 1000] * 3, HOLD]
    assert "larger than 1,000 bytes" in (await fault(endless, limits=small)).message
    assert "larger than 1,000 bytes" in (await fault([begin(), *[event({"n": 1})] * 100, HOLD], limits=small, streams=True)).message


@pytest.mark.parametrize("start", [[], [b"HTTP/1.1 200 OK\r\n"], [begin("application/json")], [begin("application/json"), b"{"]])
async def test_silence_ends(start: list[bytes]) -> None:
    error = await fault([*start, HOLD], limits=IMPATIENT)
    assert error.message == "lab has not answered for 300 ms."


async def test_a_stream_that_stalls_ends() -> None:
    assert (await fault([begin(), HOLD], limits=IMPATIENT, streams=True)).message == "lab has not answered for 300 ms."
    stalled = await fault([begin(), event({"n": 1}), b"data: {", HOLD], limits=IMPATIENT, streams=True)
    assert stalled.message == "lab fell silent in the middle of its answer, for 300 ms."


async def test_a_byte_now_and_then_is_silence() -> None:
    def drip(begun: bytes) -> Any:
        def behave(*_: Any) -> Says:
            yield begun
            while True:
                time.sleep(0.02)
                yield b"x"

        return behave

    for start in (b"HTTP/1.1 200 OK\r\nX: ", begin("application/json"), begin(), begin() + event({"n": 1})):
        streams = b"event-stream" in start
        assert "300 ms" in (await fault(drip(start), limits=IMPATIENT, streams=streams)).message


async def test_who_says_to_be_alive_is_waited_for_but_not_for_ever() -> None:
    def alive(*_: Any) -> Says:
        yield begin() + event({"n": 1})
        while True:
            time.sleep(0.02)
            yield b": ping\n\n"

    started = time.monotonic()
    error = await fault(alive, limits=Limits(first=1.0, silence=0.5, retries=0), streams=True)
    assert "fell silent" in error.message
    assert time.monotonic() - started >= 0.9


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    with HostileServer({"*": answer({})}) as other:
        error = await fault(answer(b"", f"{status} Moved", location=f"{other.url}/?key={KEY}\x1b[2J"))
        assert error.message == f"lab sends us to another address, which is not followed: {other.url}/?key=…[2J."
        assert not other.requests


async def test_nobody_answers() -> None:
    with HostileServer() as hostile:
        server = hostile.as_server()
    client = ServerClient(server, KEY, limits=ONCE)
    with pytest.raises(ServerError, match=r"^lab does not answer at http://127\.0\.0\.1:\d+\.$") as caught:
        await client.get("/x")
    assert caught.value.status is None
    await client.close()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("https://nemochat-nowhere.invalid", "lab is at https://nemochat-nowhere.invalid, and no machine of that name is known."),
        ("ftp://127.0.0.1", "lab has no address that leads anywhere: ftp://127.0.0.1."),
        ("127.0.0.1:80", "lab has no address that leads anywhere: 127.0.0.1:80."),
        ("http://127.0.0.1:99999", "lab cannot be asked: "),
        ("http://[::1", "lab cannot be asked: "),
        ("http://a b/", "lab is at http://a b, and no machine of that name is known."),
        ("", "lab has no address that leads anywhere: it is empty."),
        ("http://:80", "lab has no address that leads anywhere: http://:80."),
        ("http://127.0.0.1:0", "lab has no address that leads anywhere: http://127.0.0.1:0."),
    ],
)
async def test_addresses_that_are_none(url: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ServerError) as caught:
        await _ask(Server("lab", url), ONCE)
    assert caught.value.message.startswith(message)


async def _ask(server: Server, limits: Limits) -> Any:
    client = ServerClient(server, KEY, limits=limits)
    try:
        return await client.get("/x")
    finally:
        await client.close()


async def test_a_password_in_an_address_is_not_told() -> None:
    with HostileServer() as hostile:
        url = hostile.url.replace("//", f"//me:{KEY}@")
    with pytest.raises(ServerError) as caught:
        await _ask(Server("lab", url), ONCE)
    assert KEY not in caught.value.message
    assert "me" not in caught.value.message.replace("name", "")


async def test_a_self_signed_certificate_is_refused_and_can_be_made_known(monkeypatch: pytest.MonkeyPatch) -> None:
    with HostileServer({"*": answer({"a": 1})}, has_tls=True) as hostile:
        with pytest.raises(ServerError, match=r"^The certificate of lab is not trusted: self.signed certificate\.$") as caught:
            await _ask(hostile.as_server(), Limits())
        assert "SSL_CERT_FILE" in caught.value.hint
        assert not hostile.requests
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
        assert await _ask(hostile.as_server(), ONCE) == {"a": 1}
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE.with_name("missing.pem")))
        with pytest.raises(ServerError, match="cannot be asked"):
            await _ask(hostile.as_server(), ONCE)


async def test_the_wrong_kind_of_http() -> None:
    with HostileServer({"*": answer({})}) as plain, pytest.raises(ServerError, match=r"^lab does not speak https at https://"):
        await _ask(Server("lab", plain.url.replace("http:", "https:")), ONCE)
    with HostileServer({"*": answer({})}, has_tls=True) as secret, pytest.raises(ServerError):
        await _ask(Server("lab", secret.url.replace("https:", "http:")), ONCE)


@pytest.mark.parametrize("key", ["a\nb", "schlüssel", " sk", "sk\x00", "sk\r\nX: y"])
def test_a_key_that_no_header_holds_is_refused_without_being_told(key: str) -> None:
    with pytest.raises(ServerError, match=r"^The key of lab holds characters that no key has\.$"):
        ServerClient(Server("lab", "http://127.0.0.1:1"), key)


async def test_the_key_is_in_nothing_that_comes_back() -> None:
    async with asked(answer({"echo": f"Bearer {KEY}", KEY: 1})) as (client, _):
        assert await client.get("/x") == {"echo": "Bearer …", "…": 1}
        assert KEY not in repr(client)
    async with asked([begin(), event({"text": f"you sent {KEY}"})]) as (client, _):
        assert await rest(client) == [{"text": "you sent …"}]
    quoted = 'sk-"quoted"-0123'
    async with asked(answer({"echo": quoted}), key=quoted) as (client, _):
        assert await client.get("/x") == {"echo": "…"}


@pytest.mark.parametrize("key", ["ollama", "EMPTY", "n", "none", "lm-studio", "error", "content"])
async def test_a_word_that_is_given_for_a_key_stays_in_what_is_said(key: str) -> None:
    async with asked(answer({"n": f"Say {key}.", "error": None, "content": key}), key=key) as (client, _):
        assert await client.get("/x") == {"n": f"Say {key}.", "error": None, "content": key}


@pytest.mark.parametrize("key", [KEY, "token-abc123", "nvapi-0", "a-long-passphrase"])
async def test_a_secret_is_no_part_of_what_is_said(key: str) -> None:
    async with asked(_with(200, {"n": key}), key=key) as (client, _):
        assert (await client.get("/x") == {"n": "…"}) == (key != "nvapi-0")
    async with asked(_with(400, {"error": f"bad {key}"}), key=key) as (client, _):
        with pytest.raises(ServerError, match="bad …") as caught:
            await client.get("/x")
    assert key not in "".join(traceback.format_exception(caught.value))


async def test_the_key_is_not_cut_in_half() -> None:
    error = await fault(_with(400, {"error": {"message": "x" * 290 + KEY}}))
    assert KEY[:4] not in error.message


class _Waits:
    """Instead of waiting: how long it would have been."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds: list[float] = []
        sleep = asyncio.sleep

        async def wait(seconds: float) -> None:
            self.seconds.append(seconds)
            await sleep(0)

        monkeypatch.setattr("nemochat.engine.remote.client.asyncio.sleep", wait)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504])
async def test_what_may_go_better_is_tried_twice_more(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = _Waits(monkeypatch)
    async with asked(_with(status, {}), limits=Limits()) as (client, hostile):
        with pytest.raises(ServerError):
            await client.get("/x")
        assert len(hostile.requests) == 3
        first, second = waits.seconds
        assert 0 < first < second <= 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
async def test_what_will_not_go_better_is_not_tried_again(status: int) -> None:
    async with asked(_with(status, {"error": "no"}), limits=Limits()) as (client, hostile):
        with pytest.raises(ServerError) as caught:
            await rest(client)
        assert len(hostile.requests) == 1
        assert caught.value.status == status


async def test_a_server_that_comes_back_is_not_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    _Waits(monkeypatch)
    left: Iterator[Says] = iter([[DROP], [_with(503, {})], [begin() + event({"n": 1})]])

    def behave(*_: Any) -> Says:
        return next(left)

    async with asked(behave, limits=Limits()) as (client, hostile):
        assert await rest(client) == [{"n": 1}]
        assert len(hostile.requests) == 3


async def test_a_reply_that_has_begun_is_not_asked_for_again() -> None:
    async with asked([begin(transfer_encoding="chunked"), chunk(event({"n": 1}))], limits=Limits()) as (client, hostile):
        with pytest.raises(ServerError):
            await rest(client)
        assert len(hostile.requests) == 1


@pytest.mark.parametrize(
    ("after", "waited"),
    [("3", [3.0, 3.0]), ("0", [0, 0]), ("-5", None), ("nan", None), ("inf", None), ("soon", None), ("9" * 50, []), ("21", []), ("1e9", [])],
)
async def test_when_to_try_again_is_heeded_within_bounds(after: str, waited: list[float] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = _Waits(monkeypatch)
    async with asked(_with(429, {}, retry_after=after), limits=Limits()) as (client, _):
        with pytest.raises(ServerError, match="too much to do"):
            await client.get("/x")
    assert waits.seconds == waited if waited is not None else len(waits.seconds) == 2


async def test_a_date_to_try_again_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = _Waits(monkeypatch)
    async with asked(_with(503, {}, retry_after="Fri, 31 Dec 2199 23:59:59 GMT"), limits=Limits()) as (client, hostile):
        with pytest.raises(ServerError):
            await client.get("/x")
        assert len(hostile.requests) == 1
    assert not waits.seconds


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"error": {"code": 400, "message": "request (5000 tokens) exceeds the available context size (4096 tokens)",
                         "type": "exceed_context_size_error", "n_prompt_tokens": 5000, "n_ctx": 4096}}),
        (400, {"error": {"message": "This model's maximum context length is 4096 tokens. However, you requested 5000.", "code": 400}}),
        (400, {"object": "error", "message": "The decoder prompt (length 5000) is longer than the maximum model length of 4096."}),
        (400, {"error": {"message": "no", "code": "context_length_exceeded"}}),
        (400, {"error": "the input length exceeds the context length"}),
        (400, {"error": "prompt too long; exceeded max context length by 12 tokens"}),
        (400, {"error": "Trying to keep the first 5000 tokens when context the overflows. However, the model is loaded with"}),
        (400, {"error": "Cannot truncate prompt with n_keep (15028) >= n_ctx (7424)"}),
        (400, {"error": "Context size has been exceeded."}),
        (500, {"error": "the prompt is too long to fit into the model"}),
        (200, {"error": {"message": "This model's maximum context length is 4096 tokens", "code": 400}}),
    ],
)  # fmt: skip
async def test_a_prompt_that_is_too_long_is_known_as_such(status: int, body: Any) -> None:
    error = await fault(_with(status, body))
    assert error.is_length
    assert error.message.startswith("The prompt is too long for lab")


@pytest.mark.parametrize("body", [{"error": "context deadline exceeded"}, {"error": "no such model"}, {"error": "bad prompt"}])
async def test_other_refusals_are_not_about_length(body: Any) -> None:
    assert not (await fault(_with(400, body))).is_length


async def test_what_runs_here_is_not_asked_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with HostileServer({"*": answer({"proxy": True})}) as proxy:
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, proxy.url)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        async with asked(answer({"proxy": False})) as (client, _):
            assert await client.get("/x") == {"proxy": False}
        assert await _ask(Server("lab", "http://nemochat-nowhere.invalid/"), ONCE) == {"proxy": True}
        assert [request.path for request in proxy.requests] == ["http://nemochat-nowhere.invalid/x"]
    for address in ("nonsense", "http://[::1", "socks5://127.0.0.1:9"):
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, address)
        async with asked(answer({"proxy": False})) as (client, _):
            assert await client.get("/x") == {"proxy": False}
        with pytest.raises(ServerError):
            await _ask(Server("lab", "http://nemochat-nowhere.invalid/"), ONCE)


async def test_what_is_logged_holds_nothing_of_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    await fault(_with(401, {"error": KEY}, x_echo=KEY))
    assert KEY not in caplog.text

