"""Short answers: VQAv2, TextVQA, GQA, POPE, option letters (ScienceQA, MMBench, SEED) and MMMU.

Each rule names the program that it follows. A rule that looks odd stays as it is: figures are compared with published ones.
"""

from __future__ import annotations

import random
import re
import string
from collections.abc import Mapping, Sequence

from nemochat.errors import UsageError
from nemochat.evaluation.values import Kind, Question, Reply, Score

LONGEST_TEXT = 10_000
"""Characters of a reply that are looked at: some patterns take time by the square."""

_CONTRACTIONS = """
    'ow's'at 'twas ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've he's
    how'd how'll how's isn't it'd it'd've it'll ma'am might've mightn't mightn't've must've mustn't needn't not've o'clock oughtn't shan't
    she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd someone'd've someone'll someone's something'd
    something'd've something'll that's there'd there'd've there're there's they'd they'd've they'll they're they've wasn't we'd've we've
    weren't what'll what're what's what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't
    would've wouldn't wouldn't've y'all y'all'd've y'all'll you'd you'd've you'll you're you've
"""
_REWRITTEN = {word[:at] + word[at + 1 :]: word for word in _CONTRACTIONS.split() for at, mark in enumerate(word) if mark == "'"}
_REWRITTEN["somebody'd"] = "somebodyd"
"""The word that stands for one in which an apostrophe is missing; and one of the official table that is the other way round."""
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_DIGITS = {"none": "0"} | {word: str(number) for number, word in enumerate(_NUMBERS)}
_ARTICLES = ("a", "an", "the")
_PUNCTUATION = ";/[]\"{}()=+\\_-><@`,?!"
_REFUSALS = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
)
_LEADS = ("could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result ")


def score(question: Question, reply: Reply) -> Score:
    """By the question's kind. parts: "read", whether the rule found an option (LETTER, OPTION, FIRST_LETTER); YES_NO: what `summary` needs.

    Raises UsageError for a question without an answer, or of a kind that is not scored here.
    """
    if not question.answers:
        raise UsageError(f'The question "{question.id}" has no answer to compare with.')
    text = reply.text[:LONGEST_TEXT]
    match question.kind:
        case Kind.VQA:
            return _named(vqa_accuracy(text, question.answers), question)
        case Kind.EXACT:
            return _named(float(_bare(text) == _bare(question.answers[0])), question)
        case Kind.YES_NO:
            return _yes_no(text, question)
        case Kind.LETTER:
            return _lettered(letter(text), question)
        case Kind.OPTION:
            return _lettered(option(text, _options(question)), question)
        case Kind.FIRST_LETTER:
            return _lettered(text.strip()[:1], question)
        case Kind.MMMU:
            return _mmmu(text, question)
        case _:
            raise UsageError(f'The question "{question.id}" is of the kind {question.kind}, which is not scored as a short answer.')


def summary(scores: Sequence[Score]) -> Mapping[str, float]:
    """The figures beside the mean of what is right: those of POPE, the share of replies in which an option could be read, or that of
    guesses (MMMU). None for no scores.
    """
    if not scores:
        return {}
    if "answer yes" in scores[0].parts:
        return _yes_no_summary(scores)
    shares = {name: sum(score.parts[name] for score in scores) / len(scores) for name in scores[0].parts}
    return shares | ({"guessed": guessed / len(scores)} if (guessed := sum(score.guessed for score in scores)) else {})


def _named(right: float, question: Question) -> Score:
    return Score(right, why="" if right else f"expected {', '.join(dict.fromkeys(question.answers))}")


def _options(question: Question) -> Sequence[str]:
    """Raises UsageError where they are no list of at most 26 texts."""
    options = question.meta.get("options") or ()
    if not isinstance(options, list | tuple) or len(options) > len(string.ascii_uppercase):
        raise UsageError(f'The question "{question.id}" has no list of options.')
    return [str(each) for each in options]


# -- VQAv2, TextVQA, GQA


