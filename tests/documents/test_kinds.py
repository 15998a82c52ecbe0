# ruff: noqa: E501 - files of other programs, written out
"""What people have on their disks: each kind is read as its program shows it, or refused by its name."""

from __future__ import annotations

import base64
import json
from email.message import EmailMessage

import pytest

from nemochat.documents.values import DocumentError, Kind
from tests.documents.test_load import read, texts
from tests.documents.writers import ODF, WORD, archive, docx_of, odf, xlsx

PICTURE = base64.b64encode(bytes(range(256)) * 40).decode()


def whole(data: bytes, name: str) -> str:
    return "\n".join(f"[{section.heading}] {section.text}" for section in read(data, name).sections)


# -- RTF

RTF = rb"""{\rtf1\ansi\ansicpg1252\deff0{\fonttbl{\f0\fcharset0 Times;}{\f1\fcharset204 Arial Cyr;}}{\colortbl;\red1\green2\blue3;}
{\stylesheet{\s1 heading 1;}}{\info{\author Nobody}}{\*\generator Riched20;}
{\pict\pngblip\picw9 %s}
\pard The caf\'e9 costs 5\u8364? a day.\par
{\field{\*\fldinst{HYPERLINK "http://secret.example"}}{\fldrslt{see the menu}}}\par
\trowd\cellx1 Tea\cell 2\cell\row
{\f1 \'cf\'f0\'e8\'e2\'e5\'f2}\par \u-10179?\u-8704?\par}""" % (PICTURE.encode().hex().encode())


@pytest.mark.parametrize("said", ["The café costs 5€ a day.", "see the menu", "Tea | 2", "Привет", "\U0001f600"])
def test_rtf_is_its_text(said: str) -> None:
    assert said in whole(RTF, "a.rtf")


@pytest.mark.parametrize("not_said", ["\\", "fonttbl", "Times", "Nobody", "Riched20", "heading 1", "89504e", PICTURE[:8].encode().hex(), "http://"])
def test_control_words_and_pictures_of_rtf_are_no_text(not_said: str) -> None:
    assert read(RTF, "a.txt").kind is Kind.RTF  # by what it holds
    assert not_said not in whole(RTF, "a.rtf")


@pytest.mark.parametrize("page", ["1251", "1250", "932", "936", "949", "1255"])
def test_rtf_is_in_its_code_page(page: str) -> None:
    words = {"1251": "Договор", "1250": "Příliš", "932": "猫である", "936": "房屋租赁", "949": "임대차", "1255": "חוזה"}[page]
    escaped = "".join(f"\\'{byte:02x}" for byte in words.encode(f"cp{page}"))
    assert whole(f"{{\\rtf1\\ansi\\ansicpg{page} {escaped}\\par}}".encode(), "a.rtf") == f"[] {words}"


# -- mail


def mail(*, attach: bool = False, html: str = "", plain: str = "The café opens at 9.", charset: str = "utf-8", transfer: str | None = None) -> bytes:
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = "Größe", "Ada <ada@example.org>", "bob@example.org"
    message["Date"] = "Mon, 05 Jan 2026 10:00:00 +0100"
    if plain:
        message.set_content(plain, charset=charset, cte=transfer)
    if html and plain:
        message.add_alternative(html, subtype="html")
    elif html:
        message.set_content(html, subtype="html")
    if attach:
        message.add_attachment(bytes(range(256)) * 40, maintype="application", subtype="pdf", filename="bill.pdf")
    return message.as_bytes()


@pytest.mark.parametrize(("charset", "transfer"), [("utf-8", "base64"), ("utf-8", "quoted-printable"), ("iso-8859-1", "8bit"), ("windows-1252", "base64")])
def test_mail_is_decoded(charset: str, transfer: str) -> None:
    text = whole(mail(charset=charset, transfer=transfer), "a.eml")
    assert text.startswith("[Größe] Subject: Größe\nFrom: Ada <ada@example.org>\nTo: bob@example.org\nDate: Mon, 05 Jan 2026")
    assert "[Größe] The café opens at 9." in text


