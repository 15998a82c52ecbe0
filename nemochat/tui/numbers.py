"""Numbers as people read them: one spelling for all widgets."""

from __future__ import annotations


def count(value: int) -> str:
    """1234 is ``1,234``."""
    return f"{value:,}"


def duration(ms: float) -> str:
    """Milliseconds as ``85 ms``, ``1.2 s`` or ``1 min 5 s``."""
    if round(ms) < 1000:
        return f"{max(0, round(ms))} ms"
    if round(ms / 1000, 1) < 60:
        return f"{ms / 1000:.1f} s"
    minutes, seconds = divmod(round(ms / 1000), 60)
    return f"{minutes:,} min {seconds} s"


def rate(tokens: int, ms: float) -> str:
    """Tokens in that time as ``24 tok/s``, with a decimal below ten; a question mark when nothing was measured."""
    if tokens <= 0 or ms <= 0:
        return "? tok/s"
    each = tokens / ms * 1000
    return f"{each:.1f} tok/s" if each < 9.95 else f"{each:,.0f} tok/s"


def plural(value: int, one: str, many: str = "") -> str:
    """``1 picture``, ``2 pictures``; `many` where an s does not do."""
    return f"{count(value)} {one if value == 1 else many or f'{one}s'}"
