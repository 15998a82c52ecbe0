"""What the tests of the desk begin with."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.desk.bench import Bench
from tests.desk.sitting import Sitting, engine_of


@pytest.fixture
async def sitting(tmp_path: Path) -> AsyncGenerator[Sitting, None]:
    """The desk with an engine that answers everything."""
    bench = Bench(tmp_path, {"demo": engine_of()})
    sitting = await Sitting(bench).begin()
    yield sitting
    await sitting.close()
    bench.library.close()
    bench.documents.close()
