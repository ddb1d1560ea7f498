"""Where in its work a process is killed: chosen by dice with a seed, spread over all of the work. Pure.

Half of the points are before the n-th thing that the process does to the world outside, so that each of these has the
same chance whether it takes a microsecond or a second. The others are moments, which hit what takes long.
"""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

PHASES = (
    "before ZenML",
    "in ZenML",
    "between ZenML and artifacts",
    "in a copy",
    "between copies and commit",
    "in the commit",
    "after the commit",
    "at the end",
)
"""What a promotion goes through, in order. A process that was killed has said which it was in last."""


@dataclass(frozen=True)
class Point:
    """Before the ``effect``-th effect, counted from 1; or, where that is 0, ``seconds`` after the beginning."""

    effect: int = 0
    seconds: float = 0.0


def spread(seed: int, count: int, effects: int, seconds: float) -> list[Point]:
    """``count`` points, in any order: the work is cut into equal parts, and one point is thrown into each.

    Args:
        effects: how many there are in the whole work.
        seconds: how long it takes.
    """
    dice = random.Random(seed)
    by_effect = (count + 1) // 2
    points = [Point(effect=1 + int(at * effects)) for at in _thrown(dice, by_effect)]
    points += [Point(seconds=at * seconds) for at in _thrown(dice, count - by_effect)]
    dice.shuffle(points)
    return points


def _thrown(dice: random.Random, count: int) -> list[float]:
    return [(part + dice.random()) / count for part in range(count)]


def table(rows: Sequence[tuple[str, Iterable[str]]]) -> str:
    """How many points hit which phase, a line a store.

    Args:
        rows: the name of a store, and the phases in which its points hit.
    """
    width = max(len(name) for name, _ in rows)
    lines = [f"{'':{width}}  " + "  ".join(PHASES)]
    for name, phases in rows:
        counted = Counter(phases)
        lines.append(f"{name:{width}}  " + "  ".join(f"{counted[phase]:>{len(phase)}}" for phase in PHASES))
    return "\n".join(lines)
