"""Draws the demo model's pictures, in as many manners as other people's drawing programs might have."""

from __future__ import annotations

import io
import math
import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from training.values import BACKGROUNDS, COLOURS, KINDS, PLACES, Other, Picture, Scene, Shape, Writing

SIDE = 112
"""Pixels on a side of what the vision tower sees."""

PADDING = (122, 116, 104)
"""The colour around a picture that is not square: CLIP's mean in bytes, as llama.cpp pads."""

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

UNLABELLED = -100
"""The label of what cannot be said of a picture, or lies on a shape's edge."""

LABELS = {"kinds": 4, "colours": 4, "background": 1, "sort": 1, "square": 1, "patch_kinds": 64, "patch_colours": 64}
"""The columns of a picture's labels. Kinds and colours are 0 where nothing is and count from 1 in the order of KINDS and COLOURS;
`sort` is 0 for a scene, 1 for writing, 2 for anything else; `square` says whether the picture's halves may change places."""

Colour = tuple[int, int, int]
Point = tuple[float, float]


@dataclass(frozen=True)
class Disc:
    """Where a shape is on the picture padded to a square: centre and radius as fractions of that square's side."""

    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Drawing:
    """A picture and, for a scene, the discs of its shapes in the scene's order."""

    image: Image.Image
    discs: tuple[Disc, ...] = ()


def random_scene(rng: random.Random, n_shapes: int | None = None) -> Scene:
    """A scene of `n_shapes` (1 to 4, drawn evenly when None); now and then two shapes share a colour or a kind."""
    count = n_shapes or rng.randint(1, len(PLACES))
    shapes: list[Shape] = []
    for index in sorted(rng.sample(range(len(PLACES)), count)):
        colour, kind = rng.choice(list(COLOURS)), rng.choice(KINDS)
        if shapes and rng.random() < 0.1:
            colour = shapes[-1].colour
        if shapes and rng.random() < 0.1:
            kind = shapes[-1].kind
        shapes.append(Shape(colour, kind, PLACES[index]))
    return Scene(rng.choice(list(BACKGROUNDS)), tuple(shapes))


def random_picture(rng: random.Random) -> Picture:
    """Mostly scenes (92 %), with some writing and some pictures outside the domain (4 % each)."""
    draw_of = rng.random()
    if draw_of < 0.04:
        return Writing("".join(rng.choice(LETTERS) for _ in range(rng.randint(1, 6))))
    if draw_of < 0.08:
        return Other(rng.getrandbits(31))
    return random_scene(rng)


def draw(picture: Picture, rng: random.Random) -> Image.Image:
    """The picture at a native size of 64 to 1024 pixels, as an RGB image that may have been through JPEG."""
    return compose(picture, rng).image


def compose(picture: Picture, rng: random.Random) -> Drawing:
    """Like `draw`, with the places of the shapes."""
    side = _native_side(rng)
    if isinstance(picture, Scene):
        drawing = _draw_scene(picture, side, rng)
    elif isinstance(picture, Writing):
        drawing = Drawing(_draw_writing(picture.text, side, rng))
    else:
        drawing = Drawing(_draw_other(side, random.Random(picture.seed)))
    return Drawing(_through_file(drawing.image, rng), drawing.discs)


