"""The wordings of questions over passages, and the words and patterns of the passages themselves.

Slots of questions: ``{x}`` a thing, ``{n}`` a person, ``{v}``, ``{b}``, ``{p}`` a verb as told, its base and its participle, ``{g}`` what
is counted, ``{w}`` a place with its preposition, ``{k}`` a property.
"""

from __future__ import annotations

WHERE = (
    "where is the {x}?",
    "where can i find the {x}?",
    "where [is|was] the {x} [now|kept|put|stored|located|]?",
    "[what is|tell me] the [place|location] of the {x}?",
    "where do [i|we] find the {x}?",
    "[tell me|say|do you know|find out] where the {x} is.",
    "in [which|what] place is the {x}?",
    "[the |]{x}: where?",
    "where [should|must|do] i look for the {x}?",
    "[can|could] you tell me where the {x} is?",
    "location of the {x}?",
    "where did [they|someone|you] put the {x}?",
    "according to the [documents|notes|text], where is the {x}?",
    "i am looking for the {x}. where is it?",
    "where is the {x} according to the [documents|notes]?",
)
WHO = (
    "who {v} the {x}?",
    "[tell me|say|do you know|find out] who {v} the {x}.",
    "[by whom was|which person|what person|who was it that] {v} the {x}?",
    "who {v} the {x} according to the documents?",
    "the {x} was {p} by whom?",
    "by whom was the {x} {p}?",
    "who was it that {v} the {x}?",
    "[what is|give me] the name of the person who {v} the {x}?",
    "[do the documents say|is it said] who {v} the {x}?",
)
WHAT = (
    "what did {n} {b}?",
    "[which thing|what thing|what object] did {n} {b}?",
    "[tell me|say|find out] what {n} {v}.",
    "{n} {v} what?",
    "what was {p} by {n}?",
    "what was it that {n} {v}?",
)
WHEN_DONE = (
    "when did {n} {b} the {x}?",
    "when was the {x} {p}?",
    "[what day|at what time|on which day] was the {x} {p}?",
    "[tell me|say|find out] when {n} {v} the {x}.",
    "[tell me|say] when the {x} was {p}.",
)
WHEN = (
    "when [is|was] the {x}?",
    "when does the {x} {b}?",
    "[what time|at what time|on which day|what day] [does the {x} {b}|is the {x}]?",
    "[tell me|say|find out|do you know] when the {x} {v}.",
    "[the |]{x}: when?",
    "what is the [time|date] of the {x}?",
    "[tell me|say] when the {x} is.",
    "the {x} {v} when?",
    "when will the {x} [be|{b}]?",
    "[can|could] you tell me when the {x} {v}?",
)
HOW_MUCH = (
    "how much [is|does] the {x}[ cost|]?",
    "how much does the {x} cost?",
    "what does the {x} cost?",
    "what is the price of the {x}?",
    "[tell me|say|find out] [the price of the {x}|how much the {x} costs|what the {x} costs].",
    "how much [must|do] i pay for the {x}?",
    "[the |]price of the {x}?",
    "[at|for] what price is the {x} [sold|offered]?",
    "how expensive is the {x}?",
    "how much money [is|for] the {x}?",
    "what is the cost of the {x}?",
)
HOW_MANY = (
    "how many {g} are [there |]{w}?",
    "[what is|tell me] the number of {g} {w}?",
    "how many {g} [{w}|does it say are {w}|can be found {w}]?",
    "[tell me|say] how many {g} there are {w}.",
    "number of {g} {w}?",
    "count of {g} {w}?",
)
HOW_MUCH_GOODS = (
    "how much {g} does the {x} need?",
    "how much {g} is [needed|used|required] for the {x}?",
    "[what amount of|how much] {g} [goes into|do i need for] the {x}?",
    "[tell me|say] how much {g} the {x} needs.",
    "what amount of {g} does the {x} need?",
)
VALUE_OF = (
    "what is the {k} of the {x}?",
    "[tell me|give me|say|find] the {k} of the {x}.",
    "[which|what] {k} does the {x} have?",
    "[the |]{k} of the {x}?",
    "what {k} has the {x}?",
    "do you know the {k} of the {x}?",
    "{x} {k}?",
)
WHO_RUNS = (
    "who {v} the {x}?",
    "[tell me|say|find out] who {v} the {x}.",
    "[what is|tell me] the name of the person who {v} the {x}?",
    "which person {v} the {x}?",
    "the {x} is {p} by whom?",
    "by whom is the {x} {p}?",
    "who was it again that {v} the {x}?",
)

DEEDS = tuple(
    tuple(line.split())
    for line in (
        "left leave left",
        "found find found",
        "brought bring brought",
        "bought buy bought",
        "sold sell sold",
        "borrowed borrow borrowed",
        "fixed fix fixed",
        "painted paint painted",
        "lost lose lost",
        "delivered deliver delivered",
        "made make made",
        "took take taken",
        "broke break broken",
        "cleaned clean cleaned",
        "stole steal stolen",
        "hid hide hidden",
        "repaired repair repaired",
        "returned return returned",
        "ordered order ordered",
        "packed pack packed",
        "moved move moved",
        "wrapped wrap wrapped",
        "left leave left",
        "dropped drop dropped",
    )
)
HAPPENS = tuple(tuple(line.split()) for line in ("starts start", "begins begin", "ends end", "starts start", "finishes finish"))
OPENS = tuple(tuple(line.split()) for line in ("opens open", "closes close", "opens open"))
MOVES = tuple(tuple(line.split()) for line in ("leaves leave", "arrives arrive", "departs depart"))
RUNS = tuple(
    tuple(line.split())
    for line in ("runs run", "manages managed", "owns owned", "cleans cleaned", "guards guarded", "leads led", "heads headed", "keeps kept")
)
LINKS = ("ferry", "train", "bus", "night train", "last bus", "tram", "boat", "plane", "shuttle", "first train", "express")
IS_WHERE = (
    "the {x} is {w}.",
    "the {x} is {w}.",
    "you [will|can] find the {x} {w}.",
    "the {x} is [kept|stored|hidden|placed] {w}.",
    "we [keep|store] the {x} {w}.",
    "look for the {x} {w}.",
    "the {x} [lies|stands|hangs|sits|was put|was placed] {w}.",
    "{w} you will find the {x}.",
    "someone put the {x} {w}.",
    "the {x} can be found {w}.",
    "at the moment the {x} is {w}.",
    "the {x} now stands {w}.",
    "there is a {x} {w}.",
    "{w} there is a {x}.",
)
FILLERS = (
    "please read this carefully.",
    "the weather was fine that day.",
    "nothing else was reported.",
    "all times are local.",
    "this page was updated last week.",
    "ask at the desk if something is unclear.",
    "visitors are welcome.",
    "it had rained all night.",
    "the rest stays as it was.",
    "thank you for your help.",
    "everyone was pleased.",
    "more will be said later.",
    "keep this note.",
    "the list is not complete.",
    "the old rules still hold.",
    "nobody complained.",
    "the dog barked once.",
    "it was a long day.",
    "this is a short report.",
    "the staff know about it.",
    "{n} was there too.",
    "{n} and {m} talked for an hour.",
    "{n} lives in {c}.",
    "{n} asked for tea.",
)
