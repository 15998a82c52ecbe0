"""From bytes to text: what the file declares is obeyed, the rest is found out, and what is only likely is said to be so."""

from __future__ import annotations

import codecs
import re
from typing import NamedTuple

from nemochat.documents.text import clean

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_BINARY_SHARE = 0.01
_FEW = 4
_HEAD = 65_536
_DECLARING = 4096
_DECLARATIONS = (
    re.compile(rb"<meta[^>]{0,300}?charset\s{0,9}=\s{0,9}[\"']?\s{0,9}([\w.:-]{2,40})", re.IGNORECASE),
    re.compile(rb"\A\s{0,99}<\?xml[^>]{0,200}?encoding\s{0,9}=\s{0,9}[\"']([\w.:-]{2,40})", re.IGNORECASE),
    re.compile(rb"\A@charset \"([\w.:-]{2,40})\"", re.IGNORECASE),
    re.compile(rb"\A(?:[^\n]{0,300}\n)?[^\n]{0,200}?coding[:=]\s{0,9}([\w.-]{2,40})"),
)
# Names that stand for more than they say, as browsers read them.
_MEANT = {
    "iso8859-1": "cp1252", "ascii": "cp1252", "iso8859-9": "cp1254", "iso8859-11": "cp874", "tis-620": "cp874", "gb2312": "gb18030",
    "gbk": "gb18030", "shift_jis": "cp932", "euc_kr": "cp949", "big5": "big5hkscs", "koi8-r": "koi8_u",
}  # fmt: skip
_MORE_NAMES = {
    "x-sjis": "cp932", "windows-31j": "cp932", "x-euc-jp": "euc_jp", "x-gbk": "gb18030", "ks_c_5601-1987": "cp949",
    "x-mac-cyrillic": "mac_cyrillic", "x-mac-roman": "mac_roman", "macintosh": "mac_roman", "windows-874": "cp874",
    "iso-8859-8-i": "iso8859_8", "unicode-1-1-utf-8": "utf-8",
}  # fmt: skip
_NO_ENCODINGS = frozenset({"utf-7", "unicode-escape", "raw-unicode-escape", "punycode", "idna"})
"""Ways of writing text in ASCII, which a hostile page may declare."""
_ESCAPED = ((b"\x1b$B", "iso2022_jp_ext"), (b"\x1b$@", "iso2022_jp_ext"), (b"\x1b$)C", "iso2022_kr"))
"""Japanese and Korean of seven bits, which is valid UTF-8 as well, told by its marks."""
_ACCENTS = ["cp1252", "cp1250", "cp1254", "cp1257", "iso8859_2", "cp850", "cp852", "cp437", "mac_roman"]
_OTHER_SCRIPTS = [
    "cp1251", "koi8_u", "cp866", "iso8859_5", "mac_cyrillic", "cp1253", "cp1255", "cp1256", "iso8859_6", "cp874", "cp932", "euc_jp",
    "gb18030", "big5hkscs", "cp949",
]  # fmt: skip
_SAMPLE = 40_000
_WITH_ACCENTS = re.compile(rb"[A-Za-z]*[\x80-\xff][A-Za-z\x80-\xff]*")
_ACCENTED = 0.5
"""Of the letters of words with high bytes: where fewer of them than this are such, they are accented letters of a Latin alphabet."""
_CLOSE = 0.04
_SIGN_IN_WORD = re.compile(r"[A-Za-z][^\x00-\x7f\w’–—…][A-Za-z]")  # noqa: RUF001
_UNLIKELY = frozenset("þðÞÐýÝõÕ")
"""Letters of Iceland and Estonia in Windows-1252: in other encodings their bytes are letters of Turkish, Czech or Hungarian."""
_ENOUGH = 12
"""High bytes below which nothing is certain."""
_TOO_FEW = 4
"""And below which the commonest encoding is taken."""
_MOST_LOST = 0.02
_SHOWN = {
    "cp932": "Shift_JIS", "gb18030": "GBK", "big5hkscs": "Big5", "cp949": "EUC-KR", "koi8_u": "KOI8", "cp866": "cp866 (DOS)",
    "euc_jp": "EUC-JP", "mac_roman": "Mac Roman", "mac_cyrillic": "Mac Cyrillic",
}  # fmt: skip


class Decoded(NamedTuple):
    """doubt: the sentence about an encoding that was only guessed, or about what it could not say; "" where all is well."""

    text: str
    doubt: str = ""