def normalised(answer: str) -> str:
    """An answer as EvalAI compares it (mmf's EvalAIAnswerProcessor, after the official VQA evaluation): lower case, no articles, numbers to
    ten as digits, apostrophes where they belong, punctuation away.
    """
    text = answer.lower().replace(",", "").replace("?", "").replace("'s", " 's").strip()
    text = text.replace("\n", " ").replace("\t", " ").strip()
    kept = text
    has_number = re.search(r"(?<=\d),+(?=\d)", text) is not None
    for mark in _PUNCTUATION:
        kept = kept.replace(mark, "" if has_number or f"{mark} " in text or f" {mark}" in text else " ")
    # The original hands a flag to where the count belongs, so only the first 32 full stops go.
    kept = re.sub(r"\.(?!\d)", "", kept, count=32)
    words = (_DIGITS.get(word, word) for word in kept.lower().split())
    return " ".join(_REWRITTEN.get(word, word) for word in words if word not in _ARTICLES)


def vqa_accuracy(reply: str, answers: Sequence[str]) -> float:
    """The official VQA accuracy: for each person left out, a third for every other who gave this answer, 1 at most; the mean of these.

    One answer alone, which the official rule cannot be used with, is right or wrong.
    """
    given, wanted = normalised(reply), [normalised(answer) for answer in answers]
    same = wanted.count(given)
    if len(wanted) == 1:
        return float(same)
    return sum(min(1.0, (same - (answer == given)) / 3) for answer in wanted) / len(wanted)


def _bare(text: str) -> str:
    """As lmms-eval compares for GQA: exact_match without case and punctuation."""
    return text.lower().translate(str.maketrans("", "", string.punctuation)).strip()


# -- POPE


def says_yes(text: str) -> bool:
    """POPE's own rule (evaluate.py): the first sentence says no where it has "No", "no" or "not" as a word, and yes in every other case."""
    return not {"No", "not", "no"} & set(text.partition(".")[0].replace(",", "").split(" "))


def _yes_no(text: str, question: Question) -> Score:
    """By POPE's own rule; "exact" by that of lmms-eval, for which "Yes." is neither yes nor no."""
    is_yes, plain = question.answers[0].strip().lower() == "yes", text.strip().lower()
    parts = {
        "answer yes": is_yes, "yes": says_yes(text), "exact yes": plain == "yes", "exact no": plain == "no",
    }  # fmt: skip
    score = _named(float(parts["yes"] == is_yes), question)
    return Score(score.right, {name: float(value) for name, value in parts.items()}, why=score.why)


def _yes_no_summary(scores: Sequence[Score]) -> Mapping[str, float]:
    """Both rules. A figure whose denominator is 0 is 0."""
    parts = [score.parts for score in scores]

    def count(said: str, truth: float) -> int:
        return sum(1 for each in parts if each[said] and each["answer yes"] == truth)

    def share(part: float, whole: float) -> float:
        return part / whole if whole else 0.0

    found: dict[str, float] = {}
    truly_yes = sum(each["answer yes"] for each in parts)
    # lmms-eval counts as missed only what was answered with a plain "no".
    for rule, yes, missed, accuracy in (
        ("", "yes", truly_yes - count("yes", 1), sum(score.right for score in scores)),
        ("exact ", "exact yes", count("exact no", 1), count("exact yes", 1) + count("exact no", 0)),
    ):
        hits = count(yes, 1)
        precision, recall = share(hits, hits + count(yes, 0)), share(hits, hits + missed)
        found |= {
            f"{rule}accuracy": accuracy / len(parts),
            f"{rule}precision": precision,
            f"{rule}recall": recall,
            f"{rule}F1": share(2 * precision * recall, precision + recall),
            f"{rule}yes": sum(each[yes] for each in parts) / len(parts),
        }
    return found


# -- option letters


def letter(text: str) -> str:
    """ScienceQA, as LLaVA reads it: the letter alone, or with a full stop and whatever follows; "" for anything else."""
    text = text.strip()
    return text[:1].upper() if text[:1].isalpha() and (len(text) == 1 or text[1] == ".") else ""


def option(text: str, options: Sequence[str]) -> str:
    """MMBench, as VLMEvalKit's can_infer reads it: a letter that is the only one of the options' and among the last five words; or else the
    one option whose text is in a reply that is not much longer than all of them. "Z" for a refusal, "" where it cannot say; VLMEvalKit then
    asks GPT, which is not done here.
    """
    if any(refusal in text for refusal in _REFUSALS):
        return "Z"
    letters = string.ascii_uppercase[: len(options)]
    words = re.sub(r"[.()\[\],:;!*#{}]", " ", text).split()
    found = [each for each in letters if each in words]
    if len(found) == 1 and words.index(found[0]) > len(words) - 5:
        return found[0]
    if not found and "Z" in words:
        return "Z"
    if len(text) > 2 * sum(map(len, options)):
        return ""
    told = [each for each, said in zip(letters, options, strict=True) if said.lower() in text.lower()]
    return told[0] if len(told) == 1 else ""


