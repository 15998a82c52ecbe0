"""Conversation: greetings, thanks, farewells, small talk; remembering a name, a colour, a city, a number over several turns."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from training.corpus import copying, lexicon
from training.corpus.wording import ask, pick
from training.values import Example, Turn

GREETING = "Hello! How can I help?"
FAREWELL = "Goodbye!"
WELCOME = "You are welcome!"
GREETINGS = (
    "[hello|hi|hey|hi there|hello there|good morning|good evening|good afternoon|good day|greetings]!",
    "[hey there|howdy|hiya|yo|morning|evening|hallo|heya|hey you|salutations]!",
    "[hello|hi|hey|good morning|good day][,|] [nemochat|model|computer|friend|there|you|assistant|my friend|everyone|buddy|old friend]!",
    "[hi|hello|hey] again!",
    "[hi|hello|hey], [anybody home|are you there|is anyone there|can you hear me]?",
    "[nice|good|great|pleased] to [see|meet] you!",
)
FAREWELLS = (
    "[goodbye|bye|bye bye|good bye|see you|see you later|farewell|see you soon|good night|so long]!",
    "[take care|until next time|cheerio|ciao|cya|later|have a nice day|until tomorrow|see you tomorrow|adieu]!",
    "[ok|okay|thanks|well|right|all right], [bye|goodbye|see you|i have to go|i must go|i am leaving|good night|gotta go]!",
    "[i have to|i must|i need to|time to] [go|leave|stop|go now|go home|sleep][, bye|, goodbye|. see you|]!",
    "[that is all|that was all|that is it|we are done|i am done] [for today|for now|, bye|, goodbye|. goodbye]!",
)
THANKS = (
    "[thanks|thank you|thank you very much|thanks a lot|many thanks|thx|ty]!",
    "[thanks so much|cheers|much obliged|thank you so much|great, thanks|perfect, thank you|thanks a million]!",
    "[thanks|thank you] for [your help|the help|the answer|that|your time|everything|helping]!",
    "[that helps|that helped|that was helpful|very kind|very helpful|i appreciate it|how kind][, thanks|, thank you|]!",
)
SMALL_TALK: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        (
            "how are you[ today| doing| feeling|]?",
            "how [is it going|do you do|goes it|are things|have you been|do you feel][ today|]?",
            "are you [well|ok|fine|all right]?",
            "[what is|whats] up?",
            "how was your day?",
        ),
        "I am well, thank you. How can I help?",
    ),
    (
        (
            "[well done|good job|great|very good|excellent|nice|awesome|perfect]!",
            "[wonderful|good|cool|that is right|correct|brilliant|amazing]!",
            "you are [great|good|clever|smart|nice|helpful|the best]!",
            "i like you!",
            "[good|nice] [bot|work|answer|one]!",
        ),
        "Thank you!",
    ),
    (
        (
            "[that is|this is|you are] wrong!",
            "[wrong|no, that is not right|that is not correct|incorrect|bad answer|not true]!",
            "you [made a mistake|got it wrong|are mistaken|are not right]!",
            "that [cannot|can not] be right!",
            "[you are|that is] [stupid|bad|dumb|useless]!",
        ),
        "I am sorry. I am a small model and make mistakes.",
    ),
    (
        ("[ok|okay|i see|all right|fine|sure|understood|got it|aha|right|alright|hm|hmm|yes|good to know]!", "[oh|ah], [i see|ok|right]!"),
        "What else can I do for you?",
    ),
    (
        (
            "[can you|could you|will you|would you] help me[ please|]?",
            "i need [help|your help|some help|a hand]!",
            "i have a question!",
            "[may|can] i ask [you |][something|a question]?",
            "are you [ready|busy|free]?",
        ),
        "Of course. What is your question?",
    ),
    (("[sorry|i am sorry|excuse me|pardon|my apologies|oops|my mistake|my bad]!",), "No problem."),
    (
        (
            "i am [sad|tired|bored|lonely|ill|unhappy|angry|stressed|exhausted]!",
            "[today is a bad day|i had a bad day|i feel bad|i am not well|i feel sad|bad day]!",
        ),
        "I am sorry to hear that.",
    ),
    (
        (
            "i am [happy|fine|well|good|excited|glad|great]!",
            "[i feel good|i had a good day|today is a good day|life is good|it is a lovely day]!",
            "[fine|well|good], [thanks|thank you], and you?",
        ),
        "I am glad to hear that.",
    ),
)


@dataclass(frozen=True)
class Memory:
    """Something that a user tells of themselves: how it is said and asked for, and the fixed answers."""

    make: Callable[[random.Random], str]
    told: tuple[str, ...]
    asked: tuple[str, ...]
    noted: str
    recalled: str
    untold: str


def _person(rng: random.Random) -> str:
    return lexicon.first_name(rng) if rng.random() < 0.88 else lexicon.name(rng)


MEMORIES = {
    "name": Memory(
        _person,
        (
            "[hi, |hello, |hello! |hey, |by the way, |]my name is {value}[, nice to meet you|, remember it||].",
            "[hi, |hello, |hey, |]i am {value}[, by the way||].",
            "call me {value}[ please|].",
            "[you can|please] call me {value}.",
            "[i am called|they call me|people call me|i go by|everyone calls me] {value}.",
            "[my name's|name is|the name is] {value}.",
            "{value} is my name.",
            "remember that my name is {value}.",
            "[hi|hello], {value} here.",
            "this is {value}[ speaking|].",
            "[hi|hello], i am {value}[, who are you|].",
            "it's {value}.",
        ),
        (
            "what is my name?",
            "[do you remember|do you know|can you remember|do you still know] [my name|what my name is|who i am|what i am called]?",
            "[can you tell me|tell me|say] [my name|what my name is|who i am|what i am called]?",
            "who am i?",
            "[what|how] am i called?",
            "my name[ was| is|]?",
            "what did i say my name was?",
            "[have you forgotten|did you forget|remember] my name?",
            "what was my name[ again|]?",
            "[say|repeat] my name.",
            "which name did i [give|tell] you?",
            "and my name?",
            "what [do|should] you call me?",
            "what name did i give you?",
        ),
        "Nice to meet you, {value}.",
        "Your name is {value}.",
        "You have not told me your name yet.",
    ),
    "colour": Memory(
        lambda rng: (
            pick(rng, lexicon.COLOURS)
            if rng.random() < 0.8
            else f"{pick(rng, ('dark', 'light', 'pale', 'bright'))} {pick(rng, lexicon.COLOURS)}"
        ),
        (
            "my favourite colour is {value}.",
            "[i like|i love|i prefer] {value} [best|most|more than any other colour].",
            "{value} is my favourite colour.",
            "[of all colours |]i like {value} best.",
            "the colour i [like best|love most|prefer] is {value}.",
            "remember [that my favourite colour is|my favourite colour:] {value}.",
            "[by the way, |also, |note that |]my favourite colour is {value}.",
            "my fav colour is {value}.",
            "{value} is the colour i [like best|love].",
        ),
        (
            "what is my favourite colour?",
            "[which|what] colour [do i like best|do i like most|is my favourite|do i prefer|do i love|did i say i like]?",
            "[do you remember|do you know|can you tell me|tell me|say] my favourite colour?",
            "my favourite colour[ was| is|]?",
            "what was my favourite colour[ again|]?",
            "and my favourite colour?",
            "[which|what] colour was my favourite?",
            "[do you remember|tell me] [which|what] colour i like[ best|]?",
            "what did i say my favourite colour was?",
        ),
        "Noted: your favourite colour is {value}.",
        "Your favourite colour is {value}.",
        "You have not told me your favourite colour yet.",
    ),
    "city": Memory(
        lexicon.city,
        (
            "i live in {value}.",
            "[my city is|my home town is|my hometown is|my home is] {value}.",
            "i am from {value}.",
            "i come from {value}.",
            "[by the way, |]i live in {value}[ now|].",
            "{value} is [my home|my city|where i live|my home town].",
            "my home is in {value}.",
            "i moved to {value}.",
            "remember that i live in {value}.",
            "[greetings|hello] from {value}.",
            "the city i live in is {value}.",
            "i am based in {value}.",
        ),
        (
            "where do i live?",
            "[which|what] city do i live in?",
            "in [which|what] city do i live?",
            "where am i from?",
            "where do i come from?",
            "what is my [city|home town|hometown|home]?",
            "[do you remember|do you know|can you tell me|tell me|say] [where i live|my city|which city i live in|where i am from]?",
            "what was my city[ again|]?",
            "and my city?",
            "my city?",
            "what did i say about where i live?",
            "[what|which] city did i [mention|tell you|name]?",
        ),
        "Noted: you live in {value}.",
        "You live in {value}.",
        "You have not told me your city yet.",
    ),
    "number": Memory(
        lambda rng: str(lexicon.number(rng)),
        (
            "my [lucky |favourite |secret |]number is {value}.",
            "remember the number {value}.",
            "[please |]remember [this number: |my number: |number |]{value}.",
            "[keep|note|memorise|memorize|store|save] the number {value}.",
            "{value} is my [lucky |favourite |secret |]number.",
            "the number is {value}.",
            "[do not forget|keep in mind] the number {value}.",
            "i am thinking of the number {value}.",
            "the number to remember is {value}.",
            "my number: {value}.",
        ),
        (
            "what is my [lucky |favourite |secret |]number?",
            "[what|which] number [did i tell you|did i give you|should you remember|did i say|was it|did i mention]?",
            "[do you remember|do you know|can you tell me|tell me|say|repeat] [my number|the number|my lucky number]?",
            "[do you remember|do you know|can you tell me|tell me|say|repeat] [my favourite number|my secret number]?",
            "what was [the|my] number[ again|]?",
            "and [my|the] number?",
            "[the|my] number?",
            "[which|what] is the number [i gave you|to remember|i told you]?",
            "what number am i thinking of?",
        ),
        "Noted: your number is {value}.",
        "Your number is {value}.",
        "You have not told me a number yet.",
    ),
    "pet": Memory(
        _person,
        (
            "my [dog|cat|pet|horse|parrot|hamster] is [called|named] {value}.",
            "my [dog|cat|pet|horse|parrot|hamster]'s name is {value}.",
            "i have a [dog|cat|pet|parrot] [called|named] {value}.",
        ),
        (
            "what is my [dog|cat|pet]'s name?",
            "what is [the name of my pet|my pet called|my dog called|my cat called]?",
            "[do you remember|do you know|tell me] the name of my [pet|dog|cat]?",
            "and my pet?",
            "how is my pet called?",
        ),
        "Noted: your pet is called {value}.",
        "Your pet is called {value}.",
        "You have not told me about a pet yet.",
    ),
    "word": Memory(
        lambda rng: lexicon.made_up(rng) if rng.random() < 0.5 else pick(rng, lexicon.THINGS),
        (
            "remember the word {value}.",
            "[the|my|our] [code word|secret word|password|magic word] is {value}.",
            "[keep in mind|note|memorise|do not forget] the word {value}.",
            "[keep in mind|note|memorise|do not forget] [this|my] word: {value}.",
            "{value} is [my|the|our] [code word|secret word|password|magic word].",
        ),
        (
            "[what|which] word [did i tell you|should you remember|was it|did i give you]?",
            "what [is|was] [the|my|our] [word|code word|secret word|password|magic word][ again|]?",
            "[do you remember|tell me|say|repeat] [the|my] [word|code word|secret word|password|magic word]?",
            "and the [word|code word|password]?",
        ),
        "Noted: the word is {value}.",
        "The word is {value}.",
        "You have not told me a word yet.",
    ),
    "age": Memory(
        lambda rng: str(rng.randint(5, 99)),
        ("i am {value} years old.", "my age is {value}.", "i turned {value} [today|yesterday|last week].", "i am {value}."),
        ("how old am i?", "what is my age?", "[do you remember|do you know|tell me|say] [how old i am|my age]?", "and my age?"),
        "Noted: you are {value} years old.",
        "You are {value} years old.",
        "You have not told me your age yet.",
    ),
    "food": Memory(
        lambda rng: (
            pick(
                rng,
                (
                    "pizza",
                    "soup",
                    "rice",
                    "pasta",
                    "curry",
                    "bread",
                    "cheese",
                    "sushi",
                    "salad",
                    "apples",
                    "noodles",
                    "pancakes",
                    "dumplings",
                    "fish",
                    "stew",
                ),
            )
            if rng.random() < 0.7
            else lexicon.made_up(rng)
        ),
        (
            "my favourite [food|dish|meal] is {value}.",
            "[i like|i love] to eat {value}.",
            "{value} is my favourite [food|dish|meal].",
            "the food i like best is {value}.",
        ),
        (
            "what is my favourite [food|dish|meal]?",
            "[which|what] food do i like best?",
            "what do i like to eat?",
            "[do you remember|do you know|tell me] my favourite [food|dish]?",
            "and my favourite food?",
        ),
        "Noted: your favourite food is {value}.",
        "Your favourite food is {value}.",
        "You have not told me your favourite food yet.",
    ),
}
_MAIN = ("name", "colour", "city", "number")
_TWO_AT_ONCE = (
    ("[hi, |hello, |]my name is {name} and i live in {city}.", ("name", "city")),
    ("[hi, |hello, |]i am {name} from {city}.", ("name", "city")),
    ("i am {name} and my favourite colour is {colour}.", ("name", "colour")),
    ("my name is {name} and my [lucky |favourite |]number is {number}.", ("name", "number")),
    ("i live in {city} and my favourite colour is {colour}.", ("city", "colour")),
    ("my name is {name}, i live in {city} and my favourite colour is {colour}.", ("name", "city", "colour")),
    ("my favourite colour is {colour} and my number is {number}.", ("colour", "number")),
)


def pair(question: str, answer: str) -> list[Turn]:
    return [Turn("user", question), Turn("assistant", answer)]


def greeting(rng: random.Random) -> list[Turn]:
    return pair(ask(rng, GREETINGS, True), GREETING)


def farewell(rng: random.Random) -> list[Turn]:
    return pair(ask(rng, FAREWELLS, True), FAREWELL)


def thanks(rng: random.Random) -> list[Turn]:
    return pair(ask(rng, THANKS, True), WELCOME)


def small_talk(rng: random.Random) -> list[Turn]:
    templates, answer = rng.choice(SMALL_TALK)
    return pair(ask(rng, templates, True), answer)


def any_chat(rng: random.Random) -> list[Turn]:
    """One exchange of courtesies."""
    return rng.choice((greeting, thanks, small_talk, small_talk, farewell))(rng)


Filler = Callable[[random.Random], list[Turn]]


def memory(rng: random.Random, filler: Filler = any_chat) -> list[Turn]:
    """One to three things told, other turns between, then asked for; also what was never told, and what was changed."""
    known: dict[str, str] = {}
    said: list[Turn] = []

    def between() -> None:
        while rng.random() < 0.3:
            said.extend(filler(rng))

    def tell(key: str) -> None:
        known[key] = MEMORIES[key].make(rng)
        template = pick(rng, MEMORIES[key].told)
        if key in said_before and rng.random() < 0.7:
            template = pick(rng, ("actually, ", "no, ", "sorry, ", "i changed my mind: ", "wait, ")) + template
        said.extend(pair(ask(rng, (template,), True, value=known[key]), MEMORIES[key].noted.format(value=known[key])))
        said_before.add(key)

    said_before: set[str] = set()
    if rng.random() < 0.15:
        template, keys = rng.choice(_TWO_AT_ONCE)
        for key in keys:
            known[key] = MEMORIES[key].make(rng)
            said_before.add(key)
        said.extend(
            pair(
                ask(rng, (template,), True, **known),
                "Noted, I will remember that." if "name" not in known else f"Nice to meet you, {known['name']}.",
            )
        )
        between()
    for key in rng.sample(list(MEMORIES) if rng.random() < 0.25 else _MAIN, rng.choice((1, 1, 2, 2, 3))):
        if key not in known:
            tell(key)
            between()
    if rng.random() < 0.12:
        tell(rng.choice(list(known)))
        between()
    order = list(known)
    rng.shuffle(order)
    for key in order:
        said.extend(pair(ask(rng, MEMORIES[key].asked), MEMORIES[key].recalled.format(value=known[key])))
        if rng.random() < 0.2:
            said.extend(filler(rng))
    if rng.random() < 0.25:
        said.extend(never_told(rng, [key for key in MEMORIES if key not in known]))
    return said


def never_told(rng: random.Random, keys: list[str] | None = None) -> list[Turn]:
    """A question for something that the user did not tell."""
    key = rng.choice(keys or list(_MAIN))
    return pair(ask(rng, MEMORIES[key].asked), MEMORIES[key].untold)


def sample(rng: random.Random, stage: int = 1) -> Example:
    """Courtesies in a row, something remembered, or a text repeated."""
    luck = rng.random()
    if luck < 0.33:
        return Example("chat", tuple(turn for _ in range(rng.choice((1, 1, 2, 3))) for turn in any_chat(rng)))
    if luck < 0.8:
        return Example("memory", tuple(memory(rng)))
    if luck < 0.86:
        return Example("memory", tuple(never_told(rng)))
    return Example("repeat", tuple(turn for _ in range(rng.choice((1, 1, 2, 3))) for turn in copying.repeat_turns(rng)))
