"""The installation that the flows act on."""

from tests.installations import bare, installation, make, town

__all__ = ["bare", "installation", "make", "town"]
