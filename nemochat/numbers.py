"""Numbers as people read them: one spelling for all widgets."""

from __future__ import annotations


def count(value: int, *, is_exact: bool = True) -> str:
    """1234 is ``1,234``, or ``~1,234`` where it is only near that."""
    return f"{value:,}" if is_exact else f"~{value:,}"


def duration(ms: float) -> str:
    """Milliseconds as ``85 ms``, ``1.2 s`` or ``1 min 5 s``."""
    if round(ms) < 1000:
        return f"{max(0, round(ms))} ms"
    if round(ms / 1000, 1) < 60:
        return f"{ms / 1000:.1f} s"
    minutes, seconds = divmod(round(ms / 1000), 60)
    return f"{minutes:,} min {seconds} s"


def speed(per_second: float | None) -> str:
    """Tokens a second as ``24 tok/s``, with a decimal below ten; a question mark when nothing was measured."""
    return f"{'?' if per_second is None else pace(per_second)} tok/s"


def pace(per_second: float) -> str:
    """The number of `speed` alone."""
    return f"{per_second:.1f}" if per_second < 9.95 else f"{per_second:,.0f}"


def plural(value: int, one: str, many: str = "", *, is_exact: bool = True) -> str:
    """``1 picture``, ``2 pictures``; `many` where an s does not do. is_exact: as in `count`."""
    return f"{count(value, is_exact=is_exact)} {one if value == 1 else many or f'{one}s'}"


def share(value: float) -> str:
    """A part of one as ``12 %``, with more digits near none and near all."""
    if value in (0.0, 1.0) or 0.1 <= value <= 0.99:
        return f"{100 * value:.0f} %"
    if value < 0.0001:
        return "under 0.01 %"
    return f"{100 * value:.2g} %" if value < 0.1 else f"{100 * value:.4g} %" if value <= 0.9999 else "over 99.99 %"


_UNITS = ("B", "kB", "MB", "GB", "TB")


def size_text(n_bytes: float) -> str:
    """A number of bytes in powers of 1000: ``2.57 GB``."""
    value, unit = float(n_bytes), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.0f} B" if unit == 0 else f"{value:.3g} {_UNITS[unit]}"
