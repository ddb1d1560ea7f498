"""Keys to sign with."""

from tests.oci.fixtures import key, make_key

__all__ = ["key", "make_key"]