def _lettered(found: str, question: Question) -> Score:
    right, wanted = found == question.answers[0].strip(), question.answers[0]
    return Score(float(right), {"read": float(bool(found))}, why="" if right else f"expected {wanted}, read {found or 'nothing'}")


# -- MMMU


def _mmmu(text: str, question: Question) -> Score:
    """As eval_utils.py of MMMU. It draws a letter at random where it finds none: here by the question and the seed, so that a question has
    the same guess in every run with that seed, in whatever order.
    """
    if not (options := _options(question)):
        return _named(float(_is_among(open_answers(text), question.answers)), question)
    found = chosen_letter(text, options)
    letters = string.ascii_uppercase[: len(options)]
    guess = found or random.Random(f"{question.meta.get('seed', 0)}:{question.id}").choice(letters)  # noqa: S311  nothing secret
    right = guess in question.answers
    how = "guessed" if not found else "read"
    return Score(float(right), guessed=not found, why="" if right else f"expected {', '.join(question.answers)}, {how} {guess}")


def chosen_letter(text: str, options: Sequence[str]) -> str:
    """The letter that MMMU's parser finds: in brackets, alone, or by the option's text in a reply of more than five words. Of several the
    last; "" for none.
    """
    for mark in ",.!?;:'":
        text = text.strip(mark)
    text = f" {text} "
    letters = string.ascii_uppercase[: len(options)]
    ways = [{each: f"({each})" for each in letters}, {each: f" {each} " for each in letters}]
    places = [(text, way) for way in ways]
    if len(text.split()) > 5:
        places.append((text.lower(), {each: said.lower() for each, said in zip(letters, options, strict=True)}))
    for place, way in places:
        if found := [each for each, said in way.items() if said in place]:
            return max(found, key=lambda each, place=place, way=way: place.rfind(way[each]))  # type: ignore[misc]
    return ""


def open_answers(text: str) -> set[str | float]:
    """What MMMU's parser takes for the answers in an open reply: what follows words such as "is" in each line, and the numbers in it."""
    text = text.strip().strip(".").lower()
    lines, tails = text.split("\n"), []
    for at, line in enumerate(lines):
        shortest = ""
        for lead in (*_LEADS, "=") if at == len(lines) - 1 else _LEADS:
            tail = line.rpartition(lead)[2].strip()
            if lead in line and (not shortest or len(tail) < len(shortest)):
                shortest = tail
        if shortest and shortest not in (":", ",", ".", "!", "?", ";", "'"):
            tails.append(shortest)
    tails = tails or [text]
    return {form for tail in tails for said in (tail, *_numbers(tail)) for form in _forms(said)}


def _numbers(text: str) -> Sequence[str]:
    """Numbers with commas, with an exponent, and plain ones, by the official patterns; here they begin at no later digit of a number, where
    they would fail again.
    """
    return [
        *re.findall(r"-?\b\d{1,3}(?:,\d{3})+\b", text),
        *re.findall(r"-?(?<!\d)\d+(?:\.\d+)?[eE][+-]?\d+", text),
        *re.findall(r"-?(?:(?<!\d)\d+\.\d+|\.\d+|(?<!\d)\d+\b)(?![eE][+-]?\d+)(?![,\d])", text),
    ]


def _forms(said: str) -> Sequence[str | float]:
    """A number, rounded to two places, or the words; a single character with a space on either side, so that not every word has it."""
    said = said.strip()
    try:
        return [round(float(said.replace(",", "")), 2)]
    except ValueError:
        said = said.lower()
        return [f" {said}", f"{said} "] if len(said) == 1 else [said]


def _is_among(given: set[str | float], answers: Sequence[str]) -> bool:
    """A number is equal to one of the answers, or one of them is part of what was said."""
    wanted = [form for answer in answers for form in _forms(answer)]
    texts = [form for form in wanted if isinstance(form, str)]
    return any(form in wanted if isinstance(form, float) else any(each in form for each in texts) for form in given)
