"""When a run that a worker had begun counts as lost: a rule over who answered at each look, without Redis."""

from collections.abc import Set as AbstractSet

MISSES = 3
"""So many looks in a row have to miss a run: one that is slow to answer is not gone."""
GRACE_SECONDS = 60.0
"""After the broker was away, workers get so long to connect again before one counts as gone."""


class Presence:
    """Which tasks the workers had at hand at the looks so far."""

    def __init__(self) -> None:
        self._looks = 0
        self._present: AbstractSet[str] = frozenset()
        self._misses: dict[str, tuple[int, int]] = {}
        self._away_at = float("-inf")

    def look(self, present: AbstractSet[str], now: float) -> None:
        """Note a look at all workers; ``present`` are the tasks that they named."""
        self._looks += 1
        self._present = present
        if now - self._away_at < GRACE_SECONDS:
            self._misses.clear()

    def away(self, now: float) -> None:
        """Note that the broker could not be asked: nothing is known, and what was missed before does not count."""
        self._away_at = now
        self._misses.clear()

    def is_lost(self, task: str, now: float) -> bool:
        """Whether the last looks have all missed ``task``. A look counts once, however often this is asked."""
        if task in self._present or now - self._away_at < GRACE_SECONDS:
            self._misses.pop(task, None)
            return False
        misses, counted = self._misses.get(task, (0, -1))
        if counted != self._looks:
            misses += 1
            self._misses[task] = misses, self._looks
        return misses >= MISSES
