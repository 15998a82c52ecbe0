# ruff: noqa: E501, RUF001 - texts of many languages, one a line
"""Text in any encoding is read as its writer saw it, and where that can only be guessed, the guess is told."""

from __future__ import annotations

import pytest

from nemochat.documents.encodings import decode
from tests.documents.test_load import read, texts

TEXTS = {
    "ru": "Договор аренды квартиры заключается на неопределённый срок. Арендная плата вносится ежемесячно до третьего рабочего дня каждого месяца.",
    "uk": "Договір оренди квартири укладається на невизначений строк, її розмір вказано нижче. Орендна плата вноситься щомісяця до третього дня.",
    "ja": "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。何でも薄暗いじめじめした所でニャーニャー泣いていた事だけは記憶している。",
    "zh": "房屋租赁合同由出租人和承租人签订，期限不定。每月租金为一千一百四十欧元，应于每月第三个工作日支付。",
    "zh-tw": "房屋租賃合同由出租人和承租人簽訂，期限不定。每月租金為一千一百四十歐元，應於每月第三個工作日支付。",
    "ko": "임대차 계약은 임대인과 임차인 사이에 체결되며 기간은 정해져 있지 않다. 월세는 매월 세 번째 근무일에 지급한다.",
    "el": "Η σύμβαση μίσθωσης συνάπτεται μεταξύ του εκμισθωτή και του μισθωτή για αόριστο χρόνο. Το ενοίκιο καταβάλλεται κάθε μήνα.",
    "tr": "Kira sözleşmesi kiraya veren ile kiracı arasında süresiz olarak yapılır. Aylık kira her ayın üçüncü iş günü ödenir. Ağaçlar güzeldi.",
    "he": "חוזה השכירות נחתם בין המשכיר לשוכר לתקופה בלתי מוגבלת. דמי השכירות משולמים מדי חודש ביום העבודה השלישי.",
    "ar": "يبرم عقد الإيجار بين المؤجر والمستأجر لمدة غير محددة. يدفع الإيجار الشهري في يوم العمل الثالث من كل شهر.",
    "pl": "Umowa najmu mieszkania zostaje zawarta na czas nieokreślony. Czynsz płatny jest do trzeciego dnia roboczego każdego miesiąca. Zażółć gęślą jaźń.",
    "cs": "Nájemní smlouva se uzavírá na dobu neurčitou. Příliš žluťoučký kůň úpěl ďábelské ódy. Nájemné je splatné třetí pracovní den v měsíci.",
    "hu": "A bérleti szerződés határozatlan időre jön létre. Árvíztűrő tükörfúrógép. A bérleti díj havonta fizetendő a harmadik munkanapon.",
    "th": "สัญญาเช่าทำขึ้นระหว่างผู้ให้เช่ากับผู้เช่าโดยไม่มีกำหนดเวลา ค่าเช่ารายเดือนชำระในวันทำงานที่สามของทุกเดือน",
    "de": "Der Mietvertrag läuft auf unbestimmte Zeit. Die Miete beträgt 1.140 € und ist am dritten Werktag fällig. Größere Schäden müssen sofort gemeldet werden.",
    "fr": "Le contrat de location est conclu à durée indéterminée. Le loyer est dû le troisième jour ouvré. L’été, les élèves étaient déjà partis à Nîmes.",
    "es": "El contrato de alquiler se celebra por tiempo indefinido. ¿Cuándo vence? El señor Núñez pagará mañana la reparación del balcón.",
    "sv": "Hyresavtalet gäller tills vidare. Hyran betalas den tredje vardagen. Åsa köper öl på torget varje lördag.",
}  # fmt: skip
FOUND = [
    ("ru", "cp1251"), ("ru", "koi8-r"), ("ru", "cp866"), ("ru", "iso8859-5"), ("ru", "mac-cyrillic"), ("uk", "cp1251"), ("uk", "koi8-u"),
    ("ja", "shift_jis"), ("ja", "cp932"), ("ja", "euc-jp"), ("ja", "iso2022-jp"), ("zh", "gbk"), ("zh", "gb2312"), ("zh", "gb18030"),
    ("zh-tw", "big5"), ("ko", "euc-kr"), ("ko", "cp949"), ("ko", "iso2022-kr"), ("el", "cp1253"), ("el", "iso8859-7"), ("tr", "cp1254"),
    ("tr", "iso8859-9"), ("he", "cp1255"), ("he", "iso8859-8"), ("ar", "cp1256"), ("ar", "iso8859-6"), ("pl", "cp1250"),
    ("pl", "iso8859-2"), ("cs", "cp1250"), ("hu", "cp1250"), ("hu", "iso8859-2"), ("th", "cp874"), ("de", "cp1252"), ("de", "mac-roman"),
    ("fr", "cp1252"), ("fr", "mac-roman"), ("es", "cp1252"), ("es", "cp850"), ("sv", "cp1252"), ("sv", "iso8859-1"),
    *((language, wide) for language in ("ru", "de", "el") for wide in ("utf-16-le", "utf-16-be", "utf-16", "utf-32", "utf-8-sig")),
]  # fmt: skip


