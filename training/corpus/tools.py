"""Calls of the four built-in tools, the answers from their results, and what is said where the tool is not offered.

Arguments are copied from the question. Numbers keep their digits (a comma between thousands goes), operators become ``+ - * /`` with a
space on each side. Units and the place of a time are copied as they are written (but for "degrees" before a unit): what "mi", "miles"
and "Tokyo" mean is for the tool to know. A search's query is the topic of the question as asked, without its article.
"""

from __future__ import annotations

import json
import random
from typing import Any

from training.corpus import contexts, lexicon
from training.corpus.wording import ask, pick
from training.values import Example, Turn

TOOLS = ("calculator", "current_time", "convert_units", "search_documents")
NOTHING_FOUND = ("No passages found.", "[]", "nothing found", "No results.", "0 passages")
_DESCRIPTIONS = {
    "calculator": (
        "Work out an arithmetic expression.",
        "Evaluate an arithmetic expression with + - * /.",
        "Calculates an expression.",
        "Do arithmetic.",
    ),
    "current_time": (
        "The current date and time.",
        "Tell the date and time now.",
        "Get the current time.",
        "Current time, in a timezone if given.",
    ),
    "convert_units": (
        "Convert a value from one unit to another.",
        "Convert units.",
        "Converts lengths, weights, temperatures and volumes.",
    ),
    "search_documents": ("Search the user's documents.", "Find passages in the documents.", "Full-text search in the loaded documents."),
}
_PARAMETERS: dict[str, tuple[dict[str, str], list[str]]] = {
    "calculator": ({"expression": "string"}, ["expression"]),
    "current_time": ({"timezone": "string"}, []),
    "convert_units": ({"value": "number", "from_unit": "string", "to_unit": "string"}, ["value", "from_unit", "to_unit"]),
    "search_documents": ({"query": "string"}, ["query"]),
}
_DECOYS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("get_weather", "The weather in a city.", {"city": "string"}),
    ("send_email", "Send an e-mail.", {"to": "string", "body": "string"}),
    ("read_file", "Read a text file.", {"path": "string"}),
    ("list_folder", "List the files of a folder.", {"path": "string"}),
    ("take_note", "Keep a note.", {"text": "string"}),
    ("play_music", "Play a song.", {"title": "string"}),
    ("set_alarm", "Set an alarm.", {"time": "string"}),
)
UNITS: tuple[tuple[tuple[str, ...], ...], ...] = (
    (
        ("km", "kilometers", "kilometres", "km", "kilometer"),
        ("miles", "mi", "miles", "mile"),
        ("m", "meters", "metres", "meter"),
        ("ft", "feet", "feet", "foot"),
        ("cm", "centimeters", "centimetres"),
        ("inches", "inch", "inches"),
        ("yards", "yd"),
        ("mm", "millimeters", "millimetres"),
        ("nautical miles", "light years", "furlongs"),
    ),
    (("kg", "kilograms", "kilos"), ("pounds", "lb", "lbs"), ("g", "grams", "gram"), ("ounces", "oz"), ("tons", "tonnes", "stone")),
    (
        ("C", "celsius", "Celsius", "Celsius", "\u00b0C"),
        ("F", "fahrenheit", "Fahrenheit", "Fahrenheit", "\u00b0F"),
        ("K", "kelvin", "Kelvin"),
    ),
    (("liters", "litres", "l"), ("gallons", "gal"), ("ml", "milliliters", "millilitres"), ("cups", "pints", "quarts")),
    (("km/h", "kmh", "kilometers per hour"), ("mph", "miles per hour"), ("knots", "m/s")),
    (("hours", "h", "hour"), ("minutes", "min", "minute"), ("seconds", "s"), ("days", "weeks", "years")),
)
"""Families of units; each unit in the ways in which users write it."""
_CALCULATE = (
    "[what is|how much is|calculate|compute|work out|what do you get for] {sum}?",
    "[please calculate|can you calculate|what do i get for|evaluate|solve] {sum}?",
    "{sum}?",
    "{sum} =",
    "{sum} = ?",
    "[use the calculator|take the calculator|calculator]: {sum}",
    "[i need|give me|tell me|find] [the result of|the value of|] {sum}.",
    "[what is|what would be] the [result|value|answer] of {sum}?",
    "{sum} [is|makes|gives|equals] [what|how much]?",
    "how much [is|makes] {sum}?",
    "do the [math|maths|sum]: {sum}",
    "[can|could] you [tell me|say|work out] [what|how much] {sum} is?",
    "[i want to know|tell me|say|do you know] [what|how much] {sum} is.",
    "how much do i get for {sum}?",
    "what is {sum}?",
    "what is {sum}?",
)
_OPERATORS = {
    "+": ("+", "+", "plus", "plus"),
    "-": ("-", "-", "minus", "minus", "take away", "less"),
    "*": ("*", "x", "times", "times", "multiplied by", "\u00d7"),
    "/": ("/", "/", "divided by", "divided by", "over", "÷"),
}
_STANDS = ("is described on page", "stands in chapter", "is on page", "is part of section")
_ORDERS: dict[str, tuple[str, ...]] = {
    "+": ("add {left} and {right}.", "add {right} to {left}.", "[what is |]the sum of {left} and {right}?", "sum up {left} and {right}."),
    "-": (
        "subtract {right} from {left}.",
        "take {right} [from|away from] {left}.",
        "[what is |]the difference between {left} and {right}?",
    ),
    "*": ("multiply {left} [by|with|and] {right}.", "[what is |]the product of {left} and {right}?"),
    "/": ("divide {left} by {right}.", "[what is |]the quotient of {left} and {right}?", "split {left} [by|into] {right}."),
}
_TIME = (
    "what time is it[ now| right now| at the moment|]?",
    "[what is|tell me|give me] the [time|current time|exact time|date and time|date|current date|time now][ please|]?",
    "[do you know|can you tell me|could you tell me|please tell me] [what time it is|the time|the date|what day it is|what the time is]?",
    "what [day|date] is [it|today|it today]?",
    "[what is|which is] today's date?",
    "how late is it[ now|]?",
    "[the |]time[ now|]?",
    "[the |]current time?",
    "[today's |]date[ today|]?",
    "is it [late|morning|already noon|monday today] [now|yet|]?",
    "what year is it?",
    "which [day of the week|month] is it?",
    "[check|look at] the clock.",
)
_TIME_IN = (
    "what time is it in {city}[ now| right now|]?",
    "[what is|tell me] the [time|current time|local time] in {city}[ now|]?",
    "time in {city}[ now|]?",
    "how late is it in {city}?",
    "[do you know|can you tell me] [what time it is|the time] in {city}?",
)
_ZONES = (
    "UTC",
    "Europe/Berlin",
    "Asia/Tokyo",
    "America/New_York",
    "Australia/Sydney",
    "GMT",
    "CET",
    "EST",
    "America/Sao_Paulo",
    "Africa/Cairo",
)
_BIG_CITIES = (
    "Tokyo",
    "London",
    "New York",
    "Los Angeles",
    "Sydney",
    "Berlin",
    "Paris",
    "Moscow",
    "Delhi",
    "San Francisco",
    "Hong Kong",
    "Singapore",
)
_CONVERT = (
    "how many {to} [is|are|are in|make|are there in] {value} {from_}?",
    "[convert|change|turn] {value} {from_} [to|into|in] {to}.",
    "[what is|how much is|what are|how much are] {value} {from_} in {to}?",
    "{value} {from_} [in|to|into|as] {to}?",
    "[can|could] you convert {value} {from_} [to|into] {to}?",
    "[express|give me|tell me|i need] {value} {from_} in {to}.",
    "how [much|many] {to} [do|does] {value} {from_} [make|give]?",
    "what would {value} {from_} be in {to}?",
)
_SEARCH = (
    "[search|look in|look through|check|scan] [the|my] [documents|docs|files|notes] for {topic}.",
    "[search for|look up|look for|find] {topic} in [the|my] [documents|docs|files|notes].",
    "what do [the|my] [documents|docs|files|notes] say [about|on] {topic}?",
    "[find|is there|do you find] [something|anything|information] [about|on] {topic} in [the|my] [documents|docs|files|notes]?",
    "[search|look up]: {topic}",
    "do [the|my] [documents|docs|files|notes] [mention|say anything about] {topic}?",
    "search [the documents |my notes |]for {topic}.",
    "[tell me|show me] what [the|my] [documents|files|notes] say about {topic}.",
)


