"""The installation of the flows' tests, for sensors that act on one."""

from tests.flows.conftest import bare, installation, make, town

__all__ = ["bare", "installation", "make", "town"]
