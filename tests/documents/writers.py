"""Small writers of PDF and Word files for the tests."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Sequence
from xml.sax.saxutils import escape

WORD = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def pdf(pages: Sequence[str]) -> bytes:
    """A PDF with a page for each text, in Helvetica, its lines as they are."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", "", "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"]
    streams: dict[int, bytes] = {}
    kids = []
    for text in pages:
        drawn = "BT /F1 11 Tf 14 TL 50 780 Td\n" + "\n".join(f"({_pdf_string(line)}) Tj T*" for line in text.split("\n")) + "\nET"
        streams[len(objects) + 1] = zlib.compress(drawn.encode("cp1252"))
        objects.append("")
        kids.append(len(objects) + 1)
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {len(objects)} 0 R /Resources << /Font << /F1 3 0 R >> >> >>"
        )
    objects[1] = f"<< /Type /Pages /Count {len(kids)} /Kids [{' '.join(f'{kid} 0 R' for kid in kids)}] >>"
    return pdf_of([_object(body, streams.get(number)) for number, body in enumerate(objects, 1)])


def _object(body: str, stream: bytes | None) -> bytes:
    if stream is None:
        return body.encode("cp1252")
    return b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(stream), stream)


def pdf_of(objects: Sequence[bytes]) -> bytes:
    """A PDF with these objects, numbered from 1; the first is its catalogue."""
    out = io.BytesIO()
    out.write(b"%PDF-1.4\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    start = out.tell()
    out.write(f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode())
    out.write("".join(f"{offset:010} 00000 n \n" for offset in offsets).encode())
    out.write(f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n".encode())
    return out.getvalue()


def _pdf_string(line: str) -> str:
    return line.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")


def docx(text: str) -> bytes:
    """A Word file of a text in which "# " begins a heading and "|" a row of a table."""
    body, rows = [], list[str]()
    for line in [*text.split("\n"), ""]:
        if line.startswith("|"):
            cells = "".join(f"<w:tc>{_paragraph(cell)}</w:tc>" for cell in line[1:].split("|"))
            rows.append(f"<w:tr>{cells}</w:tr>")
            continue
        if rows:
            body.append(f"<w:tbl>{''.join(rows)}</w:tbl>")
            rows = []
        level = len(line) - len(line.lstrip("#"))
        body.append(_paragraph(line[level:].strip(), level))
    return docx_of(f"<w:document {WORD}><w:body>{''.join(body)}</w:body></w:document>")


def docx_of(document: str, styles: str = "") -> bytes:
    """A Word file with this XML as its body."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>')
        archive.writestr("word/document.xml", f'<?xml version="1.0" encoding="UTF-8"?>{document}')
        if styles:
            archive.writestr("word/styles.xml", f'<?xml version="1.0" encoding="UTF-8"?>{styles}')
    return out.getvalue()


def _paragraph(text: str, level: int = 0) -> str:
    style = f'<w:pPr><w:pStyle w:val="Heading{level}"/></w:pPr>' if level else ""
    half = len(text) // 2  # Word cuts its text into runs anywhere
    runs = "".join(f'<w:r><w:t xml:space="preserve">{escape(part)}</w:t></w:r>' for part in (text[:half], text[half:]) if part)
    return f"<w:p>{style}{runs}</w:p>"


def archive(members: dict[str, str | bytes]) -> bytes:
    """A zip with these files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as box:
        for name, content in members.items():
            box.writestr(name, content)
    return out.getvalue()


ODF = " ".join(
    f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ("office", "text", "table", "draw", "style")
) + ' xmlns:dc="http://purl.org/dc/elements/1.1/"'  # fmt: skip


def odf(body: str, kind: str = "text", styles: str = "", manifest: str = "") -> bytes:
    """An OpenDocument file with this XML as its body."""
    content = f"<office:document-content {ODF}><office:body><office:{kind}>{body}</office:{kind}></office:body></office:document-content>"
    more = {"styles.xml": f"<office:document-styles {ODF}>{styles}</office:document-styles>"} if styles else {}
    listed = {"META-INF/manifest.xml": manifest} if manifest else {}
    return archive({"mimetype": f"application/vnd.oasis.opendocument.{kind}", "content.xml": content, **more, **listed})


def xlsx(sheets: dict[str, str], strings: Sequence[str] = (), styles: str = "", book: str = "") -> bytes:
    """An Excel workbook: the XML of the rows of each sheet, the strings that cells name, and its styles."""
    space = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    relations = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    listed = "".join(f'<sheet name="{escape(name)}" sheetId="{at}" r:id="rId{at}"/>' for at, name in enumerate(sheets, 1))
    targets = "".join(f'<Relationship Id="rId{at}" Target="worksheets/sheet{at}.xml"/>' for at in range(1, len(sheets) + 1))
    return archive(
        {
            "xl/workbook.xml": f'<workbook {space} xmlns:r="{relations}">{book}<sheets>{listed}</sheets></workbook>',
            "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="x">{targets}</Relationships>',
            "xl/sharedStrings.xml": f"<sst {space}>{''.join(f'<si>{text}</si>' for text in strings)}</sst>",
            "xl/styles.xml": f"<styleSheet {space}>{styles}</styleSheet>",
            **{
                f"xl/worksheets/sheet{at}.xml": f"<worksheet {space}><sheetData>{rows}</sheetData></worksheet>"
                for at, rows in enumerate(sheets.values(), 1)
            },
        }
    )