def test_attachments_of_mail_are_named_and_not_read() -> None:
    document = read(mail(attach=True), "a.eml")
    assert "AAECAw" not in "".join(texts(document))
    assert document.notices == ["Its attachments were not read (bill.pdf): save what you need and add that."]


def test_mail_of_two_forms_is_read_once_and_mail_of_html_is_read() -> None:
    html = "<html><body><h1>Menu</h1><p>The café opens at <b>9</b>.</p></body></html>"
    assert whole(mail(html=html), "a.eml").count("The café opens") == 1
    assert "[Menu] The café opens at 9." in whole(mail(html=html, plain=""), "a.eml")


def test_mail_in_mail_is_read_and_its_depth_is_bounded() -> None:
    message = EmailMessage()
    message.set_content("The innermost.")
    for at in range(3):
        outer = EmailMessage()
        outer["Subject"] = f"Fwd {at}"
        outer.set_content(f"Look at {at}.")
        outer.add_attachment(message)
        message = outer
    text = whole(message.as_bytes(), "a.eml")
    assert all(f"Look at {at}." in text for at in range(1, 3))
    deep = b"".join(b"Subject: x\nContent-Type: multipart/mixed; boundary=%d\n\n--%d\n" % (at, at) for at in range(3000))
    with pytest.raises(DocumentError, match="broken"):
        read(deep + b"\n\nx", "a.eml")


def test_a_mailbox_and_mail_of_any_name_are_mail() -> None:
    box = b"From ada Mon Jan  5 10:00:00 2026\n" + mail(plain="One.") + b"\nFrom bob Mon Jan  5 11:00:00 2026\n" + mail(plain="Two.")
    assert [text for text in texts(read(box, "a.mbox")) if not text.startswith("Subject")] == ["One.", "Two."]
    assert read(mail(), "message").kind is Kind.MAIL
    assert read(b"To: somebody\n\nThis is a letter.", "a.txt").kind is Kind.TEXT


# -- notebooks


def notebook(*cells: dict[str, object]) -> bytes:
    return json.dumps({"nbformat": 4, "cells": cells}).encode()


def _book() -> bytes:
    shown = {"output_type": "display_data", "data": {"image/png": PICTURE, "text/plain": ["<Figure>"]}}
    return notebook(
        {"cell_type": "markdown", "source": ["# Sales\n", "By *month*."], "attachments": {"a.png": {"image/png": PICTURE}}},
        {"cell_type": "code", "source": "print(total)", "outputs": [{"output_type": "stream", "text": ["1140\n"]}, shown]},
        {"cell_type": "code", "source": "1/0", "outputs": [{"output_type": "error", "ename": "ZeroDivisionError", "evalue": "division", "traceback": ["\u001b[31m"]}]},
    )  # fmt: skip


BOOK = _book()


def test_a_notebook_is_its_text_code_and_what_it_printed() -> None:
    assert read(BOOK, "a.ipynb").kind is Kind.NOTEBOOK
    text = whole(BOOK, "a.ipynb")
    assert "[Sales] By *month*." in text
    assert "[Sales] print(total)\n\n1140" in text
    assert "ZeroDivisionError: division" in text
    assert PICTURE[:20] not in text


def test_an_old_notebook_is_read_too() -> None:
    old = {"nbformat": 3, "worksheets": [{"cells": [{"cell_type": "code", "input": ["x = 7"], "outputs": [{"output_type": "stream", "text": "seven"}]}]}]}
    assert texts(read(json.dumps(old).encode(), "a.ipynb")) == ["x = 7\n\nseven"]
    assert read(b'{"a": 1}', "a.ipynb").kind is Kind.JSON


# -- OpenDocument


