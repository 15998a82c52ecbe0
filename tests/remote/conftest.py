from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.remote.llama_server import LlamaServer, running


@pytest.fixture(scope="session")
def one_server() -> Iterator[LlamaServer]:
    """The demo pair with two slots, one for all tests of a session."""
    with running() as server:
        yield server


@pytest.fixture
def demo_server(one_server: LlamaServer) -> LlamaServer:
    """That server, running again where a test has stopped it."""
    one_server.start()
    return one_server
