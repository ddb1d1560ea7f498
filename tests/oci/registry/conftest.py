"""An installation whose images are pinned."""

from tests.installations import make, town

__all__ = ["make", "town"]
