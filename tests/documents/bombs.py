"""Small documents that are made to take much memory or much time, and one honest one beside them."""

from __future__ import annotations

import gzip
import io
import json
import random
import zipfile
import zlib

from tests.documents.writers import WORD, docx_of, odf, pdf_of, xlsx

HONEST = "honest.txt"
_CATALOGUE = b"<< /Type /Catalog /Pages 2 0 R >>"
_PAGES = b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>"
_FONT = b"/Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >> >>"
_PAGE = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R /Resources << %s >> >>" % _FONT
_SHOW = b"BT /F1 9 Tf (x) Tj ET\n"


def bombs() -> dict[str, bytes]:
    """By name; each at most some hundred kilobytes."""
    return {HONEST: b"The zeppelin lands at noon.", **_tables(), **_json(), **_html(), **_text(), **_word(), **_pdf(), **_others()}


def _tables() -> dict[str, bytes]:
    names = ",".join(f"name{at:05}" for at in range(15_000))
    return {
        "long header.csv": f"{'n' * 80_000},b\n".encode() + b"1,2\n" * 4000,
        "header.csv": f"{'n' * 15_000},b\n".encode() + b"1,2\n" * 10_000,
        "header of many names.csv": f"{names}\n".encode() + (b"1," * 14_999 + b"1\n") * 4,
        "header that is no value.csv": f"a,{'n' * 200_000}\n".encode() + b"1,2\n" * 4000,
        "quoted.csv": b'a,b\n"' + b"x\n" * 20_000,
        "columns.csv": b"a,b\n" + b"1," * 30_000,
    }


def _json() -> dict[str, bytes]:
    rows = [{"m": at} for at in range(20_000)]
    return {
        "long key.json": json.dumps({"k" * 200_000: rows}).encode(),
        "long key of a record.json": json.dumps({"k" * 200_000: {"l": rows[:2000]}}).encode(),
        "long keys.json": b'{"%s":' % (b"k" * 4000) * 55 + json.dumps({str(at): 1 for at in range(1000)}).encode() + b"}" * 55,
        "long key.jsonl": (json.dumps({"k" * 60_000: {"a": [{"b": 1}] * 9}}) + "\n").encode() * 4 + b'{"a":1}\n' * 1000,
        "deep list.json": b"[" * 30_000,
        "deep object.json": b'{"a":' * 9000 + b"1" + b"}" * 9000,
        "digits.json": b'{"a":' + b"1" * 40_000 + b"}",
        "digits.jsonl": (b'{"a":' + b"1" * 4200 + b"}\n") * 30,
        "one key.json": b"{" + b'"a":1,' * 60_000 + b'"a":2}',
        "empty lists.json": b"[" + b"[]," * 130_000 + b"1]",
    }


def _html() -> dict[str, bytes]:
    start = b"<html><body>"
    return {
        "header.html": start + b"<table><tr><th>%s</th><th>b</th></tr>" % (b"n" * 150_000) + b"<tr><td>1<td>2</tr>" * 10_000,
        "heading.html": start + b"<h1>%s</h1>" % (b"n" * 150_000) + b"<h2>a</h2>x" * 2000,
        "cell.html": start + b"<table><tr><td>" + b"a</td>" * 20_000,
        "entity.html": start + b"x &#" + b"9" * 6000 + b"; y &#x" + b"f" * 6000 + b";",
        "signs.html": start + b"<" * 40_000,
        "nested tables.html": start + b"<table><tr><td>" * 9000 + b"x",
        "open tags.html": start + b'<a x="' * 70_000,
        "title.html": b"<html><title>" + b"n " * 100_000 + b"</title><body>" + b"<h2>a</h2>x" * 2000,
    }


def _text() -> dict[str, bytes]:
    return {
        "heading.md": b"# " + b"n" * 200_000 + b"\n" + b"## b\nx\n" * 3000,
        "lines.md": b"\n" * 100_000 + b"x",
        "links.md": b"# x\n" + b"[a](b" * 9000,
        "one line.txt": b"x" * 60_000,
        "sentences.txt": "。".encode() * 20_000,
        "blanks.txt": "\u3000\n".encode() * 30_000 + b"x",
        "wide.txt": ("a b. " * 4000).encode("utf-32"),
        "packed.txt": gzip.compress(b"hello " * 100_000),
        "calls.c": (b"a" + b"(" * 60 + b")" + b" " * 300 + b"x\n") * 200,
        "names.py": b"def a(): pass\n" * 3000,
    }


