"""Questions about one picture, and the one answer that is right for each.

An answer has one form per kind of question (`answers`), so that a small model spends nothing on style. Duplicates (two circles, say) are
listed with their places; what is not there is said to be not there. Pictures outside the domain get one fixed sentence.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from training.corpus import picture_words as words
from training.corpus.wording import a, ask, listed, pick
from training.values import BACKGROUNDS, COLOURS, KINDS, PLACES, Example, Other, Picture, Scene, Shape, Turn, Writing

NO_PICTURE = "There is no picture in our conversation yet. Drag one in or use /image PATH."
TOO_SMALL_TO_READ = "There is writing in the picture, but I am too small a model to read it."
OUTSIDE = "I only know pictures of simple flat shapes, and this is something else. Load a real model with nemochat models add PATH."

COLOUR_NAMES = tuple(COLOURS)
BACKGROUND_NAMES = tuple(BACKGROUNDS)
_PLACE_WORDS = {
    "top left": (
        "top left",
        "top left",
        "top left",
        "upper left",
        "top left corner",
        "top-left",
        "upper left corner",
        "left top",
        "top left quadrant",
    ),
    "top right": (
        "top right",
        "top right",
        "top right",
        "upper right",
        "top right corner",
        "top-right",
        "upper right corner",
        "right top",
        "top right quadrant",
    ),
    "bottom left": (
        "bottom left",
        "bottom left",
        "bottom left",
        "lower left",
        "bottom left corner",
        "bottom-left",
        "lower left corner",
        "left bottom",
        "bottom left quadrant",
    ),
    "bottom right": (
        "bottom right",
        "bottom right",
        "bottom right",
        "lower right",
        "bottom right corner",
        "bottom-right",
        "lower right corner",
        "right bottom",
        "bottom right quadrant",
    ),
}
Question = tuple[str, str]
"""A user's words and the answer to them."""


def random_scene(rng: random.Random, n_shapes: int | None = None, unique: bool = False) -> Scene:
    """A scene of `n_shapes` (1 to 4, drawn at random when not given) shapes; `unique` forbids a colour or kind twice."""
    if n_shapes is None:
        n_shapes = rng.choices((1, 2, 3, 4), (0.3, 0.28, 0.25, 0.17))[0]
    places = sorted(rng.sample(range(4), n_shapes))
    if unique or rng.random() < 0.55:
        colours, kinds = rng.sample(COLOUR_NAMES, n_shapes), rng.sample(KINDS, n_shapes)
    else:
        colours = [pick(rng, COLOUR_NAMES) for _ in places]
        kinds = [pick(rng, KINDS) for _ in places]
    shapes = tuple(Shape(colour, kind, PLACES[place]) for colour, kind, place in zip(colours, kinds, places, strict=True))
    return Scene(pick(rng, BACKGROUND_NAMES), shapes)


def spoken_colour(rng: random.Random, name: str) -> str:
    """A colour or background as a user may spell it."""
    return name.replace("gray", "grey") if "gray" in name and rng.random() < 0.5 else name


def plural(noun: str) -> str:
    return noun + ("es" if noun.endswith("s") else "s")


def found(scene: Scene, colour: str = "", kind: str = "") -> list[Shape]:
    """The shapes of that colour and kind; an empty word matches all."""
    return [shape for shape in scene.shapes if colour in ("", shape.colour) and kind in ("", shape.kind)]


def _where_each(shapes: list[Shape], *, say: Callable[[Shape], str]) -> str:
    return listed([f"{say(shape)} in the {shape.place}" for shape in shapes])


def describe(scene: Scene) -> str:
    text = _where_each(list(scene.shapes), say=lambda shape: a(f"{shape.colour} {shape.kind}"))
    return f"{text[0].upper()}{text[1:]} on a {scene.background} background."


def colour_of(scene: Scene, kind: str) -> str:
    shapes = found(scene, kind=kind)
    if not shapes:
        return f"There is no {kind} in the picture."
    if len(shapes) == 1:
        return f"The {kind} is {shapes[0].colour}."
    return f"There are {len(shapes)} {plural(kind)}: {_where_each(shapes, say=lambda shape: a(shape.colour + ' one'))}."