@pytest.mark.parametrize(("language", "encoding"), FOUND)
def test_what_says_nothing_of_its_encoding_is_read_all_the_same(language: str, encoding: str) -> None:
    text = TEXTS[language].replace("€", "EUR").replace("’", "'") if encoding in ("mac-roman", "iso8859-1") else TEXTS[language]
    assert texts(read(text.encode(encoding), "a.txt")) == [text]


@pytest.mark.parametrize(("language", "encoding"), [("ru", "windows-1251"), ("ru", "koi8-r"), ("ru", "ibm866"), ("ja", "Shift_JIS"), ("ja", "x-sjis"),
    ("ja", "euc-jp"), ("zh", "gb2312"), ("zh", "GBK"), ("zh-tw", "Big5"), ("ko", "ks_c_5601-1987"), ("el", "iso-8859-7"), ("tr", "iso-8859-9"),
    ("he", "iso-8859-8-i"), ("cs", "iso-8859-2"), ("pl", "windows-1250"), ("th", "tis-620"), ("de", "iso-8859-1"), ("fr", "ascii"), ("de", "macintosh"),
])  # fmt: skip
@pytest.mark.parametrize("page", [
    '<html><head><meta charset="{}"></head><body><p>{}</p></body></html>',
    "<html><head><title>x</title><META content='text/html; charset={}' http-equiv=Content-Type></head><body>{}</body></html>",
    '<?xml version="1.0" encoding="{}"?>\n<!DOCTYPE html><html><body>{}</body></html>',
])  # fmt: skip
def test_a_page_is_read_as_it_declares_itself(page: str, language: str, encoding: str) -> None:
    python = {"x-sjis": "cp932", "ks_c_5601-1987": "cp949", "iso-8859-8-i": "iso8859-8", "macintosh": "mac-roman", "tis-620": "cp874"}.get(encoding, encoding)
    words = " ".join(TEXTS[language].split()[:3]).replace("€", "")  # too few to tell it from
    data = page.format(encoding, words).encode("cp1252" if encoding in ("ascii", "iso-8859-1") else python)
    document = read(data, "a.html")
    assert texts(document) == [words]
    assert document.notices == []


@pytest.mark.parametrize("head", ["# -*- coding: {} -*-", "#!/bin/sh\n# vim: set fileencoding={} :", "/* encoding: {} */"])
def test_source_code_is_read_as_it_declares_itself(head: str) -> None:
    assert "猫である" in "".join(texts(read(f"{head.format('euc-jp')}\n# 猫である\n".encode("euc-jp"), "a.py")))


@pytest.mark.parametrize("declared", ["windows-1251", "utf-16", "utf-7", "no-such-thing", "base64", "rot13", "x" * 40, "idna", "undefined"])
def test_utf8_is_utf8_whatever_it_declares(declared: str) -> None:
    page = f'<html><head><meta charset="{declared}"></head><body>Größe 猫</body></html>'
    assert texts(read(page.encode(), "a.html")) == ["Größe 猫"]


@pytest.mark.parametrize("declared", ["utf-8", "utf-16", "utf-7", "no-such-thing", "base64", "unicode_escape", "hex", "undefined"])
def test_a_declaration_that_cannot_be_is_not_obeyed(declared: str) -> None:
    page = f'<html><head><meta charset="{declared}"></head><body>{TEXTS["ru"]}</body></html>'
    assert texts(read(page.encode("cp1251"), "a.html")) == [TEXTS["ru"]]


def test_what_is_only_guessed_is_told_and_what_is_sure_is_not() -> None:
    assert read("Größe".encode("latin-1"), "a.txt").notices == [
        "It does not say how its letters are encoded and was read as Windows-1252: if they look wrong, save it as UTF-8."
    ]
    assert read(TEXTS["ru"].encode("cp866"), "a.txt").notices == []
    for text in ("Größe", "plain"):
        assert read(text.encode(), "a.txt").notices == []
    declared = '<html><meta charset="shift_jis"><body>' + TEXTS["ja"]
    [notice] = read(declared.encode("cp932") + b"\x81", "a.html").notices
    assert notice == "It is declared as Shift_JIS, and 1 of its characters are not."


def test_no_bytes_take_long_or_raise() -> None:
    for unit in (b"\xff", b"\x80\x81", b"\xe4 ", b"a\xe4", b"\x1b$B", b"\x1b$B\xff", bytes(range(128, 256)), b"<meta charset=", b"\xfe\xff"):
        decode(unit * (400_000 // len(unit)))  # minutes, if it took the square