def _odt() -> bytes:
    body = (
        "<text:tracked-changes><text:p>deleted</text:p></text:tracked-changes>"
        '<text:p>Before</text:p><text:h text:outline-level="1">Top</text:h><text:h text:outline-level="2">Inner</text:h>'
        "<text:p>One<text:s/>two<text:note><text:note-citation>1</text:note-citation><text:note-body><text:p>a foot</text:p></text:note-body>"
        "</text:note> three<office:annotation><dc:creator>Ada</dc:creator><text:p>really?</text:p></office:annotation>.</text:p>"
        "<text:p>Outer<draw:frame><draw:text-box><text:p>boxed</text:p></draw:text-box></draw:frame> text</text:p>"
        "<text:list><text:list-item><text:p>item</text:p></text:list-item></text:list>"
        "<table:table><table:table-row><table:table-cell><text:p>A</text:p></table:table-cell><table:table-cell><text:p>B</text:p></table:table-cell>"
        "</table:table-row><table:table-row><table:table-cell><text:p>1</text:p></table:table-cell><table:table-cell><text:p>2</text:p>"
        "</table:table-cell></table:table-row></table:table>"
    )
    styles = "<style:header><text:p>Confidential</text:p></style:header><text:p>a style</text:p>"
    return odf(body, styles=styles)


ODT = _odt()


def test_an_opendocument_text_has_headings_notes_comments_boxes_and_tables() -> None:
    document = read(ODT, "a.bin")
    assert document.kind is Kind.OPEN_DOCUMENT
    assert [(section.heading, section.text) for section in document.sections] == [
        ("", "Before"),
        ("Top > Inner", "One two (note: a foot) three (comment: really?) .\n\nboxed\n\nOuter text\n\nitem\n\nA: 1; B: 2"),
        ("Header and footer", "Confidential"),
    ]


def _ods() -> bytes:
    cell = "<table:table-cell{}><text:p>{}</text:p></table:table-cell>"
    empty = '<table:table-cell table:number-columns-repeated="16000"/>'
    rows = [("Port", "Hour"), ("Oslo", "7"), ("Bergen", "9")]
    body = "".join(f"<table:table-row>{''.join(cell.format('', each) for each in row)}{empty}</table:table-row>" for row in rows)
    twice = cell.format(' table:number-columns-repeated="2"', "same")
    again = f"<table:table-row>{twice}</table:table-row>"
    sheet = f'<table:table table:name="Ferries">{body}{again}</table:table>'
    return odf(sheet, "spreadsheet")


ODS = _ods()


def test_the_sheets_of_an_opendocument_are_tables() -> None:
    assert [(each.heading, each.text) for each in read(ODS, "a.ods").sections] == [
        ("Ferries", "Port: Oslo; Hour: 7\n\nPort: Bergen; Hour: 9\n\nPort: same; Hour: same")
    ]


# -- Excel


def _workbook() -> bytes:
    formats = '<numFmts><numFmt numFmtId="164" formatCode="dd/mm/yyyy"/><numFmt numFmtId="165" formatCode="&quot;day&quot; 0"/></numFmts>'
    styles = f'{formats}<cellXfs><xf numFmtId="0"/><xf numFmtId="164"/><xf numFmtId="9"/><xf numFmtId="165"/><xf numFmtId="22"/></cellXfs>'
    rows = (
        '<row r="1"><c r="A1" t="s"><v>4</v></c></row>'
        '<row r="3"><c r="A3" t="s"><v>0</v></c><c r="B3" t="s"><v>1</v></c><c r="C3" t="inlineStr"><is><t>Share</t></is></c><c r="D3" t="s"><v>2</v></c></row>'
        '<row r="4"><c r="A4" t="s"><v>3</v></c><c r="B4" s="1"><v>45292</v></c><c r="C4" s="2"><v>0.19</v></c><c r="D4" t="b"><v>1</v></c></row>'
        '<row r="5"><c r="A5" t="str"><f>A4</f><v>a &amp; b</v></c><c r="B5" s="4"><v>45292.75</v></c><c r="D5"><v>0.30000000000000004</v></c></row>'
        '<row r="6"><c r="A6" s="3"><v>7</v></c><c r="D6" t="e"><v>#DIV/0!</v></c></row>'
    )
    strings = ["<t>Name</t>", "<r><t>Da</t></r><r><t>te</t></r>", "<t>Paid</t>", "<t>Ada</t><rPh><t>spoken</t></rPh>", "<t>Bills of 2024</t>"]
    return xlsx({"Bills": rows, "More": '<row r="1"><c t="n"><v>1</v></c></row>'}, strings, styles)


