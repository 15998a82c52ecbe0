"""From bytes to clean text, and from text to words."""

from __future__ import annotations

import codecs
import functools
import re
import unicodedata

from nemochat.domain.sanitize import sanitize

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_BREAKS = re.compile("\r\n|[\r\f\v\x85\u2028\u2029]")
_HYPHENS = re.compile("[\u00ad\u200b\ufeff]")
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_BINARY_SHARE = 0.01
_FEW = 4
_HEAD = 65_536
_LONGEST_NAME = 100
_IDEOGRAPH = "\u2e80-\u2fdf\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_IDEOGRAPHS = re.compile(f"([{_IDEOGRAPH}])")
_CAMEL = re.compile(r"\b[A-Za-z]*[a-z0-9][A-Z][A-Za-z0-9]*\b")
_CAMEL_CUT = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_WORD = re.compile(rf"[{_IDEOGRAPH}]|[^\W_]+")


def decode(data: bytes) -> str | None:
    """The text that the bytes are, in UTF-8, UTF-16 or UTF-32 with a mark at the beginning, or Latin-1; None when they are no text."""
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return clean(data.decode(encoding, errors="replace"))
    head = data[:_HEAD]
    if b"\0" in data or len(_BINARY.findall(head)) > max(len(head) * _BINARY_SHARE, _FEW):
        return None
    try:
        return clean(data.decode("utf-8"))
    except UnicodeDecodeError:
        return clean(data.decode("cp1252", errors="replace"))  # what Latin-1 is in practice


def clean(text: str) -> str:
    """Sanitised, with one kind of line break and without invisible hyphens, which would part words."""
    if not text.isascii():
        text = _HYPHENS.sub("", text)
    return sanitize(_BREAKS.sub("\n", text))


def tidy(text: str) -> str:
    """Blanks of any kind as single spaces, as HTML and Word mean them."""
    return " ".join(text.split())


def as_name(text: str) -> str:
    """The name of a column or a field, cut, because each of its values says it again."""
    return text if len(text) <= _LONGEST_NAME else f"{text[:_LONGEST_NAME]}…"


def indexable(text: str, *, is_code: bool = False) -> str:
    """The text as the index gets it: each ideograph a word of its own, and in code the parts of a camelCase name beside it."""
    if is_code:
        text = _CAMEL.sub(lambda found: f"{found[0]} {_CAMEL_CUT.sub(' ', found[0])}", text)
    return text if text.isascii() else _IDEOGRAPHS.sub(r" \1 ", text)


def words(text: str) -> list[str]:
    """The words as the index sees them: small letters without accents, ideographs one by one."""
    if not text.isascii():
        text = "".join(character for character in unicodedata.normalize("NFD", text) if not unicodedata.combining(character))
        text = unicodedata.normalize("NFC", text)
    return _WORD.findall(text.lower())


def is_ideograph(word: str) -> bool:
    """Whether a word is one character of a script that is written without blanks."""
    return len(word) == 1 and _IDEOGRAPHS.match(word) is not None


# -- Porter's stemmer (1980), the one that SQLite's `porter` tokenizer uses: a passage is judged by the words that the index found in it.

_VOWELS = "aeiou"
_STEP_2 = {
    "ational": "ate", "tional": "tion", "enci": "ence", "anci": "ance", "izer": "ize", "abli": "able", "alli": "al", "entli": "ent",
    "eli": "e", "ousli": "ous", "ization": "ize", "ation": "ate", "ator": "ate", "alism": "al", "iveness": "ive", "fulness": "ful",
    "ousness": "ous", "aliti": "al", "iviti": "ive", "biliti": "ble", "logi": "log",
}  # fmt: skip
_STEP_3 = {"icate": "ic", "ative": "", "alize": "al", "iciti": "ic", "ical": "ic", "ful": "", "ness": ""}
_STEP_4 = (
    "ement", "ance", "ence", "able", "ible", "ment", "ant", "ent", "ion", "ism", "ate", "iti", "ous", "ive", "ize", "al", "er", "ic", "ou",
)  # fmt: skip
_LONGEST_STEMMED = 40


@functools.lru_cache(maxsize=50_000)
def stem(word: str) -> str:
    """The part that the forms of an English word share: ship for ships, shipped and shipping."""
    if len(word) < 3 or len(word) > _LONGEST_STEMMED or not word.isascii() or not word.isalpha():
        return word
    return _endings(_plural_and_past(word))


def _shape(word: str) -> str:
    """The word as v and c; y is a vowel after a consonant."""
    shape = ""
    for at, letter in enumerate(word):
        is_vowel = letter in _VOWELS or (letter == "y" and at > 0 and shape[-1] == "c")
        shape += "v" if is_vowel else "c"
    return shape


def _measure(word: str) -> int:
    return _shape(word).count("vc")


def _ends_short(word: str) -> bool:
    return _shape(word)[-3:] == "cvc" and word[-1] not in "wxy"


def _plural_and_past(word: str) -> str:
    if word.endswith(("sses", "ies")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith("ss"):
        word = word[:-1]
    if word.endswith("eed"):
        return word[:-1] if _measure(word[:-3]) > 0 else word
    for ending in ("ed", "ing"):
        left = word.removesuffix(ending)
        if left != word and "v" in _shape(left):
            if left.endswith(("at", "bl", "iz")):
                word = left + "e"
            elif len(left) > 1 and left[-1] == left[-2] and left[-1] not in "lsz" + _VOWELS:
                word = left[:-1]
            else:
                word = left + "e" if _measure(left) == 1 and _ends_short(left) else left
            break
    if word.endswith("y") and "v" in _shape(word[:-1]):
        word = word[:-1] + "i"
    return word


def _endings(word: str) -> str:
    for table in (_STEP_2, _STEP_3):
        for ending in sorted(table, key=len, reverse=True):
            if word.endswith(ending):
                left = word.removesuffix(ending)
                word = left + table[ending] if _measure(left) > 0 else word
                break
    for ending in _STEP_4:
        if word.endswith(ending):
            left = word.removesuffix(ending)
            if _measure(left) > 1 and (ending != "ion" or left.endswith(("s", "t"))):
                word = left
            break
    if word.endswith("e"):
        left = word[:-1]
        if _measure(left) > 1 or (_measure(left) == 1 and not _ends_short(left)):
            word = left
    if word.endswith("ll") and _measure(word[:-1]) > 1:
        word = word[:-1]
    return word