def shape_of(scene: Scene, colour: str) -> str:
    shapes = found(scene, colour=colour)
    if not shapes:
        return f"There is no {colour} shape in the picture."
    if len(shapes) == 1:
        return f"The {colour} shape is a {shapes[0].kind}."
    return f"There are {len(shapes)} {colour} shapes: {_where_each(shapes, say=lambda shape: a(shape.kind))}."


def where_is(scene: Scene, colour: str, kind: str) -> str:
    """Where the shape of that colour (may be empty) and kind (may be empty) is."""
    shapes = found(scene, colour, kind)
    name = f"{colour} {kind or 'shape'}".strip()
    if not shapes:
        return f"There is no {name} in the picture."
    if len(shapes) == 1:
        return f"The {name} is in the {shapes[0].place}."
    if not colour:
        return colour_of(scene, kind)
    if not kind:
        return shape_of(scene, colour)
    return f"There are {len(shapes)} {colour} {plural(kind)}: {_where_each(shapes, say=lambda shape: 'one')}."


def count(number: int, noun: str, nouns: str) -> str:
    return f"There is 1 {noun}." if number == 1 else f"There are {number} {nouns}."


def is_there(scene: Scene, colour: str, kind: str) -> str:
    name = f"{colour} {kind or 'shape'}".strip()
    return f"Yes, there is {a(name)}." if found(scene, colour, kind) else f"No, there is no {name}."


def at_place(scene: Scene, place: str) -> str:
    for shape in scene.shapes:
        if shape.place == place:
            return f"There is {a(f'{shape.colour} {shape.kind}')} in the {place}."
    return f"There is nothing in the {place}."


def _once(items: list[str]) -> list[str]:
    return list(dict.fromkeys(items))


# Each maker below returns one question about the scene with its answer.


def _describe(rng: random.Random, scene: Scene) -> Question:
    return ask(rng, words.DESCRIBE), describe(scene)


def _colour(rng: random.Random, scene: Scene) -> Question:
    if len(scene.shapes) == 1 and rng.random() < 0.3:
        return ask(rng, words.ITS_COLOUR), colour_of(scene, scene.shapes[0].kind)
    kind = _a_kind(rng, scene, 0.88)
    return ask(rng, words.COLOUR_OF_KIND, kind=kind), colour_of(scene, kind)


def _shape(rng: random.Random, scene: Scene) -> Question:
    if len(scene.shapes) == 1 and rng.random() < 0.3:
        return ask(rng, words.ITS_KIND), shape_of(scene, scene.shapes[0].colour)
    colour = _a_colour(rng, scene, 0.88)
    return ask(rng, words.SHAPE_OF_COLOUR, colour=colour), shape_of(scene, colour)


def _a_kind(rng: random.Random, scene: Scene, present: float) -> str:
    return rng.choice(scene.shapes).kind if rng.random() < present else pick(rng, KINDS)


def _a_colour(rng: random.Random, scene: Scene, present: float) -> str:
    return rng.choice(scene.shapes).colour if rng.random() < present else pick(rng, COLOUR_NAMES)


def _count(rng: random.Random, scene: Scene) -> Question:
    luck = rng.random()
    if luck < 0.7:
        return ask(rng, words.COUNT), count(len(scene.shapes), "shape", "shapes")
    if luck < 0.75:
        number = len(scene.shapes) if rng.random() < 0.5 else rng.randint(2, 4)
        yes = "Yes" if len(scene.shapes) == number else "No"
        spoken = rng.choice((str(number), ("one", "two", "three", "four")[number - 1]))
        if number > 1:
            return ask(rng, words.ARE_THERE_NUMBER, number=spoken), f"{yes}, t{count(len(scene.shapes), 'shape', 'shapes')[1:]}"
    if luck < 0.78:
        number = rng.randint(1, 3)
        yes = "Yes" if len(scene.shapes) > number else "No"
        answer = count(len(scene.shapes), "shape", "shapes")
        return ask(rng, words.MORE_THAN, number=rng.choice((str(number), ("one", "two", "three")[number - 1]))), f"{yes}, t{answer[1:]}"
    if luck < 0.9:
        kind = _a_kind(rng, scene, 0.8)
        number = len(found(scene, kind=kind))
        return ask(rng, words.COUNT_SOME, things=plural(kind)), count(number, kind, plural(kind))
    colour = _a_colour(rng, scene, 0.8)
    return ask(rng, words.COUNT_COLOUR, colour=colour), count(len(found(scene, colour)), f"{colour} shape", f"{colour} shapes")