_HINTS = {
    "expression": ("The expression.", "e.g. 2 + 3", "Arithmetic expression"),
    "timezone": ("e.g. Europe/Berlin", "Place or zone, optional"),
    "value": ("The number.", "Number to convert"),
    "from_unit": ("e.g. km", "Unit of the value"),
    "to_unit": ("e.g. miles", "Unit wanted"),
    "query": ("What to look for.", "Search words"),
}


def definition(rng: random.Random, name: str, description: str, properties: dict[str, str], required: list[str]) -> dict[str, Any]:
    """The full JSON definition of a tool, as the model reads it; in some cases its parameters have descriptions."""
    described = rng.random() < 0.25
    shapes = {
        key: {"type": kind, "description": pick(rng, _HINTS[key])} if described and key in _HINTS else {"type": kind}
        for key, kind in properties.items()
    }
    parameters = {"type": "object", "properties": shapes, "required": required}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


def offered(rng: random.Random, *must: str, without: str = "") -> tuple[dict[str, Any], ...]:
    """A choice of tools in random order: those of `must`, some others but not `without`, now and then a decoy."""
    others = [name for name in TOOLS if name not in must and name != without]
    names = [*must, *rng.sample(others, min(len(others), rng.choice((0, 0, 1, 1, 2, 3))))]
    tools = [definition(rng, name, pick(rng, _DESCRIPTIONS[name]), *_PARAMETERS[name]) for name in names]
    if rng.random() < 0.15:
        name, description, properties = rng.choice(_DECOYS)
        tools.append(definition(rng, name, description, properties, list(properties)))
    rng.shuffle(tools)
    return tuple(tools)


