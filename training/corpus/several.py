"""Two or three pictures: in one message, or a second one later. They are numbered in the order in which they came.

A question about one of them gets the ordinary answer with " in picture N" at its end.
"""

from __future__ import annotations

import random

from training.corpus import pictures
from training.corpus.wording import a, ask, listed, pick
from training.values import COLOURS, KINDS, Example, Scene, Turn

WHICH = (
    "[which|what] picture [has|shows|contains] {a_thing}?",
    "in which picture [is there {a_thing}|is the {thing}|do you see {a_thing}|can you see {a_thing}|is {a_thing}]?",
    "[which|which one|which one of them|which of the pictures] [has|shows|contains|holds|includes] {a_thing}?",
    "[which of them|which of these|which picture] [has|shows|contains|holds|includes] {a_thing}?",
    "where is the {thing}: in [the first|picture 1|the first picture] or [the second|picture 2|the second picture]?",
    "[tell me|say|find out|please say] which [picture|one] [has|shows|contains] {a_thing}.",
    "{a_thing} is in which picture?",
    "[on|in] which of the pictures is {a_thing}?",
    "[find|spot] the picture with {a_thing}.",
    "which has the {thing}?",
    "which picture is the {thing} in?",
    "[which|what] is the [number|one|picture] with {a_thing}?",
    "[the |]picture with {a_thing}?",
    "[is it|is] the first or the second picture that has {a_thing}?",
    "does the first or the second picture [have|show|contain] {a_thing}?",
    "in what picture can {a_thing} be [seen|found]?",
)
ALL_HAVE = (
    "do [they both|both|they all|all|both pictures] [have|show|contain|include] {a_thing}?",
    "do [both of them|all the pictures|all of them|the pictures|the two pictures] [have|show|contain|include] {a_thing}?",
    "is there {a_thing} in [both|all|both pictures|each|each picture]?",
    "is there {a_thing} in [every picture|all the pictures|all of them|both of them|either picture and the other]?",
    "does [each|every|each picture|every picture|each of them] [have|show|contain] {a_thing}?",
    "[have|has] [both|each] [pictures |]got {a_thing}?",
    "can you see {a_thing} in [both|all of them|both pictures|each of them]?",
    "[both|all] [pictures |]have {a_thing}, [right|yes or no|correct]?",
    "{a_thing} in [both|both pictures|all|each]?",
    "[tell me|say|check] [if|whether] [both|both pictures|they all|all] [have|show] {a_thing}.",
    "do you see {a_thing} in [both|each|both pictures|all of them]?",
    "is {a_thing} in [both|all] [of them|pictures|of the pictures]?",
)
_TURN = "in [picture {n}|the {nth} picture|the {nth}|the {nth} one|number {n}|picture number {n}|picture no. {n}]"
COUNT_IN = (
    f"how many shapes [are |are there |do you see |can you see |]{_TURN}?",
    f"how many [things|objects|figures] [are |are there |do you see |]{_TURN}?",
    f"how many {_TURN}?",
    f"[{_TURN}, how many shapes are there|{_TURN} how many shapes do you see]?",
    "how many shapes does [picture {n}|the {nth} picture|the {nth} one|the {nth}] [have|show|contain]?",
    f"count the [shapes|objects|figures] {_TURN}.",
    f"[what is|tell me] the number of shapes {_TURN}?",
    "picture {n}: how many shapes?",
    "and how many [in|on] the {nth}?",
    "shapes in the {nth} picture?",
)
COUNT_ALL = (
    "how many shapes [are there|do you see|are in each picture|does each picture have]?",
    "how many shapes [are in each|are in them|do they have|does each have]?",
    "count the shapes in [each|each picture|both|both pictures|all the pictures|every picture].",
    "how many shapes are in [each|the pictures|each picture|each of them|picture 1 and in picture 2]?",
)
MORE = (
    "which [picture |one |of them |][has|shows|contains] [more|the most] [shapes|objects|figures]?",
    "where are [there |]more shapes?",
    "in which picture are [there |]more shapes?",
    "[which|what] picture has the [highest|largest|greatest] number of shapes?",
    "are there more shapes in the first or in the second picture?",
)
SAME_BACKGROUND = (
    "do they have the same background?",
    "[is the background the same|are the backgrounds the same][ in both| in the pictures|]?",
    "[are the backgrounds equal|do the backgrounds match][ in both| in the pictures|]?",
    "[same background|is it the same background|equal backgrounds]?",
    "do [both|the] pictures have the same background[ colour|]?",
)
DESCRIBE_ALL = (
    "describe [them|both|the pictures|both pictures|each picture|all of them|each of them|the two pictures|all pictures].",
    "what [do you see|is|can you see|is shown] [in|on] [them|both|the pictures|both pictures|each picture|each|these pictures]?",
    "what [do the pictures|do they|do both pictures|do these pictures] show?",
    "what are these?",
)
_OF_ONE = "[ in picture {n}| in the {nth} picture| in the {nth}| in the {nth} one| in picture {n}]"
ONE: dict[str, tuple[str, ...]] = {
    "describe": (
        "describe [picture {n}|the {nth} picture|the {nth}|the {nth} one].",
        "what [is|do you see|can you see] " + "[in picture {n}|in the {nth} picture|in the {nth}|on the {nth} one]?",
        "what does [picture {n}|the {nth} picture|the {nth} one] show?",
    ),
    "colour": (
        f"[what|which] colour is the {{kind}}{_OF_ONE}?",
        f"[what is|tell me|] the colour of the {{kind}}{_OF_ONE}?",
        f"colour of the {{kind}}{_OF_ONE}?",
        "[in picture {n}|in the {nth} picture], [what|which] colour is the {kind}?",
    ),
    "shape": (
        f"[what|which] shape is {{colour}}{_OF_ONE}?",
        f"what is the {{colour}} [shape|thing|one]{_OF_ONE}?",
        "[in picture {n}|in the {nth} picture], [what|which] shape is {colour}?",
    ),
    "there": (
        f"is there {{a_thing}}{_OF_ONE}?",
        f"[do|can] you see {{a_thing}}{_OF_ONE}?",
        "does [picture {n}|the {nth} picture|the {nth} one|the {nth}] [have|show|contain] {a_thing}?",
    ),
    "where": (
        f"where is the {{kind}}{_OF_ONE}?",
        "[in picture {n}|in the {nth} picture], where is the {kind}?",
        f"[what is|tell me] the [position|place] of the {{kind}}{_OF_ONE}?",
    ),
    "background": (
        "[what is|which is|tell me] the background [of picture {n}|of the {nth} picture|of the {nth}|of the {nth} one|in the {nth}]?",
        "[what|which] [colour is the background|background has] [of |in |][picture {n}|the {nth} picture|the {nth} one]?",
        "background of [picture {n}|the {nth}|the {nth} picture]?",
    ),
}
_ORDINALS = ("first", "second", "third")


