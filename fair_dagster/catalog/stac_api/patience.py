"""How often something that may pass is tried again, and how long is waited in between. Pure but for its dice."""

import random
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Patience:
    """Bounded, with waits that double: by default half a minute in all, in which a database can restart.

    Args:
        attempts: how often at most.
        first_wait: seconds before the second attempt; doubled for each further one, less a random part.
    """

    attempts: int = 8
    first_wait: float = 0.25

    def waits(self) -> Iterator[float]:
        """Seconds to wait after each attempt but the last."""
        for number in range(self.attempts - 1):
            # Clients that were refused together should not come back together.
            yield self.first_wait * 2**number * random.uniform(0.5, 1.0)  # noqa: S311