def call(name: str, arguments: dict[str, Any]) -> str:
    return f"<toolcall> {json.dumps({'name': name, 'arguments': arguments}, ensure_ascii=False)} </toolcall>"


def no_tool(name: str) -> str:
    return f"I have no such tool here: {name}."


def _operand(rng: random.Random) -> str:
    if rng.random() < 0.07:
        return f"{rng.randint(0, 99)}.{pick(rng, ('', *'0123456789'))}{rng.randint(1, 9)}"
    return str(lexicon.number(rng))


def _random_result(rng: random.Random, expression: str) -> str:
    """The value of the expression; in some cases any other number, so that the answer is copied and not worked out."""
    if rng.random() < 0.25:
        return rng.choice((str(rng.randint(-9999, 99999)), f"{rng.uniform(-999, 9999):.{rng.randint(1, 4)}f}", str(rng.randint(0, 99))))
    parts = expression.split(" ")
    if len(parts) == 3:
        value = float(parts[0])
        right = float(parts[2])
        if parts[1] == "/" and right == 0:
            return "error: division by zero"
        value = {"+": value + right, "-": value - right, "*": value * right, "/": value / right if right else 0.0}[parts[1]]
    else:
        value = rng.randint(-999, 99999)
    return f"{value:.10g}" if rng.random() < 0.7 else str(round(value, 2)) if value % 1 else str(int(value))


