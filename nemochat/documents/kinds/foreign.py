"""Files that are documents to people and cannot be read here: each is named as what it is, with what to do."""

from __future__ import annotations

import zipfile

from nemochat.documents.values import DocumentError

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OLE_HEAD = 4_000_000
_WORD, _SHEET, _SLIDES = "a document of old Word (.doc)", "a spreadsheet of old Excel (.xls)", "a presentation of old PowerPoint (.ppt)"
_STREAMS = (
    ("WordDocument", _WORD, "DOCX or PDF"), ("Workbook", _SHEET, "XLSX or CSV"), ("Book", _SHEET, "XLSX or CSV"),
    ("PowerPoint Document", _SLIDES, "PDF"), ("__properties_version1.0", "a message of Outlook (.msg)", "EML or text"),
    ("VisioDocument", "a drawing of Visio", "PDF"),
)  # fmt: skip
_MEMBERS = (
    ("ppt/presentation.xml", "a PowerPoint presentation", "PDF"),
    ("Index/Document.iwa", "a document of Apple's Pages, Numbers or Keynote", "PDF"),
    ("xl/workbook.bin", "a binary Excel workbook (.xlsb)", "XLSX"), ("visio/document.xml", "a drawing of Visio", "PDF"),
    ("META-INF/container.xml", "an e-book (EPUB)", "PDF or HTML"),
)  # fmt: skip
_STARTS = (
    (0, b"%!PS", "a PostScript file", "PDF"), (0, b"AT&TFORM", "a DjVu file", "PDF"),
    (60, b"BOOKMOBI", "an e-book of the Kindle", "PDF or HTML"),
    (0, b"\xffWPC", "a document of WordPerfect", "DOCX or PDF"), (0, b"!BDN", "a mailbox of Outlook (.pst)", "EML"),
)  # fmt: skip


def refuse_foreign(data: bytes, name: str) -> None:
    """Raise DocumentError for a kind that is known and not read."""
    if data.startswith(_OLE):
        head = data[:_OLE_HEAD]
        if "EncryptedPackage".encode("utf-16-le") in head:
            raise protected(name)
        for stream, what, instead in _STREAMS:
            if f"{stream}\0".encode("utf-16-le") in head:
                raise _foreign(name, what, instead)
        raise _foreign(name, "a file of an old Office program", "DOCX, XLSX or PDF")
    for at, start, what, instead in _STARTS:
        if data.startswith(start, at):
            raise _foreign(name, what, instead)


def refuse_archive(archive: zipfile.ZipFile, name: str) -> None:
    """The same for what is inside of a zip archive."""
    names = set(archive.namelist())
    for member, what, instead in _MEMBERS:
        if member in names:
            raise _foreign(name, what, instead)


def protected(name: str) -> DocumentError:
    """For what only its password opens."""
    return DocumentError(f"{name} is protected with a password.", "Save it without one and add it again.")


def _foreign(name: str, what: str, instead: str) -> DocumentError:
    return DocumentError(f"{name} is {what}, which nemochat cannot read.", f"Save it as {instead} and add that.")
