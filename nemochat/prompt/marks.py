"""The marks that stand for other people's words while a template is rendered: what the two processes of it agree on."""

from __future__ import annotations

OPEN, CLOSE = "⟬", "⟭"
"""Around a number of seven digits: a text that the template does not get to see. Printable, without upper or lower case, no white space."""
JSON_OPEN, JSON_CLOSE = "⟮", "⟯"
"""Around JSON that holds such marks."""
DIGITS = 7


def mark(number: int) -> str:
    """The mark of this number."""
    return f"{OPEN}{number:0{DIGITS}}{CLOSE}"


def json_mark(text: str) -> str:
    """JSON as it is when nothing in it is marked, else in marks of its own."""
    return f"{JSON_OPEN}{text}{JSON_CLOSE}" if OPEN in text else text
