"""What a synthetic town looks like: ground, roads, trees and roofs with shadows, drawn on one canvas.

Pure drawing from a seed; folders, tiles and labels belong in ``synthesize``.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Color = tuple[int, int, int]

_GROUNDS: tuple[Color, ...] = ((128, 122, 88), (104, 116, 72), (150, 132, 100))
# Roofs share hues with soil and roads on purpose: colour alone must not tell them apart.
_ROOFS: tuple[tuple[str, Color], ...] = (
    ("concrete", (168, 163, 152)),
    ("metal", (128, 146, 166)),
    ("roof_tiles", (156, 92, 70)),
    ("concrete", (142, 130, 112)),
)
_BLOCK_M = 46.0
_ROAD_M = 6.0
_SUN = (0.55, 0.75)


@dataclass(frozen=True)
class Roof:
    """A roof: ``outline`` a shapely polygon in canvas pixels (x right, y down), and its OSM roof material."""

    outline: Any
    material: str


@dataclass(frozen=True)
class Town:
    """``pixels`` uint8 [H, W, 3] and the roofs in it."""

    pixels: NDArray[np.uint8]
    roofs: tuple[Roof, ...]


def draw_town(width: int, height: int, *, pixel_m: float, seed: int) -> Town:
    """A town on a canvas of ``width`` x ``height`` pixels of ``pixel_m`` metres each."""
    from PIL import Image, ImageDraw, ImageFilter

    rng = np.random.default_rng(seed)
    image = Image.fromarray(_ground(width, height, pixel_m, rng))
    draw = ImageDraw.Draw(image)
    angle = float(rng.uniform(-0.25, 0.25))
    roads, plots = _street_grid(width, height, pixel_m, angle, rng)
    for line, shade in roads:
        draw.line(line, fill=shade, width=max(2, round(_ROAD_M / pixel_m)), joint="curve")
    roofs, heights = _place_roofs(plots, (width, height), pixel_m, angle, rng)
    trees = _place_trees(roofs, width, height, pixel_m, rng)
    shadow = Image.new("L", (width, height), 0)
    _draw_shadows(ImageDraw.Draw(shadow), roofs, heights, trees, pixel_m)
    blurred = np.asarray(shadow.filter(ImageFilter.GaussianBlur(0.4 / pixel_m)), dtype=np.float32) / 255
    lit = 1 - np.float32(0.62) * blurred[..., np.newaxis]
    canvas = (np.asarray(image, dtype=np.float32) * lit).astype(np.float32)
    for roof in roofs:
        _paint_roof(canvas, roof, pixel_m, angle, rng)
    for x, y, radius in trees:
        _paint_tree(canvas, x, y, radius, rng)
    canvas += rng.normal(0, 4.0, canvas.shape).astype(np.float32)
    final = Image.fromarray(canvas.clip(0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.6))
    return Town(np.asarray(final), tuple(roofs))


def _noise(height: int, width: int, cell: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Smooth noise in about -1..1 with blobs of ``cell`` pixels, float32 [H, W]."""
    from PIL import Image

    shape = (max(2, round(height / cell) + 2), max(2, round(width / cell) + 2))
    coarse = Image.fromarray(rng.normal(0, 1, shape).astype(np.float32))
    smooth = coarse.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(smooth, dtype=np.float32)


