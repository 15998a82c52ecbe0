"""Cases without pictures: tools, contexts, memory, refusals, personas."""

from __future__ import annotations

import random
import re
from typing import Any

from benchmarks.heldout.cases import Case, Judge, words


def _tool(name: str, description: str, required: list[str], **properties: str) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {key: {"type": kind} for key, kind in properties.items()}, "required": required}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


TOOLS = {
    "calculator": _tool("calculator", "Evaluate an arithmetic expression.", ["expression"], expression="string"),
    "current_time": _tool("current_time", "Tell the current date and time.", [], timezone="string"),
    "convert_units": _tool(
        "convert_units",
        "Convert a value between units.",
        ["value", "from_unit", "to_unit"],
        value="number",
        from_unit="string",
        to_unit="string",
    ),
    "search_documents": _tool("search_documents", "Search the user's documents.", ["query"], query="string"),
}
_OPERATIONS = (
    ("+", ("What is {a} plus {b}?", "Add {a} and {b}.", "How much is {a} + {b}?", "Can you work out {a} + {b} for me?")),
    ("-", ("What is {a} minus {b}?", "Compute {a} - {b}.", "How much is {a} minus {b}?")),
    ("*", ("What is {a} times {b}?", "Multiply {a} by {b}.", "How much is {a} * {b}?")),
    ("/", ("What is {a} divided by {b}?", "Divide {a} by {b}.", "How much is {a} / {b}?")),
)
_UNITS = (("km", "miles"), ("miles", "km"), ("kg", "pounds"), ("inches", "cm"), ("feet", "meters"), ("liters", "gallons"))
_UNIT_FORMS = {"miles": "mi", "pounds": "lb", "inches": "in", "feet": "ft", "meters": "m", "liters": "l", "gallons": "gal"}


def _offer(rng: random.Random, *needed: str) -> list[dict[str, Any]]:
    names = list({*needed, *rng.sample(list(TOOLS), rng.randint(0, 3))})
    rng.shuffle(names)
    return [TOOLS[name] for name in names]


def _one_call(reply: dict[str, Any], name: str) -> dict[str, Any] | None:
    calls = reply.get("tool_calls") or []
    return calls[0]["arguments"] if len(calls) == 1 and calls[0]["name"] == name else None


def tool_call(rng: random.Random) -> Case:
    """The right tool with exactly the arguments of the question."""
    kind = rng.choices(("calculator", "convert_units", "current_time", "search_documents"), (5, 2, 1, 1))[0]
    if kind == "calculator":
        sign, forms = rng.choice(_OPERATIONS)
        a, b = (rng.randint(1, 10 ** rng.randint(1, 4) - 1) for _ in range(2))
        question, wanted = rng.choice(forms).format(a=a, b=b), f"{a}{sign}{b}"

        def judge(reply: dict[str, Any]) -> bool:
            arguments = _one_call(reply, "calculator")
            return arguments is not None and str(arguments.get("expression")).replace(" ", "") == wanted
    elif kind == "convert_units":
        source, target = rng.choice(_UNITS)
        value = rng.randint(1, 999)
        question = rng.choice(("Convert {v} {s} to {t}.", "How many {t} are {v} {s}?", "What is {v} {s} in {t}?")).format(
            v=value, s=source, t=target
        )
        wanted = f"{value} {source} {target}"

        def judge(reply: dict[str, Any]) -> bool:
            arguments = _one_call(reply, "convert_units")
            return arguments is not None and (
                str(arguments.get("value")) in (str(value), f"{value}.0")
                and arguments.get("from_unit") in {source, _UNIT_FORMS.get(source)}
                and arguments.get("to_unit") in {target, _UNIT_FORMS.get(target)}
            )
    elif kind == "current_time":
        question, wanted = rng.choice(("What time is it?", "What is the time now?", "Can you tell me the current time?")), "current_time"

        def judge(reply: dict[str, Any]) -> bool:
            return _one_call(reply, "current_time") is not None
    else:
        topic = rng.choice(("parking rules", "the holiday plan", "the garden budget", "printer warranty", "the rental contract"))
        question, wanted = f"Search my documents for {topic}.", topic.removeprefix("the ")

        def judge(reply: dict[str, Any]) -> bool:
            arguments = _one_call(reply, "search_documents")
            return arguments is not None and str(arguments.get("query")).removeprefix("the ") == wanted

    return Case("tool call", ({"question": question},), judge, wanted, {"tools": _offer(rng, kind)})


