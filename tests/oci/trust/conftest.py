"""Keys and signed artifacts."""

from tests.oci.fixtures import key, make_key, push_model

__all__ = ["key", "make_key", "push_model"]