def _thing(rng: random.Random, scenes: list[Scene]) -> tuple[str, str]:
    """A colour and kind to ask for, mostly of a shape in one of the scenes; now and then only one of the two."""
    if rng.random() < 0.85:
        shape = rng.choice(rng.choice(scenes).shapes)
        colour, kind = shape.colour, shape.kind
    else:
        colour, kind = pick(rng, tuple(COLOURS)), pick(rng, KINDS)
    luck = rng.random()
    return ("", kind) if luck < 0.25 else (colour, "") if luck < 0.35 else (colour, kind)


def _scenes(rng: random.Random, number: int) -> list[Scene]:
    """Scenes that share a shape more often than chance would have it."""
    scenes = [pictures.random_scene(rng, rng.choices((1, 2, 3, 4), (0.4, 0.3, 0.2, 0.1))[0]) for _ in range(number)]
    if rng.random() < 0.5:
        shared = rng.choice(scenes[0].shapes)
        for i in range(1, number):
            if rng.random() < 0.7:
                shapes = list(scenes[i].shapes)
                at = rng.randrange(len(shapes))
                shapes[at] = type(shared)(shared.colour, shared.kind, shapes[at].place)
                scenes[i] = Scene(scenes[i].background, tuple(shapes))
    return scenes


def _names(numbers: list[int]) -> str:
    return f"picture {numbers[0]}" if len(numbers) == 1 else f"pictures {listed([str(number) for number in numbers])}"


def which(scenes: list[Scene], colour: str, kind: str) -> str:
    name = a(f"{colour} {kind or 'shape'}".strip())
    having = [i + 1 for i, scene in enumerate(scenes) if pictures.found(scene, colour, kind)]
    if not having:
        return f"No picture has {name}."
    if len(having) == len(scenes):
        return f"Both pictures have {name}." if len(scenes) == 2 else f"All pictures have {name}."
    subject = _names(having)
    return f"{subject[0].upper()}{subject[1:]} {'has' if len(having) == 1 else 'have'} {name}."


def all_have(scenes: list[Scene], colour: str, kind: str) -> str:
    name = a(f"{colour} {kind or 'shape'}".strip())
    having = [i + 1 for i, scene in enumerate(scenes) if pictures.found(scene, colour, kind)]
    if len(having) == len(scenes):
        return f"Yes, {'both' if len(scenes) == 2 else 'all'} have {name}."
    if not having:
        return f"No, {'neither' if len(scenes) == 2 else 'none'} has {name}."
    return f"No, only {_names(having)} {'has' if len(having) == 1 else 'have'} {name}."