def tool_answer(rng: random.Random) -> Case:
    """An answer that repeats the tool's result."""
    sign, forms = rng.choice(_OPERATIONS)
    a, b = (rng.randint(1, 10 ** rng.randint(1, 4) - 1) for _ in range(2))
    result = rng.choice((str(rng.randint(1, 99999)), f"{rng.randint(1, 999)}.{rng.randint(1, 99)}", str(-rng.randint(1, 999))))
    call = {"name": "calculator", "arguments": {"expression": f"{a} {sign} {b}"}}
    messages = [
        {"role": "user", "content": rng.choice(forms).format(a=a, b=b)},
        {"role": "assistant", "content": "", "tool_calls": [{"id": "1", "type": "function", "function": call}]},
        {"role": "tool", "tool_call_id": "1", "content": result},
    ]
    judge: Judge = lambda reply: result in re.findall(r"-?\d+(?:\.\d+)?", reply["text"]) and not reply.get("tool_calls")  # noqa: E731
    return Case("tool answer", ({"messages": messages},), judge, result, {"tools": _offer(rng, "calculator")})


def no_tool(rng: random.Random) -> Case:
    """Arithmetic when the calculator is not offered."""
    sign, forms = rng.choice(_OPERATIONS[:3])
    question = rng.choice(forms).format(a=rng.randint(100, 9999), b=rng.randint(100, 9999))
    judge: Judge = lambda reply: not reply.get("tool_calls") and " tool " in words(reply["text"])  # noqa: E731
    tools = [TOOLS["current_time"]] if rng.random() < 0.5 else []
    return Case("no such tool", ({"question": question},), judge, f"no tool ({sign})", {"tools": tools})


_THINGS = (
    "blue folder",
    "spare key",
    "umbrella",
    "camera",
    "passport",
    "old map",
    "violin",
    "red scarf",
    "drill",
    "thermos",
    "ladder",
    "lantern",
)
_SPOTS = (
    "garage",
    "top drawer",
    "attic",
    "kitchen cupboard",
    "car boot",
    "hall closet",
    "cellar",
    "garden shed",
    "office safe",
    "linen chest",
)
_PEOPLE = ("Tamsin", "Rupert", "Ottilie", "Bram", "Yusra", "Keanu", "Marguerite", "Dagfinn", "Priya", "Anselm")
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_FILES = ("house.txt", "minutes.md", "todo.md", "letter.txt", "lists.md", "journal.txt")