def _document(content: str) -> bytes:
    """A Word file of this body, with a comment that is hard to pack: what is packed too tightly is refused anyway."""
    noise = random.Random(1).randbytes(len(content) // 180).hex()
    return docx_of(f"<w:document {WORD}><w:body><!--{noise}-->{content}</w:body></w:document>")


def _paragraph(text: str, style: str = "") -> str:
    return f"<w:p>{style}<w:r><w:t>{text}</w:t></w:r></w:p>"


def _row(*cells: str) -> str:
    return f"<w:tr>{''.join(f'<w:tc>{_paragraph(cell)}</w:tc>' for cell in cells)}</w:tr>"


def _word() -> dict[str, bytes]:
    style = '<w:pPr><w:outlineLvl w:val="{}"/></w:pPr>'
    many = io.BytesIO()
    with zipfile.ZipFile(many, "w") as archive:
        for at in range(11_000):
            archive.writestr(str(at), b"")
        archive.writestr("word/document.xml", b"<a/>")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("word/document.xml", b"<a/>")
    nested = "<w:tbl><w:tr><w:tc>" * 9000 + _paragraph("deep") + "</w:tc></w:tr></w:tbl>" * 9000
    deep = "".join(_paragraph("h", style.format(at)) + _paragraph("x") for at in range(2000))
    return {
        "one cell.docx": _document(f"<w:tbl><w:tr><w:tc>{_paragraph('a') * 100_000}</w:tc></w:tr></w:tbl>"),
        "header.docx": _document(f"<w:tbl>{_row('n' * 100_000, 'b')}{_row('1', '2') * 3000}</w:tbl>"),
        "heading.docx": _document(_paragraph("n" * 100_000, style.format(0)) + (_paragraph("b", style.format(1)) + _paragraph("x")) * 1500),
        "nested tables.docx": _document(nested),
        "levels.docx": _document(deep),
        "name space.docx": _document(f'<w:p xmlns:z="{"u" * 200_000}">{"<z:a/>" * 5000}</w:p>{_paragraph("x")}'),
        "entities.docx": docx_of('<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><w>&b;</w>'),
        "blanks.docx": docx_of("<w>" + " " * 2_000_000 + "</w>"),
        "files.docx": many.getvalue(),
        "packed otherwise.docx": packed.getvalue(),
    }


def _others() -> dict[str, bytes]:
    cells = f'<table:table-cell table:number-columns-repeated="999999"><text:p>{"x" * 40}</text:p></table:table-cell>'
    wide = f"<table:table-row>{cells}</table:table-row>"
    cell = '<row r="{0}"><c r="A{0}" t="s"><v>0</v></c><c r="XFD{0}" t="s"><v>0</v></c></row>'
    noise = random.Random(1).randbytes(12_000).hex()
    part = b"Content-Type: multipart/mixed; boundary=b\n\n--b\n"
    return {
        "repeated.ods": odf(f"<!--{noise}--><table:table>{wide * 500}</table:table>", "spreadsheet"),
        "nested.odt": odf(f"<!--{noise}-->" + "<text:p><text:note>" * 20_000),
        "spans.odt": odf(f"<!--{noise}-->" + f"<text:p>{'<text:span>' * 9000}x{'</text:span>' * 9000}</text:p>"),
        "one string.xlsx": xlsx({"a": "".join(cell.format(at) for at in range(1, 800))}, [f"<t>{noise * 3}</t>"]),
        "sheets.xlsx": xlsx({f"sheet {at}": cell.format(1) for at in range(550)}, ["<t>x</t>"]),
        "groups.rtf": b"{\\rtf1 " + b"{" * 200_000 + b"x",
        "fields.rtf": b"{\\rtf1 " + b'{\\field{\\*\\fldinst{HYPERLINK "x"}}' * 5000 + b"x",
        "hex.rtf": b"{\\rtf1 " + b"\\'e4" * 100_000 + b"}",
        "parts.eml": b"Subject: x\n" + part + (b"Content-Type: text/plain\n\nx\n--b\n") * 2000,
        "nested.eml": b"Subject: x\n" + b"".join(part.replace(b"=b", b"=%d" % at).replace(b"--b", b"--%d" % at) for at in range(2000)),
        "messages.mbox": b"From a\nSubject: x\n\nx\n" * 4000,
        "header.eml": b"Subject: " + b"=?utf-8?q?a?= " * 3000 + b"\n\nx",
        "cells.ipynb": json.dumps({"nbformat": 4, "cells": [{"cell_type": "markdown", "source": ["#########\n"] * 9}] * 2000}).encode(),
    }


def _stream(data: bytes, more: bytes = b"") -> bytes:
    return b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(data), more, data)


def _packed(data: bytes) -> bytes:
    return _stream(zlib.compress(data, 9), b"/Filter /FlateDecode")


def _pages(*objects: bytes) -> bytes:
    return pdf_of([_CATALOGUE, *objects])


def _pdf() -> dict[str, bytes]:
    doubling = [b"<< /Type /Pages /Count 1 /Kids [%d 0 R %d 0 R] >>" % (at, at) for at in range(3, 25)]
    twice = _stream(zlib.compress(zlib.compress(b" " * 40_000_000, 9), 9), b"/Filter [/FlateDecode /FlateDecode]")
    form = b"/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /F 5 0 R >> >>"
    with_form = _PAGE.replace(b"/Font", b"/XObject << /F 5 0 R >> /Font")
    return {
        "blanks.pdf": _pages(_PAGES, _PAGE, _packed(_SHOW + b" " * 8_000_000)),
        "packed twice.pdf": _pages(_PAGES, _PAGE, twice),
        "commands.pdf": _pages(_PAGES, _PAGE, _packed(_SHOW * 10_000)),
        "circle.pdf": _pages(b"<< /Type /Pages /Count 1 /Kids [2 0 R 2 0 R] >>"),
        "doubling.pdf": _pages(*doubling, _PAGE, _stream(_SHOW)),
        "same page.pdf": _pages(_PAGES.replace(b"3 0 R", b"3 0 R " * 1000), _PAGE, _stream(_SHOW)),
        "circle of tables.pdf": _pages(_PAGES, _PAGE, _stream(_SHOW)).replace(b"/Root", b"/Prev 9 /Root"),
        "brackets.pdf": _pages(_PAGES, _PAGE, _stream(b"BT " + b"[" * 100_000 + b" ET")),
        "nested.pdf": pdf_of([b"<< /a " * 20_000 + b">>" * 20_000, _PAGES]),
        "form in itself.pdf": _pages(_PAGES, with_form, _stream(b"/F Do /F Do"), _stream(b"/F Do /F Do", form)),
    }