WORKBOOK = _workbook()


def test_a_workbook_is_rows_as_its_sheets_show_them() -> None:
    document = read(WORKBOOK, "a.bin")
    assert document.kind is Kind.SHEET
    assert [(each.heading, each.line, each.text) for each in document.sections] == [
        ("Bills", 1, "Bills of 2024"),
        ("Bills", 4, "Name: Ada; Date: 2024-01-01; Share: 19%; Paid: yes"),
        ("Bills", 5, "Name: a & b; Date: 2024-01-01 18:00; Paid: 0.3"),
        ("Bills", 6, "Name: 7; Paid: #DIV/0!"),
        ("More", 1, "column 1: 1"),
    ]


# -- what stands beside the body of a Word document


def part(kind: str, *paragraphs: str, attributes: str = "") -> str:
    inner = "".join(f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>" for text in paragraphs)
    return f"<w:{kind}s {WORD}><w:{kind} {attributes}>{inner}</w:{kind}></w:{kind}s>"


def _beside() -> bytes:
    run = "<w:r><w:t>{}</w:t></w:r>"
    box = f"<w:r><w:pict><w:txbxContent><w:p>{run.format('boxed')}</w:p></w:txbxContent></w:pict></w:r>"
    moved = f"<w:moveFrom>{run.format('moved')}</w:moveFrom>"
    body = f"<w:document {WORD}><w:body><w:p>{run.format('out')}{box}{run.format('er')}{moved}</w:p></w:body></w:document>"
    header = f"<w:hdr {WORD}><w:p>{run.format('Confidential')}</w:p></w:hdr>"
    return archive(
        {
            "word/document.xml": body, "word/header1.xml": header, "word/header2.xml": header,
            "word/footer1.xml": header.replace("hdr", "ftr").replace("Confidential", "Page of"),
            "word/footnotes.xml": part("footnote", "a foot"), "word/endnotes.xml": part("endnote", "an end"),
            "word/comments.xml": part("comment", "really?", attributes='w:author="Ada"'),
        }
    )  # fmt: skip


BESIDE = _beside()


def test_notes_comments_headers_footers_and_boxes_of_word_are_read() -> None:
    assert [(each.heading, each.text) for each in read(BESIDE, "a.docx").sections] == [
        ("", "boxed\n\nouter"),
        ("Header", "Confidential"), ("Footer", "Page of"), ("Footnotes", "a foot"), ("Endnotes", "an end"), ("Comments", "Ada: really?"),
    ]  # fmt: skip


# -- tables of text


@pytest.mark.parametrize(
    "text",
    [
        "sep=;\nName;Born\nAda;1815\n", '"sep=|"\nName|Born\nAda|1815\n', "SEP=\\t\nName\tBorn\nAda\t1815\n", "# made by hand\n# twice\nName,Born\nAda,1815\n",
        "% made by hand\nName;Born\nAda;1815\n", "#Name,Born\nAda,1815\n", "# a note\n# Name;Born\nAda;1815\n", "Name^Born\nAda^1815\nBob^1820\n",
        "Name~Born\nAda~1815\nBob~1820\n", "Name:Born\nAda:1815\nBob:1820\n", "Name|Born\nAda|1815\n", "\ufeffName;Born\r\nAda;1815\r\n",
        "Births\n\nName;Born\nAda;1815\nBob;1820\n", 'Name;Born\n"Ada";"1815"\n',
    ],
)  # fmt: skip
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_table_is_told_from_its_comments_title_and_delimiter(text: str, encoding: str) -> None:
    assert "Name: Ada; Born: 1815" in texts(read(text.encode(encoding), "a.csv"))


def test_what_stands_above_a_table_is_kept() -> None:
    assert texts(read(b"# all in euros\nName,Born\nAda,1815\n", "a.csv")) == ["# all in euros\n", "Name: Ada; Born: 1815"]
    document = read(b"Births of the year\nName,Born\nAda,1815\nBob,1820\n", "a.csv")
    assert [(each.text, each.line) for each in document.sections][:2] == [("Births of the year", 1), ("Name: Ada; Born: 1815", 3)]


# -- what is refused


def ole(stream: str) -> bytes:
    return b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600) + f"{stream}\0".encode("utf-16-le") + bytes(600)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (ole("WordDocument"), r"a document of old Word \(.doc\)"), (ole("Workbook"), r"a spreadsheet of old Excel \(.xls\)"),
        (ole("Book"), "old Excel"), (ole("PowerPoint Document"), "old PowerPoint"), (ole("__properties_version1.0"), "Outlook"),
        (ole("Nothing"), "old Office program"), (ole("EncryptedPackage"), "protected with a password"),
        (archive({"ppt/presentation.xml": ""}), "PowerPoint presentation"), (archive({"xl/workbook.bin": ""}), "binary Excel workbook"),
        (archive({"Index/Document.iwa": ""}), "Pages, Numbers or Keynote"), (archive({"META-INF/container.xml": ""}), "e-book"),
        (b"%!PS-Adobe-3.0\n", "PostScript"), (b"AT&TFORM\0\0\0\0DJVU", "DjVu"), (bytes(60) + b"BOOKMOBI", "Kindle"),
        (odf("<text:p>x</text:p>", manifest="<manifest:encryption-data/>"), "protected with a password"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_named_as_what_it_is(data: bytes, why: str) -> None:
    with pytest.raises(DocumentError, match=rf"a\.x is .*{why}") as caught:
        list(read(data, "a.x").sections)
    assert caught.value.hint.startswith("Save it")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.odt", odf("").replace(b"PK\x01\x02", b"PK\x01\x03")), ("a.xlsx", xlsx({"a": ""})[:200]), ("a.ods", b"PK\x03\x04 and no more"),
        ("a.odt", odf('<!DOCTYPE x [<!ENTITY a "aaaa">]>&a;')), ("a.xlsx", xlsx({"a": "<row>"})), ("a.rtf", b"{\\rtf1\\u99999999999 x}"),
    ],
)  # fmt: skip
def test_a_broken_file_says_so(name: str, data: bytes) -> None:
    with pytest.raises(DocumentError, match="is broken") as caught:
        list(read(data, name).sections)
    assert caught.value.hint


@pytest.mark.parametrize("name", ["content.xml", "xl/worksheets/sheet1.xml", "xl/sharedStrings.xml"])
def test_an_archive_that_unpacks_to_far_too_much_is_refused(name: str) -> None:
    whole = archive(
        {
            "mimetype": "application/vnd.oasis.opendocument.text", "xl/workbook.xml": '<w><sheet name="a" id="1"/></w>',
            "xl/_rels/workbook.xml.rels": '<r><Relationship Id="1" Target="worksheets/sheet1.xml"/></r>',
            "xl/worksheets/sheet1.xml": "<w/>", "xl/sharedStrings.xml": "<w/>", name: "<w>" + " " * 5_000_000 + "</w>",
        }
        if name != "content.xml"
        else {"mimetype": "application/vnd.oasis.opendocument.text", name: f"<w {ODF}>" + " " * 5_000_000 + "</w>"}
    )  # fmt: skip
    with pytest.raises(DocumentError, match="far too much"):
        list(read(whole, "a.bin").sections)


def test_a_word_document_with_other_parts_broken_says_so() -> None:
    with pytest.raises(DocumentError, match="broken"):
        list(read(docx_of(f"<w:document {WORD}><w:body>"), "a.docx").sections)