def _near_miss(rng: random.Random, scene: Scene) -> tuple[str, str]:
    """A colour and a kind that are not together in the scene, more often than not each there on its own."""
    for _ in range(20):
        colour, kind = _a_colour(rng, scene, 0.65), _a_kind(rng, scene, 0.65)
        if not found(scene, colour, kind):
            return colour, kind
    raise AssertionError("four shapes cannot hold every colour and kind")


def _yes_no(rng: random.Random, scene: Scene) -> Question:
    luck = rng.random()
    shape = rng.choice(scene.shapes)
    if luck < 0.5:
        colour, kind = (shape.colour, shape.kind) if rng.random() < 0.5 else _near_miss(rng, scene)
        thing = f"{colour} {kind}"
        return ask(rng, words.IS_THERE, thing=thing, a_thing=a(thing), things=plural(thing)), is_there(scene, colour, kind)
    if luck < 0.65:
        kind = _a_kind(rng, scene, 0.3)
        return ask(rng, words.IS_THERE, thing=kind, a_thing=a(kind), things=plural(kind)), is_there(scene, "", kind)
    if luck < 0.77:
        colour = _a_colour(rng, scene, 0.35)
        return ask(rng, words.IS_ANY_COLOUR, colour=colour), is_there(scene, colour, "")
    if luck < 0.93:
        return _is_it(rng, scene, shape)
    background = scene.background if rng.random() < 0.5 else pick(rng, BACKGROUND_NAMES)
    spoken = spoken_colour(rng, background)
    yes = "Yes" if background == scene.background else "No"
    return ask(rng, words.IS_BACKGROUND, background=spoken, a_background=a(spoken)), f"{yes}, the background is {scene.background}."


def _is_it(rng: random.Random, scene: Scene, shape: Shape) -> Question:
    """Is the circle red, is the red shape a circle, is it in the top left: of shapes that are the only one of their kind or colour."""
    if rng.random() < 0.25 and len(found(scene, kind=shape.kind)) == 1:
        place = shape.place if rng.random() < 0.5 else pick(rng, PLACES)
        yes = "Yes" if place == shape.place else "No"
        return ask(
            rng, words.IS_AT, thing=shape.kind, place=pick(rng, _PLACE_WORDS[place])
        ), f"{yes}, the {shape.kind} is in the {shape.place}."
    if rng.random() < 0.6 and len(found(scene, kind=shape.kind)) == 1:
        colour = shape.colour if rng.random() < 0.5 else _a_colour(rng, scene, 0.4)
        yes = "Yes" if colour == shape.colour else "No"
        return ask(rng, words.IS_KIND_COLOUR, kind=shape.kind, colour=colour), f"{yes}, the {shape.kind} is {shape.colour}."
    if len(found(scene, colour=shape.colour)) == 1:
        kind = shape.kind if rng.random() < 0.5 else _a_kind(rng, scene, 0.4)
        yes = "Yes" if kind == shape.kind else "No"
        question = ask(rng, words.IS_COLOUR_KIND, colour=shape.colour, a_kind=a(kind))
        return question, f"{yes}, the {shape.colour} shape is a {shape.kind}."
    return _background(rng, scene)


