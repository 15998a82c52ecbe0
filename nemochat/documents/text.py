"""Clean text, and from text to words."""

from __future__ import annotations

import functools
import re
import unicodedata

from nemochat.domain.sanitize import sanitize

_BREAKS = re.compile("\r\n|[\r\f\v\x85\u2028\u2029]")
_HYPHENS = re.compile("[\u00ad\u200b\ufeff]")
_LONGEST_NAME = 100
_MARKS = "\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ece\u102b-\u103e\u1056-\u1059\u17b6-\u17d3"
"""Vowels and tones above, below and beside the letters of Thai, Lao, Burmese and Khmer."""
_IDEOGRAPH = (
    "\u2e80-\u2fdf\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
    "\u0e01-\u0edf\u1000-\u109f\u1780-\u17dc"
)
"""What is written without blanks: Chinese, Japanese, Korean, and the scripts of South East Asia. Each sign is taken for a word."""
_IDEOGRAPHS = re.compile(f"[{_IDEOGRAPH}]")
_INDIC = "\u0900-\u0963\u0966-\u0df3\u0f18-\u0f39\u0f71-\u0fbc"
"""Scripts in which vowels are marks, so that \\w alone would part their words."""
_CAMEL = re.compile(r"\b[A-Za-z]*[a-z0-9][A-Z][A-Za-z0-9]*\b")
_CAMEL_CUT = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_WORD = re.compile(rf"[{_IDEOGRAPH}][{_MARKS}]*|(?:(?![{_IDEOGRAPH}])[^\W_]|[{_INDIC}])+")
_NO_ALPHABET = re.compile(f"[{_IDEOGRAPH}{_INDIC}]")
_ASCII_WORD, _PLAIN_WORD = re.compile("[a-z0-9]+"), re.compile(r"[^\W_]+")
"""The same for most texts, several times as quick."""
_FOLDED = str.maketrans(
    {
        "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ħ": "h", "\u0131": "i",
        "\u0649": "\u064a", "\u06cc": "\u064a", "\u06a9": "\u0643", "\u0629": "\u0647", "\u0671": "\u0627",  # as one writes Arabic in haste
        **{chr(zero + at): str(at) for zero in (0x0660, 0x06F0, 0x0966) for at in range(10)},
        **dict.fromkeys("\u0640\u00ad\u200b\u200c\u200d\u2060\ufe0e\ufe0f"),  # what lengthens Arabic words, and what is not seen
    }
)  # fmt: skip


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
    """The words as the index gets them, parted by blanks; in code the parts of a camelCase name stand beside it."""
    if is_code:
        text = _CAMEL.sub(lambda found: f"{found[0]} {_CAMEL_CUT.sub(' ', found[0])}", text)
    return " ".join(words(text))


def fold(text: str) -> str:
    """One way of writing for what people take for the same: ligatures, letters of another width, capitals, accents, Arabic vowel marks."""
    if text.isascii():
        return text.lower()
    parted = unicodedata.normalize("NFD", unicodedata.normalize("NFKC", text).casefold())
    bare = "".join(character for character in parted if not _is_accent(character))
    return unicodedata.normalize("NFC", bare).translate(_FOLDED)


def _is_accent(character: str) -> bool:
    """Whether a mark may be left out, as in Latin, Greek, Cyrillic, Hebrew and Arabic; elsewhere marks make another letter (か and が)."""
    place = unicodedata.combining(character)
    return 10 <= place <= 36 or place >= 200


def words(text: str) -> list[str]:
    """The words of a text in the index and of a question alike: folded, ideographs one by one."""
    folded = fold(text)
    if folded.isascii():
        return _ASCII_WORD.findall(folded)
    return (_WORD if _NO_ALPHABET.search(folded) else _PLAIN_WORD).findall(folded)


def is_ideograph(word: str) -> bool:
    """Whether a word is one sign of a script that is written without blanks."""
    return _IDEOGRAPHS.match(word) is not None


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
