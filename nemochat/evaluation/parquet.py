"""Questions in parquet, as Hugging Face has them: rows without their pictures first, and each picture when its question is asked.

pyarrow says before it reads how much a part of a column comes to, so what would take too much memory is refused by that.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nemochat.errors import EvaluationError
from nemochat.reading import TooMuchError

_MAX_GROUP = 4 << 30
"""Bytes of one column in one group of rows: a thousand large pictures."""
_MAX_BATCH = 64 << 20
_MAX_TEXT = 512 << 20
"""Of all that is read beside the pictures."""
_MAX_PICTURE = 64 << 20
_ROWS = 256
_MOST_OPEN = 16
"""Columns of pictures that are being read: as many as sessions ask questions with several pictures."""


def rows(path: Path, is_picture: re.Pattern[str]) -> Iterator[tuple[dict[str, Any], dict[str, int]]]:
    """The cells of each row but the pictures', and how many pictures are in the columns that have such a name.

    Raises EvaluationError without pyarrow, OSError, and TooMuchError for what cannot be read.
    """
    with _understood():
        file = _opened(path)
        pictures = [name for name in file.schema_arrow.names if is_picture.fullmatch(name)]
        columns = [leaf for leaf in _leaves(file) if leaf.partition(".")[0] not in pictures]
        for name in pictures:
            # The name beside a picture's bytes says as well whether there is one, without reading them.
            leaves = _leaves(file, name)
            columns += [leaf for leaf in leaves if leaf.endswith(".path")] or leaves
        size = 0
        for batch in file.iter_batches(_batch(file, columns), columns=columns):
            for row in batch.to_pylist():
                if (size := size + _size(row)) > _MAX_TEXT:
                    raise TooMuchError(f"its texts take more than {_MAX_TEXT >> 20} MiB")
                yield {name: cell for name, cell in row.items() if name not in pictures}, {name: _count(row[name]) for name in pictures}


def picture(path: Path, row: int, column: str, number: int) -> bytes:
    """The file of a picture, by its number among those of the cell in this row of the file.

    Raises EvaluationError, OSError and TooMuchError, and IndexError for none.
    """
    with _turn, _understood():
        key = (path, column)
        cursor = _open.pop(key, None)
        if cursor is None or cursor.at > row:
            cursor = _Cursor(path, column)
        _open[key] = cursor
        while len(_open) > _MOST_OPEN:
            _open.popitem(last=False)
        cell = cursor.cell(row)
    each = cell[number] if isinstance(cell, list) else cell
    data = each.get("bytes") if isinstance(each, dict) else each
    if isinstance(data, bytes) and len(data) > _MAX_PICTURE:
        raise TooMuchError(f"a picture takes more than {_MAX_PICTURE >> 20} MiB")
    return data if isinstance(data, bytes) else b""


class _Cursor:
    """Reads a column of pictures from one row on, one at a time. at: the next row."""

    def __init__(self, path: Path, column: str) -> None:
        self._file, self.at, self._end, self._group = _opened(path), 0, 0, -1
        self._leaves = _leaves(self._file, column)
        self._cells: Iterator[Any] = iter(())

    def cell(self, row: int) -> Any:
        """Of a row that is not before `at`. Raises IndexError."""
        while row >= self._end:
            self._group += 1
            if self._group >= self._file.num_row_groups:
                raise IndexError(row)
            self.at = self._end
            self._end += self._file.metadata.row_group(self._group).num_rows
            self._cells = self._file.iter_batches(_batch(self._file, self._leaves, 1), row_groups=[self._group], columns=self._leaves)
        while self.at <= row:
            cell = next(self._cells)
            self.at += 1
        return cell.column(0)[0].as_py()


_turn = threading.Lock()
_open: OrderedDict[tuple[Path, str], _Cursor] = OrderedDict()


def _count(cell: Any) -> int:
    return sum(each is not None for each in cell) if isinstance(cell, list) else int(cell is not None)


def _size(cell: Any) -> int:
    if isinstance(cell, dict | list):
        return sum(map(_size, cell.values() if isinstance(cell, dict) else cell))
    return len(cell) if isinstance(cell, str | bytes) else 8


def _leaves(file: Any, column: str = "") -> Sequence[str]:
    """The names of what is stored, of one column or of all: "image.bytes"."""
    names = [file.schema.column(number).path for number in range(len(file.schema))]
    return [name for name in names if not column or name.partition(".")[0] == column]


def _batch(file: Any, leaves: Sequence[str], most: int = _ROWS) -> int:
    """How many rows are read at once: a value that a thousand rows share is stored once and comes out a thousand times.

    Raises TooMuchError.
    """
    largest = 1
    for group in map(file.metadata.row_group, range(file.num_row_groups)):
        parts = [group.column(number) for number in range(group.num_columns)]
        largest = max([largest, *(part.total_uncompressed_size for part in parts if part.path_in_schema in leaves)])
    if largest > _MAX_GROUP:
        raise TooMuchError(f"a column takes {largest >> 30} GiB in one group of rows")
    return max(1, min(most, _MAX_BATCH // largest))


def _opened(path: Path) -> Any:
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        missing = "Reading parquet needs pyarrow, which is not installed."
        raise EvaluationError(missing, "Install it with: pip install 'nemochat[parquet]'") from None
    if not path.is_file():
        raise TooMuchError("it is no file")
    return parquet.ParquetFile(path)


@contextmanager
def _understood() -> Iterator[None]:
    """pyarrow's failures are of many classes, and of the system's where no system has failed."""
    try:
        yield
    except (EvaluationError, TooMuchError, IndexError):
        raise
    except Exception as error:  # pyarrow has a class for each kind
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise TooMuchError(str(error) or type(error).__name__) from None