def decode(data: bytes) -> Decoded | None:
    """The text that the bytes are, cleaned; None when they are no text."""
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return Decoded(clean(data.decode(encoding, errors="replace")))
    if (wide := _wide(data)) is not None:
        return Decoded(clean(data.decode(wide, errors="replace")))
    if b"\0" in data:
        return None
    for mark, encoding in _ESCAPED:
        if mark in data[:_HEAD] and (text := _strictly(data, encoding)) is not None:
            return Decoded(clean(text))
    head = data[:_HEAD]
    if len(_BINARY.findall(head)) > max(len(head) * _BINARY_SHARE, _FEW):
        return None
    if (text := _strictly(data, "utf-8")) is not None:
        return Decoded(clean(text))
    return _declared(data) or _guessed(data)


def _strictly(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


def _wide(data: bytes) -> str | None:
    """UTF-16 without its mark, as some programs of Windows write it: every other byte of its blanks, digits and Latin letters is zero."""
    head = data[: _HEAD & ~1]
    pairs = len(head) // 2
    if pairs < _FEW or len(data) % 2:
        return None
    for encoding, zeros, others in (("utf-16-le", head[1::2], head[::2]), ("utf-16-be", head[::2], head[1::2])):
        if zeros.count(0) > pairs * 0.02 and others.count(0) * 50 <= zeros.count(0) and _strictly(head[:-2], encoding) is not None:
            text = head[:-2].decode(encoding)
            if sum(character.isprintable() or character in "\r\n\t" for character in text) > len(text) * 0.98:
                return encoding
    return None


def _declared(data: bytes) -> Decoded | None:
    """As the file says of itself; None where it says nothing that can be."""
    head = data[:_DECLARING]
    for declaration in _DECLARATIONS:
        for found in declaration.finditer(head):
            encoding = _known(found[1].decode("ascii", "replace"))
            if encoding is None:
                continue
            text = data.decode(encoding, errors="replace")
            lost = text.count("\N{REPLACEMENT CHARACTER}")
            if lost <= len(text) * _MOST_LOST:
                doubt = f"It is declared as {_name(encoding)}, and {lost:,} of its characters are not." if lost else ""
                return Decoded(clean(text), doubt)
    return None


def _known(name: str) -> str | None:
    """Python's name of an encoding in which bytes below 128 are ASCII; None for any other, such as UTF-16 in a page that is none."""
    name = _MORE_NAMES.get(name.lower(), name)
    try:
        found = codecs.lookup(name).name
        is_text = b"<a b=1>".decode(found) == "<a b=1>"
    except (LookupError, UnicodeError, ValueError, AssertionError):
        return None
    return _MEANT.get(found, found) if is_text and found not in _NO_ENCODINGS else None


def _guessed(data: bytes) -> Decoded:
    """The encoding in which it reads most like a language."""
    from charset_normalizer import from_bytes

    sample = _sample(data)
    accented = b"".join(_WITH_ACCENTS.findall(sample))
    high = len(accented.translate(None, bytes(range(128))))
    is_latin = high <= len(accented) * _ACCENTED
    found = list(from_bytes(sample, cp_isolation=_ACCENTS if is_latin else _OTHER_SCRIPTS))
    if not found:
        return Decoded(clean(data.decode("cp1252", errors="replace")), _unsure("cp1252"))
    close = {each.encoding: each for each in found if each.chaos <= found[0].chaos + _CLOSE}
    best = found[0].encoding if found[0].coherence else max(close, key=lambda encoding: close[encoding].coherence)
    western = sample.decode("cp1252", errors="replace")
    is_western = not _UNLIKELY & set(western) and not _SIGN_IN_WORD.search(western) and "\N{REPLACEMENT CHARACTER}" not in western
    if is_latin and is_western and ("cp1252" in close or high < _TOO_FEW):
        best = "cp1252"
    elif "cp1254" in close and set("ğşıİĞŞ") & set(str(close["cp1254"])):
        best = "cp1254"
    text = data.decode(best, errors="replace")
    read = sample.decode(best, errors="replace")
    is_sure = high >= _ENOUGH and all(sample.decode(other, errors="replace") == read for other in close)
    return Decoded(clean(text), "" if is_sure else _unsure(best))


def _sample(data: bytes) -> bytes:
    """The lines that hold more than ASCII, up to a bound."""
    if len(data) <= _SAMPLE:
        return data
    lines, size = [], 0
    for line in data.splitlines(keepends=True):
        if not line.isascii():
            lines.append(line[:_SAMPLE])
            size += len(lines[-1])
            if size > _SAMPLE:
                break
    return b"".join(lines)


def _unsure(encoding: str) -> str:
    return f"It does not say how its letters are encoded and was read as {_name(encoding)}: if they look wrong, save it as UTF-8."


def _name(encoding: str) -> str:
    shown = re.sub(r"^cp(?=12)", "Windows-", re.sub(r"^iso8859[-_]", "ISO-8859-", encoding))
    return _SHOWN.get(encoding, shown)
