"""A registry's client, a place in it, and keys to sign with."""

from tests.oci.fixtures import key, make_key, place, registries

__all__ = ["key", "make_key", "place", "registries"]
