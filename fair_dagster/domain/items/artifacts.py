"""A published artifact: where it is, how large, and its checksum as the File extension 2.1.0 wants it."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

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


@dataclass(frozen=True)
class Told:
    """What an item says of a file or folder: bytes, and a hex multihash; None where it is silent."""

    size: int | None = None
    checksum: str | None = None

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        """From the fields of an asset; what is no number or no text says nothing."""
        size, checksum = fields.get("file:size"), fields.get("file:checksum")
        is_number = isinstance(size, int) and not isinstance(size, bool)
        return cls(size if is_number else None, checksum if isinstance(checksum, str) else None)

    def fields(self) -> dict[str, Any]:
        """The asset fields that say it."""
        told = {"file:size": self.size, "file:checksum": self.checksum}
        return {name: value for name, value in told.items() if value is not None}


def told_by_href(assets: Iterable[Mapping[str, Any]]) -> dict[str, Told]:
    """What ``assets`` say of the files behind their hrefs; those that say nothing are left out."""
    told = {str(asset["href"]): Told.of(asset) for asset in assets if "href" in asset}
    return {href: one for href, one in told.items() if one != Told()}


def multihash(sha256_hex: str) -> str:
    return _SHA256_MULTIHASH + sha256_hex


def sha256_of(checksum: object) -> str | None:
    """The SHA-256 in hex of a multihash; None for one by another function, and for what is none."""
    if not isinstance(checksum, str) or not _SHA256.fullmatch(checksum):
        return None
    return checksum.removeprefix(_SHA256_MULTIHASH)