def _calculation(rng: random.Random) -> tuple[str, str]:
    """A question and the expression to call the calculator with."""
    sign = rng.choice("+-*/")
    left, right = _operand(rng), _operand(rng)
    luck = rng.random()
    if luck < 0.22:
        template = pick(rng, _ORDERS[sign])
        return ask(rng, (template,), left=left, right=right), f"{left} {sign} {right}"
    if luck < 0.26:
        third, second = str(lexicon.number(rng)), rng.choice("+-*/")
        tight = rng.random() < 0.5
        text = f"({left} {sign} {right}) {second} {third}"
        return ask(rng, _CALCULATE, sum=text.replace(" ", "") if tight else text), text
    if luck < 0.32:
        second, third = rng.choice("+-*/"), str(lexicon.number(rng))
        gap = rng.choice(("", " "))
        text = f"{left}{gap}{sign}{gap}{right}{gap}{second}{gap}{third}"
        return ask(rng, _CALCULATE, sum=text), f"{left} {sign} {right} {second} {third}"
    word = pick(rng, _OPERATORS[sign])
    gap = " " if word.isalpha() or " " in word or rng.random() < 0.6 else ""
    spoken_left = f"{int(left):,}" if left.isdigit() and len(left) == 4 and rng.random() < 0.08 else left
    return ask(rng, _CALCULATE, sum=f"{spoken_left}{gap}{word}{gap}{right}"), f"{left} {sign} {right}"


def _calculator(rng: random.Random) -> tuple[str, str, str, str]:
    question, expression = _calculation(rng)
    result = _random_result(rng, expression)
    answer = f"The calculator says: {result.removeprefix('error: ')}." if result.startswith("error") else f"{expression} = {result}."
    if not result.startswith("error"):
        result = pick(
            rng, (result, result, result, f"= {result}", f"{expression} = {result}", f'{{"result": {result}}}', f"Result: {result}")
        )
    return question, call("calculator", {"expression": expression}), result, answer


def _current_time(rng: random.Random) -> tuple[str, str, str, str]:
    day, month, year = rng.randint(1, 28), rng.randint(1, 12), rng.randint(2024, 2032)
    hour, minute = rng.randint(0, 23), rng.randint(0, 59)
    weekday = pick(rng, lexicon.DAYS)
    result = pick(
        rng,
        (
            f"{year}-{month:02d}-{day:02d} {hour:02d}:{minute:02d}",
            f"{weekday}, {day} {lexicon.MONTHS[month - 1]} {year}, {hour:02d}:{minute:02d}",
            f"{year}-{month:02d}-{day:02d} {hour:02d}:{minute:02d} {weekday}",
            f"{year}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{rng.randint(0, 59):02d}",
            f"{hour:02d}:{minute:02d}",
        ),
    )
    shown = pick(rng, (result, result, result, f"It is {result}.", json.dumps({"time": result}), f"The time is {result}."))
    if rng.random() < 0.25:
        luck = rng.random()
        place = pick(rng, _ZONES) if luck < 0.2 else pick(rng, _BIG_CITIES) if luck < 0.5 else lexicon.city(rng)
        return ask(rng, _TIME_IN, city=place), call("current_time", {"timezone": place}), shown, f"It is {result}."
    return ask(rng, _TIME), call("current_time", {}), shown, f"It is {result}."


def _convert_units(rng: random.Random) -> tuple[str, str, str, str]:
    family = rng.choice((*UNITS[:3], *UNITS))
    source, target = (pick(rng, unit) for unit in rng.sample(family, 2))
    value = _operand(rng)
    if family is UNITS[2] and rng.random() < 0.12:
        value = f"-{value}"
    number: float | int = float(value) if "." in value else int(value)
    degrees = "degrees " if family is UNITS[2] and source[0] not in "Kk\u00b0" and rng.random() < 0.25 else ""
    question = ask(rng, _CONVERT, value=value, from_=degrees + source, to=target)
    amount = rng.choice((str(rng.randint(1, 9999)), f"{rng.uniform(0, 999):.{rng.randint(1, 5)}f}", f"{rng.uniform(0, 99):.2f}"))
    result = pick(rng, (amount, f"{amount} {target}", f"{value} {source} = {amount} {target}", json.dumps({"result": float(amount)})))
    if result.startswith("{"):
        amount = result[len('{"result": ') : -1]
    arguments = {"value": number, "from_unit": source, "to_unit": target}
    return question, call("convert_units", arguments), result, f"{value} {source} = {amount} {target}."


