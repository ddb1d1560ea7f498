"""A published artifact: where it is, how large, and its checksum as the File extension 2.1.0 wants it."""

from dataclasses import dataclass
from typing import Any

_SHA256_MULTIHASH = "1220"
"""Multihash prefix: function sha2-256 (0x12), length 32 bytes (0x20)."""


@dataclass(frozen=True)
class PublishedArtifact:
    """``href`` is a URL or an absolute path, ``size`` in bytes, ``checksum`` a hex multihash."""

    href: str
    size: int
    checksum: str

    def fields(self) -> dict[str, Any]:
        """The asset fields that this artifact decides."""
        return {"href": self.href, "file:size": self.size, "file:checksum": self.checksum}


def multihash(sha256_hex: str) -> str:
    return _SHA256_MULTIHASH + sha256_hex