def _ground(width: int, height: int, pixel_m: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Soil and grass, with furrows on some of it."""
    choice = _noise(height, width, 30 / pixel_m, rng)
    first, second, third = (np.array(color, dtype=np.float32) for color in _GROUNDS)
    mixed = np.clip(choice[..., np.newaxis] * 0.9 + 0.5, 0, 1)
    base = first * (1 - mixed) + second * mixed
    bare = np.clip(_noise(height, width, 18 / pixel_m, rng)[..., np.newaxis] - 0.4, 0, 1)
    base = base * (1 - bare) + third * bare
    for metres, strength in ((6.0, 9.0), (1.5, 8.0), (0.6, 7.0)):
        base += strength * _noise(height, width, max(1.0, metres / pixel_m), rng)[..., np.newaxis]
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
    furrows = np.sin((xs * 0.8 + ys * 0.6) * (2 * np.pi * pixel_m / 1.8))
    field = np.clip(_noise(height, width, 40 / pixel_m, rng) - 0.5, 0, 1)
    base += (14 * field * furrows)[..., np.newaxis]
    ground: NDArray[np.uint8] = np.clip(base, 0, 255).astype(np.uint8)
    return ground


def _street_grid(
    width: int, height: int, pixel_m: float, angle: float, rng: np.random.Generator
) -> tuple[list[tuple[list[tuple[float, float]], Color]], list[tuple[float, float]]]:
    """Roads as lines with a colour, and the middles of the plots between them, in canvas pixels."""
    block = _BLOCK_M / pixel_m
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.array([width, height]) / 2
    count = int(np.hypot(width, height) / block / 2) + 2
    reach = count * block
    roads = []
    for axis in (0, 1):
        for number in range(-count, count + 1):
            offset = number * block + float(rng.normal(0, block * 0.05))
            along = np.linspace(-reach, reach, 40)
            bend = offset + np.sin(along / block * 0.6 + number) * block * 0.06
            points = np.column_stack((along, bend) if axis == 0 else (bend, along)) @ turn.T + middle
            tone = int(rng.integers(118, 156))
            shade = (tone, tone - 4, tone - int(rng.integers(8, 26)))
            roads.append(([(float(x), float(y)) for x, y in points], shade))
    plots = []
    for column in range(-count, count):
        for row in range(-count, count):
            for dx in (0.28, 0.5, 0.72):
                for dy in (0.28, 0.5, 0.72):
                    x, y = turn @ (np.array([column + dx, row + dy]) * block) + middle
                    plots.append((float(x), float(y)))
    return roads, plots


def _place_roofs(
    plots: list[tuple[float, float]],
    extent: tuple[int, int],
    pixel_m: float,
    angle: float,
    rng: np.random.Generator,
) -> tuple[list[Roof], list[float]]:
    """Roofs on most plots and the heights of their buildings in metres; none overlaps another."""
    import shapely
    from shapely import affinity

    roofs: list[Roof] = []
    heights: list[float] = []
    placed: list[Any] = []
    margin = 1.2 / pixel_m
    for x, y in plots:
        size = rng.uniform(6.5, 13.5, 2) / pixel_m
        skip, notch, jitter = rng.random(3)
        turn = angle + float(rng.normal(0, 0.06))
        kind = int(rng.integers(len(_ROOFS)))
        storeys = float(rng.uniform(2.8, 8.5))
        if skip < 0.16 or not (-20 < x < extent[0] + 20 and -20 < y < extent[1] + 20):
            continue
        shift = (jitter - 0.5) * 3 / pixel_m
        box = shapely.box(x - size[0] / 2, y - size[1] / 2, x + size[0] / 2, y + size[1] / 2)
        if notch < 0.35:
            corner = shapely.box(x + size[0] * 0.05, y + size[1] * 0.05, x + size[0], y + size[1])
            box = box.difference(corner)
        outline = affinity.translate(affinity.rotate(box, turn, origin=(x, y), use_radians=True), shift, -shift)
        if any(outline.dwithin(other, margin) for other in placed[-40:]):
            continue
        placed.append(outline)
        roofs.append(Roof(outline, _ROOFS[kind][0]))
        heights.append(storeys)
    return roofs, heights


def _place_trees(
    roofs: list[Roof], width: int, height: int, pixel_m: float, rng: np.random.Generator
) -> list[tuple[float, float, float]]:
    """Trees as x, y, radius in pixels, in groups, with their trunks outside the roofs."""
    import shapely

    area_m2 = width * height * pixel_m**2
    count = int(area_m2 / 170)
    groups = rng.uniform((0, 0), (width, height), (max(1, count // 5), 2))
    centres = groups[rng.integers(len(groups), size=count)] + rng.normal(0, 5 / pixel_m, (count, 2))
    radii = rng.uniform(1.2, 3.2, count) / pixel_m
    tree = shapely.STRtree([roof.outline for roof in roofs])
    points = shapely.points(centres)
    covered = set(tree.query(points, predicate="dwithin", distance=1.0 / pixel_m)[0].tolist()) if roofs else set()
    return [
        (float(x), float(y), float(radius))
        for number, ((x, y), radius) in enumerate(zip(centres, radii, strict=True))
        if number not in covered
    ]


def _draw_shadows(
    draw: Any,
    roofs: list[Roof],
    heights: list[float],
    trees: list[tuple[float, float, float]],
    pixel_m: float,
) -> None:
    import shapely
    from shapely import affinity

    for roof, height in zip(roofs, heights, strict=True):
        dx, dy = (height * 0.45 * part / pixel_m for part in _SUN)
        cast = shapely.union_all([affinity.translate(roof.outline, dx * t, dy * t) for t in (0, 0.25, 0.5, 0.75, 1)])
        for part in shapely.get_parts(cast):
            draw.polygon(list(part.exterior.coords), fill=255)
    for x, y, radius in trees:
        dx, dy = (radius * 0.8 * part for part in _SUN)
        draw.ellipse((x + dx - radius, y + dy - radius, x + dx + radius, y + dy + radius), fill=235)


def _paint_roof(
    canvas: NDArray[np.float32], roof: Roof, pixel_m: float, angle: float, rng: np.random.Generator
) -> None:
    """Colour, slope or sheet lines, stains and a bright rim, on the pixels of one roof."""
    from PIL import Image, ImageDraw

    color = np.array(next(c for m, c in _ROOFS if m == roof.material), dtype=np.float32)
    color = (color * rng.uniform(0.72, 1.22) + rng.normal(0, 7, 3)).astype(np.float32)
    phase, spots = rng.uniform(0, 6.28), rng.integers(2**31)
    left, top, right, bottom = (int(v) for v in np.round(roof.outline.bounds))
    left, top = max(left - 1, 0), max(top - 1, 0)
    right, bottom = min(right + 2, canvas.shape[1]), min(bottom + 2, canvas.shape[0])
    if right <= left or bottom <= top:
        return
    stencil = Image.new("L", (right - left, bottom - top), 0)
    ring = [(x - left, y - top) for x, y in roof.outline.exterior.coords]
    ImageDraw.Draw(stencil).polygon(ring, fill=255, outline=255)
    inside = np.asarray(stencil) > 0
    ys, xs = np.mgrid[top:bottom, left:right].astype(np.float32)
    across = xs * np.cos(angle) + ys * np.sin(angle)
    texture = np.zeros_like(across)
    if roof.material == "metal":
        texture += 9 * np.sin(across * (2 * np.pi * pixel_m / 1.1) + phase)
    if roof.material == "roof_tiles":
        middle = roof.outline.centroid.x * np.cos(angle) + roof.outline.centroid.y * np.sin(angle)
        texture += np.where(across > middle, -16, 14)
    texture += 5 * _noise(across.shape[0], across.shape[1], 2.5 / pixel_m, np.random.default_rng(int(spots)))
    rim = Image.new("L", stencil.size, 0)
    ImageDraw.Draw(rim).line(ring, fill=255, width=max(1, round(0.4 / pixel_m)))
    texture += np.where(np.asarray(rim) > 0, 16, 0)
    patch = canvas[top:bottom, left:right]
    patch[inside] = color + texture[inside][:, np.newaxis]


def _paint_tree(canvas: NDArray[np.float32], x: float, y: float, radius: float, rng: np.random.Generator) -> None:
    """A crown: a ragged disc, lit from the side away from the shadow."""
    tone = rng.uniform(0.75, 1.2)
    grain = np.random.default_rng(int(rng.integers(2**31)))
    left, top = max(int(x - radius), 0), max(int(y - radius), 0)
    right, bottom = min(int(x + radius) + 2, canvas.shape[1]), min(int(y + radius) + 2, canvas.shape[0])
    if right <= left or bottom <= top:
        return
    ys, xs = np.mgrid[top:bottom, left:right].astype(np.float32)
    distance = np.hypot(xs - x, ys - y) / radius + 0.12 * grain.normal(0, 1, xs.shape)
    light = 1 - 0.35 * ((xs - x) * _SUN[0] + (ys - y) * _SUN[1]) / radius + 0.16 * grain.normal(0, 1, xs.shape)
    crown = np.array((58, 84, 46), dtype=np.float32) * tone * light[..., np.newaxis]
    inside = distance < 1
    patch = canvas[top:bottom, left:right]
    patch[inside] = crown[inside]