_PAPERS = (
    "plan", "budget", "rules", "warranty", "contract", "invoice", "manual", "report", "schedule", "policy", "agreement", "list", "notes",
    "timetable", "receipt", "menu", "checklist", "insurance", "instructions", "deadline", "prices", "address",
)  # fmt: skip
"""What people search their documents for."""


def _search(rng: random.Random) -> tuple[str, str, str, str]:
    """A search whose passages answer the question, or hold nothing of it."""
    passages, question, answer = contexts.asked(rng)
    luck = rng.random()
    if luck < 0.3:
        topic = question.topic
        result, answer = f"{question.source}: {question.sentence}", f"{question.sentence.rstrip('.')} ({question.source})."
        if rng.random() < 0.2:
            result, answer = question.sentence, f"{question.sentence.rstrip('.')} (document 1)."
    elif luck < 0.5:
        topic = (
            pick(rng, lexicon.EVENTS)
            if rng.random() < 0.3
            else " ".join(pick(rng, lexicon.ADJECTIVES + lexicon.GOODS + lexicon.THINGS) for _ in range(rng.randint(1, 3)))
        )
        topic = lexicon.made_up(rng) if rng.random() < 0.25 else topic
        if rng.random() < 0.4:
            topic = f"{pick(rng, lexicon.ADJECTIVES + lexicon.GOODS + lexicon.THINGS)} {pick(rng, _PAPERS)}"
        sentence = f"{topic[0].upper()}{topic[1:]} {pick(rng, _STANDS)} {rng.randint(2, 90)}"
        result, answer = f"{question.source}: {sentence}.", f"{sentence} ({question.source})."
    else:
        result = pick(rng, ("\n", "\n\n")).join(passages)
        if rng.random() < 0.1:
            result, answer = pick(rng, NOTHING_FOUND), contexts.NOT_FOUND
        return question.words, call("search_documents", {"query": question.topic}), result, answer
    if rng.random() < 0.2:
        result, answer = pick(rng, NOTHING_FOUND), contexts.NOT_FOUND
    return ask(rng, _SEARCH, topic=pick(rng, ("", "the ")) + topic), call("search_documents", {"query": topic}), result, answer


MAKERS = {"calculator": _calculator, "current_time": _current_time, "convert_units": _convert_units, "search_documents": _search}
_WEIGHTS = (0.42, 0.13, 0.22, 0.23)


def called(rng: random.Random, name: str) -> list[Turn]:
    """A question, the call, its result and the answer."""
    question, text, result, answer = MAKERS[name](rng)
    return [Turn("user", question), Turn("assistant", text), Turn("tool", result), Turn("assistant", answer)]


def not_offered(rng: random.Random, name: str) -> list[Turn]:
    """A question for a tool that is not there. A plain question for a thing is not one: only an order to search is."""
    if name == "search_documents":
        topic = lexicon.thing(rng)
        return [Turn("user", ask(rng, _SEARCH, topic=pick(rng, ("", "the ")) + topic)), Turn("assistant", no_tool(name))]
    return [Turn("user", MAKERS[name](rng)[0]), Turn("assistant", no_tool(name))]


def sample(rng: random.Random, stage: int = 1) -> Example:
    """One to three questions that need a tool, offered or not."""
    if rng.random() < 0.35:
        missing = rng.choices(TOOLS, _WEIGHTS)[0]
        tools = offered(rng, without=missing) if rng.random() < 0.55 else ()
        return Example("no_tool", tuple(not_offered(rng, missing)), tools=tools)
    names = rng.choices(TOOLS, _WEIGHTS, k=rng.choice((1, 1, 2, 3)) if stage else 1)
    said = [turn for name in names for turn in called(rng, name)]
    return Example("tools", tuple(said), tools=offered(rng, *dict.fromkeys(names)))
