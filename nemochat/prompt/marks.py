"""The marks that stand for other people's words while a template is rendered: what the two processes of it agree on."""

from __future__ import annotations

OPEN, CLOSE = "⟬", "⟭"
"""Around a number of seven digits: a text that the template does not get to see. Printable, without upper or lower case, no white space."""
HTML, ASCII = "h", "a"
"""Behind the number: the text is to be written with jinja's escapes for HTML (each time that it is there), in JSON with those for letters
that are not ASCII's."""
JSON_OPEN, JSON_CLOSE = "⟮", "⟯"
"""Around JSON that holds such marks; what stands in it is to be written as JSON."""
DIGITS = 7
"""So that a mark has nine characters: templates of Mistral's look whether the id of a call has."""


def mark(number: int) -> str:
    """The mark of this number."""
    return f"{OPEN}{number:0{DIGITS}}{CLOSE}"


def json_mark(text: str) -> str:
    """JSON as it is when nothing in it is marked, else in marks of its own."""
    return f"{JSON_OPEN}{text}{JSON_CLOSE}" if OPEN in text else text
