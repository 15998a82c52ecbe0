"""Mail: who wrote what to whom, and the text. Attachments are named, not read: they are files of their own."""

from __future__ import annotations

import email
import email.errors
import re
from collections.abc import Iterator
from email.message import EmailMessage
from email.policy import default

from nemochat.documents.encodings import decode
from nemochat.documents.kinds import markup
from nemochat.documents.text import clean, tidy
from nemochat.documents.values import DocumentError, Section

_SHOWN = ("Subject", "From", "To", "Cc", "Date")
_HEADER = re.compile(rb"(?:[A-Za-z0-9-]{1,60}:[^\n]*\r?\n(?:[ \t][^\n]*\r?\n)*)+", re.IGNORECASE)
_OF_MAIL = re.compile(
    rb"^(?:From|Date|Message-ID|Received|Return-Path|Delivered-To|MIME-Version|Subject|To):", re.IGNORECASE | re.MULTILINE
)
_LEAST_HEADERS = 3
_BOX = re.compile(rb"^From [^\n]{1,200}\r?\n(?=[A-Za-z0-9-]{1,60}:)", re.MULTILINE)
_MAX_MESSAGES = 20_000
_MAX_PARTS = 500
_DEEPEST = 4
_HEAD = 32_768
_LONGEST_HEADER = 500


def is_mail(data: bytes) -> bool:
    """Whether it begins with what stands above a mail, or above the first one of a mailbox."""
    head = data[:_HEAD]
    start = _BOX.match(head)
    found = _HEADER.match(head, start.end() if start is not None else 0)
    return found is not None and len({each[0].lower() for each in _OF_MAIL.finditer(found[0])}) >= _LEAST_HEADERS


def mail_sections(data: bytes, name: str, notices: list[str]) -> Iterator[Section]:
    """The sections of each message, below its subject; notices are added. Raises DocumentError."""
    attached: list[str] = []
    try:
        for at, message in enumerate(_messages(data)):
            if at == _MAX_MESSAGES:
                notices.append(f"Only the first {_MAX_MESSAGES:,} messages were read.")
                break
            parsed = email.message_from_bytes(message, policy=default)
            assert isinstance(parsed, EmailMessage)
            yield from _Mail(attached).sections(parsed, 0)
    except (email.errors.MessageError, ValueError, LookupError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise DocumentError(f"{name} is broken: it is no readable mail.", "Open it elsewhere and save it anew.") from error
    if attached:
        shown = ", ".join(attached[:5]) + (f" and {len(attached) - 5:,} more" if len(attached) > 5 else "")
        notices.append(f"Its attachments were not read ({shown}): save what you need and add that.")


def _messages(data: bytes) -> Iterator[bytes]:
    """Those of a mailbox, or the only one."""
    if _BOX.match(data) is None:
        yield data
        return
    end = 0
    for found in _BOX.finditer(data):
        if end:
            yield data[end : found.start()]
        end = found.end()
    yield data[end:]


class _Mail:
    """Reads messages. attached: the names of attachments, added to."""

    def __init__(self, attached: list[str]) -> None:
        self._attached = attached
        self._parts = 0

    def sections(self, message: EmailMessage, depth: int) -> Iterator[Section]:
        """Its head, its text, and the messages that were sent on in it."""
        subject = _header(message, "Subject")
        head = "\n".join(f"{name}: {value}" for name in _SHOWN if (value := _header(message, name)))
        if head:
            yield Section(clean(head), heading=subject)
        yield from self._part(message, subject, depth, frozenset())

    def _part(self, part: EmailMessage, subject: str, depth: int, but: frozenset[str]) -> Iterator[Section]:
        """but: kinds of text that stand there as another kind already."""
        self._parts += 1
        if self._parts > _MAX_PARTS or depth > _DEEPEST:
            return
        kind = part.get_content_type()
        if kind == "message/rfc822":
            for inner in _inner(part):
                yield from self.sections(inner, depth + 1)
        elif part.is_multipart():
            inside = _inner(part)
            # The same twice: the plain text is what people would read aloud.
            if kind == "multipart/alternative" and any(each.get_content_type() == "text/plain" and _text(each).strip() for each in inside):
                but |= {"text/html"}
            for each in inside:
                yield from self._part(each, subject, depth + 1, but)
        elif part.get_filename() or part.get_content_disposition() == "attachment":
            self._attached.append(clean(part.get_filename() or "without a name")[:80])
        elif kind == "text/html" and kind not in but:
            for section in markup.html_sections(clean(_text(part))):
                yield Section(section.text, heading=section.heading or subject)
        elif kind == "text/plain":
            yield Section(clean(_text(part)).strip("\n"), heading=subject)


def _inner(part: EmailMessage) -> list[EmailMessage]:
    inside = part.get_payload()
    return [each for each in inside if isinstance(each, EmailMessage)] if isinstance(inside, list) else []


def _text(part: EmailMessage) -> str:
    """Decoded as it says, or as it can be told from its bytes."""
    data = part.get_payload(decode=True)
    if not isinstance(data, bytes):
        return ""
    charset = part.get_content_charset()
    if charset is not None:
        try:
            return data.decode(charset)
        except (LookupError, ValueError):
            charset = None  # it lies: the bytes themselves are looked at
    decoded = decode(data)
    return decoded.text if decoded is not None else ""


def _header(message: EmailMessage, name: str) -> str:
    return tidy(clean(str(message.get(name, ""))))[:_LONGEST_HEADER]