def to_pixels(image: Image.Image, side: int = SIDE) -> npt.NDArray[np.uint8]:
    """What the model sees, uint8 [side, side, 3]: padded to a centred square, then resized bicubically."""
    longest = max(image.size)
    if image.size != (longest, longest):
        square = Image.new("RGB", (longest, longest), PADDING)
        square.paste(image, ((longest - image.width) // 2, (longest - image.height) // 2))
        image = square
    return np.array(image.convert("RGB").resize((side, side), Image.Resampling.BICUBIC), dtype=np.uint8)


def label(picture: Picture, drawing: Drawing) -> npt.NDArray[np.int8]:
    """The columns of LABELS in one row, int8 [139]."""
    columns = {name: np.full(count, UNLABELLED, np.int8) for name, count in LABELS.items()}
    columns["sort"][:] = sort_of(picture)
    columns["square"][:] = drawing.image.width == drawing.image.height
    if isinstance(picture, Scene):
        for name in ("kinds", "colours", "patch_kinds", "patch_colours"):
            columns[name][:] = 0
        columns["background"][:] = list(BACKGROUNDS).index(picture.background)
        centres = (np.arange(8) + 0.5) / 8
        for shape, disc in zip(picture.shapes, drawing.discs, strict=True):
            place = PLACES.index(shape.place)
            distance = np.hypot(centres[None] - disc.x, centres[:, None] - disc.y).ravel()
            for name, value in (("kinds", 1 + KINDS.index(shape.kind)), ("colours", 1 + list(COLOURS).index(shape.colour))):
                columns[name][place] = value
                patches = columns[f"patch_{name}"]
                patches[(distance < 1.3 * disc.radius + 0.05) & (patches == 0)] = UNLABELLED
                patches[distance < max(disc.radius, 0.08)] = value
    return np.concatenate(list(columns.values()))


def sort_of(picture: Picture) -> int:
    """0 for a scene, 1 for writing, 2 for anything else."""
    return 0 if isinstance(picture, Scene) else 1 if isinstance(picture, Writing) else 2


def draw_batch(rng: random.Random, count: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int8]]:
    """`count` random pictures: pixels uint8 [count, 3, 112, 112] and labels int8 [count, 139]."""
    pixels = np.empty((count, 3, SIDE, SIDE), np.uint8)
    labels = np.empty((count, sum(LABELS.values())), np.int8)
    for index in range(count):
        picture = random_picture(rng)
        drawing = compose(picture, rng)
        pixels[index], labels[index] = to_pixels(drawing.image).transpose(2, 0, 1), label(picture, drawing)
    return pixels, labels


def _native_side(rng: random.Random) -> int:
    which = rng.random()
    if which < 0.20:
        return rng.randint(64, 111)
    if which < 0.40:
        return rng.choice((64, 96, 112, 128, 160, 200, 224, 256))
    if which < 0.92:
        return rng.randint(112, 320)
    return rng.choice((384, 400, 448, 512, 640, 768, 800, 1024, rng.randint(320, 1024)))


def _near(colour: Colour, rng: random.Random) -> Colour:
    """Within 15 of `colour` in each channel, which is what the domain calls the same colour."""
    red, green, blue = (min(255, max(0, value + rng.randint(-15, 15))) for value in colour)
    return red, green, blue


def _through_file(image: Image.Image, rng: random.Random) -> Image.Image:
    """Half of the pictures pass through a JPEG of quality 70 to 100; a PNG would change nothing."""
    if rng.random() < 0.5:
        return image
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=rng.randint(70, 100), subsampling=rng.choice((0, 1, 2, 2)))
    return Image.open(buffer).convert("RGB")


def _draw_scene(scene: Scene, side: int, rng: random.Random) -> Drawing:
    scale = 1 if rng.random() < 0.3 else rng.choice((2, 3, 4)) if side <= 200 else 2 if side <= 512 else 1
    big = side * scale
    background = _near(BACKGROUNDS[scene.background], rng)
    image = Image.new("RGB", (big, big), background)
    pen = ImageDraw.Draw(image)
    manner = rng.choice(("centred", "inside", "inside", "inside", "loose"))
    common = rng.uniform(0.12, 0.21) if rng.random() < 0.25 else None
    discs = []
    for shape in scene.shapes:
        radius = common or rng.uniform(0.118, 0.212)
        slack = {"centred": 0.0, "inside": 0.25 - radius, "loose": 0.27 - radius}[manner]
        x = (0.25 if "left" in shape.place else 0.75) + rng.uniform(-slack, slack)
        y = (0.25 if "top" in shape.place else 0.75) + rng.uniform(-slack, slack)
        _draw_shape(pen, shape.kind, (x * big, y * big), radius * big, _near(COLOURS[shape.colour], rng), rng)
        discs.append(Disc(x, y, radius))
    if scale > 1:
        image = image.reduce(scale) if rng.random() < 0.6 else image.resize((side, side), Image.Resampling.LANCZOS)
    if rng.random() < 0.25:
        image, discs = _widen(image, background, discs, rng)
    return Drawing(image, tuple(discs))


