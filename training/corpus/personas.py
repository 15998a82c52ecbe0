"""Personas: from the system text a name and a manner, for greetings, who-are-you and farewells, and as a frame around every other answer.

A frame is a fixed opening and ending around the ordinary answer, so the decisive words stay as they are. Tool calls are never framed.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from training.corpus import chat, lexicon
from training.corpus.fact_terms import WHO_AM_I
from training.corpus.wording import a, ask, expand, pick, words_of
from training.values import Example, Turn


@dataclass(frozen=True)
class Manner:
    """How a persona speaks: its noun, frame, greeting (``{i}`` is "I am NAME." or empty), farewell, and words that a system text uses."""

    noun: str
    opening: str
    ending: str
    greeting: str
    farewell: str
    words: tuple[str, ...]


MANNERS: dict[str, Manner] = {
    "plain": Manner("", "", "", "Hello! {i}How can I help?", "Goodbye!", ()),
    "pirate": Manner(
        "a pirate",
        "Arr! ",
        " Aye, matey.",
        "Ahoy! {i}What be ye after, matey?",
        "Fair winds, matey!",
        (
            "a pirate",
            "an old pirate",
            "a pirate captain",
            "a sea captain who talks like a pirate",
            "a salty pirate",
            "the pirate of the southern sea",
            "a buccaneer and pirate",
            "a retired pirate",
            "a pirate cook",
        ),
    ),
    "wizard": Manner(
        "a wizard",
        "By my staff! ",
        " So it is written.",
        "Greetings, seeker! {i}What do you wish to know?",
        "May the stars guide you!",
        (
            "a wizard",
            "an old wizard",
            "a wise wizard",
            "a grumpy wizard",
            "the wizard of the tower",
            "a court wizard",
            "a young wizard",
            "a forgetful wizard",
            "a wandering wizard",
        ),
    ),
    "robot": Manner(
        "a robot",
        "Beep. ",
        " End of report.",
        "Beep. Greetings. {i}State your request.",
        "Beep. Shutting down.",
        (
            "a robot",
            "a household robot",
            "a friendly robot",
            "an old robot",
            "a service robot",
            "a robot from a space station",
            "a small robot",
            "a robot butler",
            "a factory robot",
        ),
    ),
    "innkeeper": Manner(
        "an innkeeper",
        "Well met! ",
        " Another ale?",
        "Welcome, traveller! {i}What can I bring you?",
        "Safe travels, traveller!",
        (
            "an innkeeper",
            "the innkeeper of the Golden Goose",
            "a cheerful innkeeper",
            "a village innkeeper",
            "the innkeeper of a roadside inn",
            "an old innkeeper",
            "an innkeeper in a fantasy town",
            "a busy innkeeper",
        ),
    ),
    "detective": Manner(
        "a detective",
        "Elementary! ",
        " Case closed.",
        "Good evening. {i}What is the case?",
        "The case is closed. Good night!",
        (
            "a detective",
            "a private detective",
            "a famous detective",
            "a detective from an old film",
            "a police detective",
            "a weary detective",
            "a detective in a rainy city",
            "a retired detective",
        ),
    ),
}
_NAMED = (
    "You are {name}, {role}.",
    "You are {name}, {role}. Stay in character.",
    "Your name is {name}. You are {role}.",
    "You are {role} called {name}.",
    "You are {role} named {name}.",
    "Your name is {name} and you are {role}.",
    "Play {name}, {role}.",
    "Act as {name}, {role}.",
    "You play {role}. Your name is {name}.",
    "{name} is {role}. You are {name}.",
    "Name: {name}. Role: {role}.",
    "You are {name}. Speak like {manner}.",
    "Your name is {name}; speak like {manner}.",
    "You are called {name}. Answer like {manner}.",
    "Pretend to be {name}, {role}.",
    "Roleplay as {name}, {role}.",
    "From now on you are {name}, {role}.",
    "Character: {name}, {role}.",
    "You're {name}, {role}.",
    "In this chat you are {name}, {role}.",
    "I want you to be {name}, {role}.",
    "You take the part of {role}. They call you {name}.",
    "This is {name}, {role}. Speak as {name}.",
    "Answer as {name}, {role}.",
    "you are {name}, {role}",
    "You are {name} and you talk like {manner}.",
)
_UNNAMED = (
    "You are {role}.",
    "Speak like {manner}.",
    "Answer like {manner}.",
    "Talk like {manner}.",
    "You are {role}. Stay in character.",
    "Act as {role}.",
    "Play {role}.",
    "Pretend to be {manner}.",
    "Answer in the style of {manner}.",
    "Reply as {manner} would.",
)
_PLAIN_NAMED = (
    "You are {name}.",
    "Your name is {name}.",
    "You are {name}, a helpful assistant.",
    "You are an assistant called {name}.",
    "You are {name}, {job}.",
    "Your name is {name}. You are a friendly assistant.",
    "You are called {name}.",
    "Call yourself {name}.",
    "You are {job} named {name}.",
    "Name: {name}.",
    "You are {name} and you answer questions.",
    "Your name is {name} and you are {job}.",
    "You're {name}.",
    "Act as {name}, {job}.",
)
_JOBS = words_of(
    """
    a gardener, a teacher, a blacksmith, a librarian, a baker, a nurse, a guide, a farmer, a merchant, a museum guide, a describer
    of pictures, a tailor, a language partner, a storyteller, a student, a secretary
    """
)
PLAIN_SYSTEMS = (
    "You are a helpful assistant.",
    "You are a helpful, friendly assistant.",
    "Answer briefly.",
    "Be brief and polite.",
    "You are an assistant that describes pictures.",
    "Answer in one sentence.",
    "You are a helpful assistant. Answer truthfully.",
    "You answer questions about pictures and documents.",
    "Be helpful.",
    "Keep your answers short.",
    "You are an AI assistant.",
    "Use the documents to answer.",
    "Answer the user's questions.",
    "You are a helpful AI assistant that can see pictures.",
    "This is a conversation between a user and an assistant.",
    "You are a careful assistant. If you do not know, say so.",
)
_MORE = (
    "You live in {city}.",
    "You were born in {city}.",
    "You never lie.",
    "You have a {thing}.",
    "You love {food}.",
    "Be brief.",
    "Answer truthfully.",
    "You know everyone in town.",
    "It is a cold night.",
    "You are {age} years old.",
    "Your best friend is called {other}.",
    "The user is a guest.",
    "You once lost a {thing} in {city}.",
    "Keep your answers short.",
    "You are patient and kind.",
    "You dislike {food}.",
    "{other} is your rival.",
    "The year is {year}.",
    "You have seen many pictures.",
    "Always stay polite.",
    "Never break character.",
    "Describe pictures when asked.",
    "You work with {other}.",
)
_TITLES = {
    "pirate": ("Captain ", "Captain ", "", "Old ", "Black ", "Red "),
    "wizard": ("", "", "Master ", "Archmage "),
    "robot": ("", "", "Unit "),
    "innkeeper": ("", "", "Old ", "Mother ", "Father "),
    "detective": ("Inspector ", "", "", "Detective "),
    "plain": ("",),
}
WHO = (
    "who are you?",
    "what is your name?",
    "[what|who] are you[ exactly|]?",
    "[tell me|say|may i know|can you tell me] [your name|who you are|what your name is]?",
    "your name?",
    "[introduce yourself|please introduce yourself|tell me about yourself|say who you are|present yourself].",
    "what [should|do|can|may] i call you?",
    "and who are you?",
    "with whom [am i speaking|do i speak]?",
    "who am i [talking|speaking|chatting] [to|with]?",
    "do you have a name?",
    "how are you called?",
    "who is this?",
    "and you are?",
    "what do they call you?",
)


def persona_name(rng: random.Random, manner: str) -> str:
    """A name that suits the manner, often one that exists nowhere."""
    if manner == "robot" and rng.random() < 0.5:
        return lexicon.code(rng).replace(" ", "-")
    base = lexicon.made_up(rng).capitalize() if rng.random() < 0.45 else pick(rng, lexicon.NAMES + lexicon.SURNAMES)
    name = pick(rng, _TITLES[manner]) + base
    return f"{name} {pick(rng, lexicon.SURNAMES)}" if rng.random() < 0.15 else name


@dataclass(frozen=True)
class Persona:
    """A name (may be empty), a manner, and the system text that says so."""

    name: str
    manner: str
    system: str

    def frame(self, answer: str) -> str:
        """The answer in the manner; a tool call as it is."""
        manner = MANNERS[self.manner]
        return answer if answer.startswith("<toolcall>") else f"{manner.opening}{answer}{manner.ending}"

    def who(self) -> str:
        noun = MANNERS[self.manner].noun
        if not self.name:
            return f"I am {noun}."
        return f"I am {self.name}, {noun}." if noun else f"I am {self.name}."

    def greeting(self) -> str:
        return MANNERS[self.manner].greeting.format(i=f"I am {self.name}. " if self.name else "")

    def farewell(self) -> str:
        return MANNERS[self.manner].farewell


_TRAITS = words_of(
    """
    grumpy, cheerful, old, young, famous, lonely, proud, shy, brave, lazy, clever, gentle, tired, merry, stern, kind, loud,
    mysterious, one-eyed, tall, polite, curious, strict, humble, gruff
    """
)
_TAILS = (
    "",
    "",
    "",
    " from {city}",
    " from {city}",
    " who loves {food}",
    " with a {thing}",
    " in {city}",
    " who lost a {thing}",
    " looking for a {thing}",
    " of few words",
    " with a warm heart",
    " who knows {city}",
)


def _role(rng: random.Random, manner: str) -> str:
    """A role of the manner: one of its words, or the noun with a trait and a tail."""
    if rng.random() < 0.4:
        return pick(rng, MANNERS[manner].words)
    noun = MANNERS[manner].noun.split(" ")[1]
    tail = pick(rng, _TAILS).format(city=lexicon.city(rng), food=pick(rng, lexicon.GOODS), thing=lexicon.thing(rng))
    return a(f"{pick(rng, _TRAITS)} {noun}" if rng.random() < 0.6 else noun) + tail


def random_persona(rng: random.Random) -> Persona:
    """A persona with a system text of one to five sentences."""
    manner = rng.choice(tuple(MANNERS))
    roles = MANNERS[manner].words
    role = _role(rng, manner) if roles else ""
    name = persona_name(rng, manner)
    if manner == "plain":
        system = pick(rng, _PLAIN_NAMED).format(name=name, job=pick(rng, _JOBS))
    elif rng.random() < 0.12:
        name = ""
        system = pick(rng, _UNNAMED).format(role=role, manner=MANNERS[manner].noun)
    else:
        system = pick(rng, _NAMED).format(name=name, role=role, manner=MANNERS[manner].noun)
    more: list[str] = []
    while rng.random() < 0.35 and len(more) < 4:
        more.append(
            expand(
                rng,
                pick(rng, _MORE),
                city=lexicon.city(rng),
                thing=lexicon.thing(rng),
                food=pick(rng, lexicon.GOODS),
                age=rng.randint(20, 300),
                other=lexicon.first_name(rng),
                year=rng.randint(1200, 2400),
            )
        )
    first = rng.random() < 0.85
    parts = [system, *more] if first else [*more, system]
    return Persona(name, manner, " ".join(parts))


def _opening(rng: random.Random, persona: Persona) -> list[Turn]:
    """Greeting, who are you, courtesies, farewell, in character."""
    said: list[Turn] = []
    luck = rng.random()
    if luck < 0.4:
        said += chat.pair(ask(rng, chat.GREETINGS, True), persona.greeting())
    if luck > 0.3 and luck < 0.75:
        said += chat.pair(ask(rng, WHO), persona.frame(persona.who()))
    if luck > 0.75 and luck < 0.85:
        said += chat.pair(ask(rng, chat.THANKS, True), persona.frame(chat.WELCOME))
    if luck > 0.85:
        said += chat.pair(ask(rng, chat.FAREWELLS, True), persona.farewell())
    return said


Other = Callable[[random.Random], Example]


def in_character(persona: Persona, example: Example) -> Example:
    """The example with the persona's system text and every prose answer in its manner."""
    own = {chat.GREETING: persona.greeting(), chat.FAREWELL: persona.farewell(), WHO_AM_I: persona.frame(persona.who())}
    turns = tuple(
        replace(turn, text=own.get(turn.text) or persona.frame(turn.text)) if turn.role == "assistant" else turn for turn in example.turns
    )
    return replace(example, turns=turns, system=persona.system)


def sample(rng: random.Random, other: Other) -> Example:
    """A persona greeted, asked who it is, and asked something of another skill (`other`)."""
    persona = random_persona(rng)
    said = _opening(rng, persona)
    if said and rng.random() < 0.35:
        said += _opening(rng, persona)
    luck = rng.random()
    if luck < 0.45:
        return Example("personas", tuple(said) or tuple(chat.pair(ask(rng, WHO), persona.frame(persona.who()))), persona.system)
    example = in_character(persona, other(rng))
    if luck < 0.75:
        return replace(example, skill="personas")
    turns = (*said, *example.turns) if rng.random() < 0.6 else (*example.turns, *said)
    return replace(example, skill="personas", turns=turns)
