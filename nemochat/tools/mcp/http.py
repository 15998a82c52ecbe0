"""Streamable HTTP with bounds on what a server may send.

The SDK bounds an event of a stream, not an answer in JSON, and would unpack a compressed one of any size.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import httpx2

_CONNECT_SECONDS = 30.0
_READ_SECONDS = 300.0


class TooLargeError(httpx2.StreamError):
    """A body that is refused; the SDK turns it into an error answer to the request."""


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, limit: int | None, refusal: str) -> None:
        self._inner, self._limit, self._refusal = inner, limit, refusal

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._refusal:
            raise TooLargeError(self._refusal)
        taken = 0
        async for chunk in self._inner:
            taken += len(chunk)
            if self._limit is not None and taken > self._limit:
                raise TooLargeError(f"it is larger than {self._limit:,} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()


def bounded_client(headers: Mapping[str, str], limit: int) -> httpx2.AsyncClient:
    """A client whose answers are at most `limit` bytes; streams of events go on, each event bounded by the SDK."""

    async def bound(response: httpx2.Response) -> None:
        packed = response.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity")
        is_events = response.headers.get("content-type", "").lower().startswith("text/event-stream")
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _Bounded(response.stream, None if is_events else limit, "it is compressed, unasked" if packed else "")

    return httpx2.AsyncClient(
        headers={**headers, "Accept-Encoding": "identity"},
        timeout=httpx2.Timeout(_CONNECT_SECONDS, read=_READ_SECONDS),
        event_hooks={"response": [bound]},
    )