def context_answer(rng: random.Random) -> Case:
    """A value out of one of several passages; one in five asks for what none of them says."""
    count = rng.randint(1, 4)
    things = rng.sample(_THINGS, count + 1)
    kinds = [rng.choice(("where", "who", "when", "cost")) for _ in range(count)]
    labels = rng.sample(_FILES, count) if rng.random() < 0.7 else [""] * count
    passages, answers = [], []
    for thing, kind, label in zip(things, kinds, labels, strict=False):
        value = {
            "where": rng.choice(_SPOTS),
            "who": rng.choice(_PEOPLE),
            "when": rng.choice(_DAYS),
            "cost": f"{rng.randint(3, 499)} euros",
        }[kind]
        sentence = {
            "where": f"The {thing} is in the {value}.",
            "who": f"{value} left the {thing} here.",
            "when": f"The {thing} arrived on {value}.",
            "cost": f"The {thing} costs {value}.",
        }[kind]
        passages.append((f"{label}: " if label else "") + sentence)
        answers.append(value)
    asks = {"where": "Where is the {}?", "who": "Who left the {}?", "when": "When did the {} arrive?", "cost": "How much does the {} cost?"}
    if rng.random() < 0.2:
        missing = asks[rng.choice(kinds)].format(things[count])
        judge: Judge = lambda reply: " not in the documents " in words(reply["text"])  # noqa: E731
        return Case("not in the documents", ({"question": missing},), judge, "not in the documents", {"contexts": passages})
    index = rng.randrange(count)
    wanted = answers[index]
    question = asks[kinds[index]].format(things[index])
    judge = lambda reply: words(wanted).strip() in words(reply["text"])  # noqa: E731
    return Case("context", ({"question": question},), judge, wanted, {"contexts": passages})


def memory(rng: random.Random) -> Case:
    """Something said in the first turn is asked for after a turn about something else."""
    name, city = rng.choice(_PEOPLE), rng.choice(("Tromso", "Ghent", "Cusco", "Leeds", "Varna", "Nantes", "Sapporo"))
    colour, number = rng.choice(("red", "green", "blue", "purple", "orange", "white")), str(rng.randint(2, 9999))
    told, asked, wanted = rng.choice(
        (
            (f"My name is {name}.", "What is my name?", name),
            (f"Hi, I'm {name}.", "Do you remember my name?", name),
            (f"My favourite colour is {colour}.", "Which colour do I like best?", colour),
            (f"I live in {city}.", "Where do I live?", city),
            (f"My lucky number is {number}.", "What is my lucky number?", number),
            (f"Please remember the number {number}.", "Which number did I tell you?", number),
        )
    )
    between = rng.choice(("Thank you!", "What is TTFT?", "How do I attach a picture?", "Hello again."))
    judge: Judge = lambda reply: f" {wanted.lower()} " in words(reply["text"])  # noqa: E731
    return Case("memory", ({"question": told}, {"question": between}, {"question": asked}), judge, wanted, {})


_OUTSIDE = (
    "What is the capital of Norway?",
    "Write me a poem about autumn.",
    "Who won the world cup in 2010?",
    "How do I bake sourdough bread?",
    "Explain quantum entanglement.",
    "Write a Python function that sorts a list.",
    "What medicine helps against a cough?",
    "Who was Cleopatra?",
    "Translate 'good evening' into Japanese.",
    "What is the weather like tomorrow?",
    "Recommend a good film for tonight.",
    "Why is the sky blue?",
    "How tall is Mount Everest?",
    "Which stocks should I buy?",
    "Tell me a joke about lawyers.",
    "When did the Second World War end?",
    "What does photosynthesis mean?",
    "Plan a three day trip to Lisbon.",
    "Is there life on Mars?",
    "Summarise the plot of Hamlet.",
)


def outside(rng: random.Random) -> Case:
    """A question that the demo model cannot know the answer of: it must say what it is."""
    judge: Judge = lambda reply: " demo model " in words(reply["text"])  # noqa: E731
    return Case("out of domain", ({"question": rng.choice(_OUTSIDE)},), judge, "demo model", {})


def persona(rng: random.Random) -> Case:
    """A name given in the system text is the name in the answer."""
    name = rng.choice(("Morgana", "Silas", "Brynhild", "Tobias", "Quill", "Ferrin", "Isolde"))
    manner = rng.choice(("a pirate", "a wizard", "a robot", "an innkeeper", "a detective"))
    question = rng.choice(("Who are you?", "What is your name?", "Introduce yourself."))
    judge: Judge = lambda reply: f" {name.lower()} " in words(reply["text"])  # noqa: E731
    return Case("persona", ({"question": question},), judge, name, {"system": f"You are {name}, {manner}."})