def _widen(image: Image.Image, background: Colour, discs: list[Disc], rng: random.Random) -> tuple[Image.Image, list[Disc]]:
    """The scene in the middle square of a canvas of up to 16:9 or 9:16."""
    side = image.width
    longest = round(side * rng.choice((4 / 3, 3 / 2, 16 / 9, rng.uniform(1.02, 16 / 9))))
    wide = rng.random() < 0.6
    canvas = Image.new("RGB", (longest, side) if wide else (side, longest), background)
    canvas.paste(image, ((canvas.width - side) // 2, (canvas.height - side) // 2))
    ratio = side / longest
    margin = (1 - ratio) / 2
    return canvas, [Disc(margin + ratio * disc.x, margin + ratio * disc.y, ratio * disc.radius) for disc in discs]


def _draw_shape(pen: ImageDraw.ImageDraw, kind: str, centre: Point, radius: float, colour: Colour, rng: random.Random) -> None:
    x, y = centre
    if kind == "circle":
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
        return
    pen.polygon([(x + radius * dx, y + radius * dy) for dx, dy in OUTLINES[kind](rng)], fill=colour)


def _square(rng: random.Random) -> list[Point]:
    half = rng.choice((1.0, math.sqrt(0.5), rng.uniform(0.7, 1.0)))
    return [(-half, -half), (half, -half), (half, half), (-half, half)]


def _triangle(rng: random.Random) -> list[Point]:
    manner = rng.random()
    if manner < 0.35:
        return [(0, -1), (math.sqrt(0.75), 0.5), (-math.sqrt(0.75), 0.5)]
    if manner < 0.65:
        return [(0, -1), (1, 1), (-1, 1)]
    half, base = rng.uniform(0.75, 1.0), rng.uniform(0.5, 1.0)
    return [(0, -1), (half, base), (-half, base)]


def _star(rng: random.Random) -> list[Point]:
    inner = rng.choice((0.382, 0.4, 0.45, 0.5, rng.uniform(0.36, 0.5)))
    spokes = [(inner if index % 2 else 1.0, index * math.pi / 5) for index in range(10)]
    return [(length * math.sin(angle), -length * math.cos(angle)) for length, angle in spokes]


def _cross(rng: random.Random) -> list[Point]:
    arm, end = rng.choice((1 / 3, rng.uniform(0.25, 0.45), rng.uniform(0.25, 0.45))), rng.uniform(0.92, 1.0)
    quarter: list[Point] = [(arm, -end), (arm, -arm), (end, -arm)]
    outline: list[Point] = []
    for _ in range(4):
        outline += quarter
        quarter = [(-y, x) for x, y in quarter]
    return outline


def _heart(rng: random.Random) -> list[Point]:
    """One of four usual hearts: the sine curve, two circles on a triangle, two cubic Beziers, a circle with its sides lifted."""
    outline = rng.choice((_sine_heart, _sine_heart, _circles_heart, _bezier_heart, _lifted_heart))(rng)
    # Programs centre their hearts on the bounding box or not, and fill the radius or nearly.
    if rng.random() < 0.4:
        low, high = min(y for _, y in outline), max(y for _, y in outline)
        outline = [(x, y - (low + high) / 2) for x, y in outline]
    furthest = max(max(abs(x), abs(y)) for x, y in outline)
    size = rng.uniform(0.88, 1.0) / furthest
    return [(x * size, y * size) for x, y in outline]


def _sine_heart(_: random.Random) -> list[Point]:
    angles = [index * 2 * math.pi / 64 for index in range(64)]
    return [
        (16 * math.sin(a) ** 3 / 17, -(13 * math.cos(a) - 5 * math.cos(2 * a) - 2 * math.cos(3 * a) - math.cos(4 * a)) / 17) for a in angles
    ]


def _circles_heart(rng: random.Random) -> list[Point]:
    """The lobes' circles of radius q round (-q, -h) and (q, -h), and the tangents from the tip to them."""
    lobe, tip = rng.uniform(0.46, 0.54), rng.uniform(0.8, 1.0)
    height = rng.uniform(0.25, 0.4)
    away = math.hypot(lobe, tip + height)
    # The tangent from the tip touches the right lobe at this angle (measured at the lobe's centre, y down).
    touch = math.atan2(tip + height, -lobe) - math.acos(min(1.0, lobe / away))
    sweep = [touch + (-math.pi - touch) * index / 24 for index in range(25)]
    right = [(lobe + lobe * math.cos(a), -height + lobe * math.sin(a)) for a in sweep]
    return [(0.0, tip), *right, *[(-x, y) for x, y in reversed(right)]]


def _bezier_heart(rng: random.Random) -> list[Point]:
    dip, tip, shoulder, belly = rng.uniform(0.35, 0.6), rng.uniform(0.85, 1.0), rng.uniform(0.8, 1.15), rng.uniform(1.15, 1.45)
    points = np.array([(0.0, -dip), (0.35 * belly, -dip - shoulder * 0.75), (belly * 1.15, -dip + 0.25), (0.0, tip)])
    right: list[Point] = []
    for index in range(33):
        t = index / 32
        weights = np.array([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3])
        x, y = weights @ points
        right.append((float(x), float(y)))
    return [*right, *[(-x, y) for x, y in reversed(right)]]


def _lifted_heart(rng: random.Random) -> list[Point]:
    """x = sin t, y = cos t + a |sin t|^p: a circle lifted at both sides."""
    lift, power = rng.uniform(0.6, 0.85), rng.uniform(0.6, 0.85)
    angles = [index * 2 * math.pi / 64 for index in range(64)]
    return [(math.sin(a), -(math.cos(a) + lift * abs(math.sin(a)) ** power) + 0.25) for a in angles]


OUTLINES: dict[str, Callable[[random.Random], list[Point]]] = {
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "heart": _heart,
    "cross": _cross,
}


def _draw_writing(text: str, side: int, rng: random.Random) -> Image.Image:
    paper = rng.choice([*BACKGROUNDS.values(), *COLOURS.values()])
    inks = [ink for ink in COLOURS.values() if sum(abs(a - b) for a, b in zip(ink, paper, strict=True)) > 150]
    width = side if rng.random() < 0.7 else round(side * rng.uniform(1.0, 16 / 9))
    image = Image.new("RGB", (width, side), _near(paper, rng))
    pen = ImageDraw.Draw(image)
    size = max(9.0, side * rng.uniform(0.14, 0.45))
    left, top, right, bottom = pen.textbbox((0, 0), text, font=ImageFont.load_default(size))
    if right - left > 0.92 * width:
        size *= 0.92 * width / (right - left)
        left, top, right, bottom = pen.textbbox((0, 0), text, font=ImageFont.load_default(size))
    free_x, free_y = width - (right - left), side - (bottom - top)
    at_x, at_y = (0.5, 0.5) if rng.random() < 0.5 else (rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.9))
    pen.text((free_x * at_x - left, free_y * at_y - top), text, font=ImageFont.load_default(size), fill=_near(rng.choice(inks), rng))
    return image


def _draw_other(side: int, rng: random.Random) -> Image.Image:
    return rng.choice((_noise, _gradient, _scribble, _crowd, _blobs))(side, rng)


def _any_colour(rng: random.Random) -> Colour:
    return rng.randrange(256), rng.randrange(256), rng.randrange(256)


def _noise(side: int, rng: random.Random) -> Image.Image:
    cells = rng.choice((4, 8, 16, 48, side))
    values = np.random.default_rng(rng.getrandbits(32)).integers(0, 256, (cells, cells, 3), dtype=np.uint8)
    return Image.fromarray(values).resize((side, side), rng.choice((Image.Resampling.BICUBIC, Image.Resampling.NEAREST)))


def _gradient(side: int, rng: random.Random) -> Image.Image:
    start, end = np.array(_any_colour(rng)), np.array(_any_colour(rng))
    ramp = np.linspace(0.0, 1.0, side)[:, None, None]
    image = Image.fromarray(np.broadcast_to(ramp * end + (1 - ramp) * start, (side, side, 3)).astype(np.uint8))
    return image.rotate(rng.choice((0, 90, 180, 270)))


def _scribble(side: int, rng: random.Random) -> Image.Image:
    image = Image.new("RGB", (side, side), _any_colour(rng))
    pen = ImageDraw.Draw(image)
    for _ in range(rng.randint(6, 40)):
        ends = (rng.uniform(0, side), rng.uniform(0, side), rng.uniform(0, side), rng.uniform(0, side))
        pen.line(ends, fill=_any_colour(rng), width=rng.randint(1, max(1, side // 30)))
    return image


def _crowd(side: int, rng: random.Random) -> Image.Image:
    image = Image.new("RGB", (side, side), _any_colour(rng))
    pen = ImageDraw.Draw(image)
    for _ in range(rng.randint(9, 30)):
        centre = (rng.uniform(0, side), rng.uniform(0, side))
        _draw_shape(pen, rng.choice(KINDS), centre, rng.uniform(0.03, 0.2) * side, _any_colour(rng), rng)
    return image


def _blobs(side: int, rng: random.Random) -> Image.Image:
    """Soft patches of light, as in a photograph out of focus."""
    return _crowd(side, rng).filter(ImageFilter.GaussianBlur(side / rng.uniform(8, 40)))
