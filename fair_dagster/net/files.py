"""Files of this machine: small ones written so that a reader finds all or nothing, digests, and why a disk refused.

Nothing of a format belongs here.
"""

import errno
import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from fair_dagster.domain.errors import StorageError

_BLOCK = 1 << 20
_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file size limit is reached",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "there is no permission",
    errno.EPERM: "there is no permission",
}


def write_json(path: Path, content: Any) -> None:
    """Replace ``path`` by ``content`` as JSON, at once. NaN and infinity are refused: they are not JSON.

    Raises:
        StorageError: no space, no permission; the former file is as it was.
    """
    text = json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n"
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content``, at once. Its folder is made where it is not there.

    Raises:
        StorageError: no space, no permission; the former file is as it was.
    """
    try:
        replace(path, content)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror or error}") from error


def replace(path: Path, content: bytes, *, prefix: str = ".", is_public: bool = False) -> None:
    """As ``write_bytes``, for callers with words of their own for what the disk says.

    Args:
        prefix: marks the file until it is whole.
        is_public: others may read it as far as the umask lets them; by default only the owner may.

    Raises:
        OSError: the former file is as it was, and nothing else is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{prefix}{uuid4().hex}-{path.name}"[:200])
    try:
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if is_public else 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def file_digest(path: Path, algorithm: str = "sha256") -> tuple[str, int]:
    """The digest of a file in hex, and its size, read once and never held in memory whole.

    Raises:
        OSError: it cannot be read.
    """
    digest, size = hashlib.new(algorithm), 0
    block = memoryview(bytearray(_BLOCK))
    with path.open("rb", buffering=0) as stream:
        while count := stream.readinto(block):
            digest.update(block[:count])
            size += count
    return digest.hexdigest(), size


def reason_of(error: OSError, *, advise: bool = False) -> str:
    """Why a disk has refused, in words; on request with what to do where it is full."""
    advice = "; free some space and try again" if advise and error.errno in {errno.ENOSPC, errno.EDQUOT} else ""
    return f"{_REASONS.get(error.errno or 0, error.strerror or str(error))}{advice}"