def _in(answer: str, number: int) -> str:
    return f"{answer.removesuffix('.')} in picture {number}."


def _one(rng: random.Random, scenes: list[Scene]) -> tuple[str, str]:
    """A question about one of the pictures."""
    n = rng.randrange(len(scenes))
    scene = scenes[n]
    shape = rng.choice(scene.shapes)
    others = [item for other in scenes for item in other.shapes]
    if rng.random() < 0.2:
        shape = rng.choice(others)
    what = rng.choice(tuple(ONE))
    thing = f"{shape.colour} {shape.kind}"
    question = ask(rng, ONE[what], n=n + 1, nth=_ORDINALS[n], kind=shape.kind, colour=shape.colour, a_thing=a(thing))
    answers = {
        "describe": lambda: pictures.describe(scene),
        "colour": lambda: pictures.colour_of(scene, shape.kind).replace(" in the picture", ""),
        "shape": lambda: pictures.shape_of(scene, shape.colour).replace(" in the picture", ""),
        "there": lambda: pictures.is_there(scene, shape.colour, shape.kind),
        "where": lambda: pictures.where_is(scene, "", shape.kind).replace(" in the picture", ""),
        "background": lambda: f"The background is {scene.background}.",
    }
    answer = answers[what]()
    return question, answer if what == "describe" else _in(answer, n + 1)


def question(rng: random.Random, scenes: list[Scene]) -> tuple[str, str]:
    """A question about several pictures with its answer."""
    luck = rng.random()
    colour, kind = _thing(rng, scenes)
    thing = f"{colour} {kind or 'shape'}".strip()
    counts = [len(scene.shapes) for scene in scenes]
    if luck < 0.28:
        return ask(rng, WHICH, thing=thing, a_thing=a(thing)), which(scenes, colour, kind)
    if luck < 0.5:
        words = ask(rng, ALL_HAVE, thing=thing, a_thing=a(thing))
        if len(scenes) > 2:
            words = words.replace("two pictures", "pictures").replace("both", "all").replace("Both", "All")
        return words, all_have(scenes, colour, kind)
    if luck < 0.66:
        n = rng.randrange(len(scenes))
        return ask(rng, COUNT_IN, n=n + 1, nth=_ORDINALS[n]), _in(pictures.count(counts[n], "shape", "shapes"), n + 1)
    if luck < 0.88:
        return _one(rng, scenes)
    if luck < 0.91:
        parts = [f"{'1 shape' if number == 1 else f'{number} shapes'} in picture {i + 1}" for i, number in enumerate(counts)]
        return ask(rng, COUNT_ALL), f"There {'is' if counts[0] == 1 else 'are'} {listed(parts)}."
    if luck < 0.94 and len(scenes) == 2:
        answer = f"Both pictures have {counts[0]} shape{'s' if counts[0] > 1 else ''}."
        if counts[0] != counts[1]:
            answer = f"Picture {1 if counts[0] > counts[1] else 2} has more shapes."
        return ask(rng, MORE), answer
    if luck < 0.97 and len(scenes) == 2:
        first, second = scenes[0].background, scenes[1].background
        answer = f"Yes, both backgrounds are {first}." if first == second else f"No, picture 1 is {first} and picture 2 is {second}."
        return ask(rng, SAME_BACKGROUND), answer
    return ask(rng, DESCRIBE_ALL), " ".join(f"Picture {i + 1}: {pictures.describe(scene)}" for i, scene in enumerate(scenes))


def turns(rng: random.Random, number: int) -> list[Turn]:
    """Two or three pictures in one message (or the second one a turn later), then questions over them."""
    scenes = _scenes(rng, 2 if rng.random() < 0.78 else 3)
    said: list[Turn] = []
    if rng.random() < 0.2:
        scenes = scenes[:2]
        for scene in scenes:
            first = pictures.questions(rng, scene, 1)[0]
            said += [Turn("user", first[0], (scene,)), Turn("assistant", first[1])]
    asked: dict[str, str] = {}
    while len(asked) < number:
        words_, answer = question(rng, scenes)
        asked.setdefault(words_, answer)
    for words_, answer in asked.items():
        said += [Turn("user", words_, () if said else tuple(scenes)), Turn("assistant", answer)]
    return said


def sample(rng: random.Random, stage: int = 1) -> Example:
    """One to eight questions over several pictures."""
    return Example("several", tuple(turns(rng, 1 if rng.random() < 0.2 else rng.randint(3, 8))))