def _where(rng: random.Random, scene: Scene) -> Question:
    luck = rng.random()
    shape = rng.choice(scene.shapes)
    if len(scene.shapes) == 1 and luck < 0.2:
        return ask(rng, words.ITS_PLACE), where_is(scene, "", shape.kind)
    if luck < 0.55:
        colour, kind = "", _a_kind(rng, scene, 0.88)
    elif luck < 0.85:
        colour, kind = (shape.colour, shape.kind) if rng.random() < 0.8 else _near_miss(rng, scene)
    else:
        colour, kind = _a_colour(rng, scene, 0.85), ""
    thing = f"{colour} {kind or rng.choice(('shape', 'shape', 'one', 'thing', 'object', 'figure'))}".strip()
    return ask(rng, words.WHERE, thing=thing), where_is(scene, colour, kind)


def _background(rng: random.Random, scene: Scene) -> Question:
    return ask(rng, words.BACKGROUND), f"The background is {scene.background}."


def _at_place(rng: random.Random, scene: Scene) -> Question:
    luck = rng.random()
    shape = rng.choice(scene.shapes)
    place = shape.place if luck < 0.7 else pick(rng, PLACES)
    spoken = pick(rng, _PLACE_WORDS[place])
    if luck < 0.25:
        return ask(rng, words.COLOUR_AT_PLACE, place=spoken), at_place(scene, place)
    if luck < 0.6 or luck > 0.85:
        return ask(rng, words.AT_PLACE, place=spoken), at_place(scene, place)
    return ask(rng, words.IS_AT_PLACE, place=spoken), at_place(scene, place)


def _lists(rng: random.Random, scene: Scene) -> Question:
    colours = _once([shape.colour for shape in scene.shapes])
    if rng.random() < 0.1:
        return ask(rng, words.COLOUR_COUNT), count(len(colours), "colour", "colours")
    if rng.random() < 0.5:
        answer = f"The only colour is {colours[0]}." if len(colours) == 1 else f"The colours are {listed(colours)}."
        return ask(rng, words.COLOURS), answer
    kinds = [a(shape.kind) for shape in scene.shapes]
    answer = f"The only shape is {kinds[0]}." if len(kinds) == 1 else f"The shapes are {listed(kinds)}."
    return ask(rng, words.KINDS), answer


def _follow_up(rng: random.Random, scene: Scene) -> list[Question]:
    """A question about one shape, then "and the star?": the same question about another."""
    luck = rng.random()
    first = rng.choice(scene.shapes).kind
    second = _a_kind(rng, scene, 0.85)
    if luck < 0.5:
        return [
            (ask(rng, words.COLOUR_OF_KIND, kind=first), colour_of(scene, first)),
            (ask(rng, words.AND_THE, thing=second), colour_of(scene, second)),
        ]
    if luck < 0.8:
        question = ask(rng, words.WHERE, thing=first)
        return [(question, where_is(scene, "", first)), (ask(rng, words.AND_THE, thing=second), where_is(scene, "", second))]
    colours = rng.choice(scene.shapes).colour, _a_colour(rng, scene, 0.85)
    question = ask(rng, words.SHAPE_OF_COLOUR, colour=colours[0])
    return [(question, shape_of(scene, colours[0])), (ask(rng, words.AND_THE, thing=colours[1] + " one"), shape_of(scene, colours[1]))]


Maker = Callable[[random.Random, Scene], Question]
MAKERS: tuple[tuple[Maker, float], ...] = (
    (_describe, 0.15),
    (_colour, 0.16),
    (_shape, 0.16),
    (_count, 0.1),
    (_yes_no, 0.19),
    (_where, 0.16),
    (_background, 0.08),
    (_at_place, 0.05),
    (_lists, 0.03),
)
_FUNCTIONS = tuple(maker for maker, _ in MAKERS)
_WEIGHTS = [sum(weight for _, weight in MAKERS[: i + 1]) for i in range(len(MAKERS))]
_ANY_QUESTION: tuple[tuple[str, ...], ...] = (
    words.DESCRIBE,
    words.COLOUR_OF_KIND,
    words.SHAPE_OF_COLOUR,
    words.COUNT,
    words.IS_THERE,
    words.WHERE,
    words.BACKGROUND,
)


