"""The installation that assets materialize."""

from tests.installations import bare, installation, make, town

__all__ = ["bare", "installation", "make", "town"]
