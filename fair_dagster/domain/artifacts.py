"""A published artifact: where it is, how large, and its checksum as the File extension 2.1.0 wants it."""

import re
from dataclasses import dataclass
from typing import Any

_SHA256_MULTIHASH = "1220"
"""Multihash prefix: function sha2-256 (0x12), length 32 bytes (0x20)."""
_SHA256 = re.compile(rf"{_SHA256_MULTIHASH}[0-9a-f]{{64}}")


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


def sha256_of(checksum: object) -> str | None:
    """The SHA-256 in hex of a multihash; None for one by another function, and for what is none."""
    if not isinstance(checksum, str) or not _SHA256.fullmatch(checksum):
        return None
    return checksum.removeprefix(_SHA256_MULTIHASH)