def questions(rng: random.Random, scene: Scene, number: int) -> list[Question]:
    """`number` questions about one scene (one more where a follow-up comes with it), no words twice."""
    asked: dict[str, str] = {}
    while len(asked) < number:
        if number > 1 and len(scene.shapes) > 1 and rng.random() < 0.08:
            pair = _follow_up(rng, scene)
            if not any(question in asked for question, _ in pair):
                asked.update(pair)
            continue
        question, answer = rng.choices(_FUNCTIONS, cum_weights=_WEIGHTS)[0](rng, scene)
        asked.setdefault(question, answer)
    return list(asked.items())


def any_question(rng: random.Random) -> str:
    """A question about some picture, whatever it shows."""
    colour, kind = pick(rng, COLOUR_NAMES), pick(rng, KINDS)
    thing = f"{colour} {kind}" if rng.random() < 0.6 else kind
    templates = _ANY_QUESTION[int(rng.random() * len(_ANY_QUESTION))]
    return ask(rng, templates, kind=kind, colour=colour, thing=thing, a_thing=a(thing), things=plural(thing))


def fixed_answer(picture: Picture) -> str | None:
    """The one answer to every question about a picture outside the domain; None for a scene."""
    match picture:
        case Writing():
            return TOO_SMALL_TO_READ
        case Other():
            return OUTSIDE
        case _:
            return None


READ = (
    "what does it say?",
    "what does the picture say?",
    "[read|can you read|could you read|please read] [the text|it|this|the writing][ in the picture| to me|].",
    "[read|can you read|could you read|please read] [the word|what it says|the picture][ in the picture| to me|].",
    "what [is written|is written there|text is in the picture|word is this|is the text]?",
    "what [is the word|number is this|letters do you see|is written in the picture|is the number]?",
    "[which|what] [word|text|letters|number] [is|are] [in the picture|written here|there]?",
    "[tell me|say] what [is written|it says|the picture says|the text says].",
    "[spell|transcribe|recognise|recognize] the [text|word|writing|letters].",
)


def _odd_turns(rng: random.Random, number: int) -> list[Turn]:
    picture: Picture
    if rng.random() < 0.5:
        picture = Writing("".join(rng.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") for _ in range(rng.randint(1, 6))))
    else:
        picture = Other(rng.randrange(1 << 30))
    turns = []
    for i in range(number):
        words_ = ask(rng, READ) if isinstance(picture, Writing) and rng.random() < 0.6 else any_question(rng)
        turns += [Turn("user", words_, (picture,) if i == 0 else ()), Turn("assistant", fixed_answer(picture) or "")]
    return turns


def turns(rng: random.Random, number: int, n_shapes: int | None = None) -> list[Turn]:
    """A picture with `number` questions, the picture on the first; a few scenes are Writing or Other."""
    if n_shapes is None and rng.random() < 0.05:
        return _odd_turns(rng, min(number, 2))
    scene = random_scene(rng, n_shapes)
    said: list[Turn] = []
    for question, answer in questions(rng, scene, number):
        said += [Turn("user", question, () if said else (scene,)), Turn("assistant", answer)]
    return said


def without_picture(rng: random.Random) -> list[Turn]:
    """A picture question where none was attached."""
    question = ask(rng, READ) if rng.random() < 0.08 else any_question(rng)
    return [Turn("user", question), Turn("assistant", NO_PICTURE)]


def sample(rng: random.Random, stage: int = 1) -> Example:
    """One picture with one to nine questions, or a second picture later in the conversation; stage 0 has one shape."""
    if stage == 0:
        return Example("pictures", tuple(turns(rng, rng.randint(2, 5), 1)))
    number = 1 if rng.random() < 0.25 else rng.randint(3, 9)
    said = turns(rng, number)
    if rng.random() < 0.12:
        said += turns(rng, rng.randint(1, 3))
    return Example("pictures", tuple(said))
