"""Writing a file so that a reader finds all of it or none. Nothing of a format belongs here."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from fair_dagster.domain.errors import StorageError


def write_json(path: Path, content: Any) -> None:
    """Replace ``path`` by ``content`` as JSON, at once. NaN and infinity are refused: they are not JSON.

    Raises:
        StorageError: no space, no permission; the former file is as it was.
    """
    text = json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n"
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content``, at once.

    Raises:
        StorageError: no space, no permission; the former file is as it was.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("wb", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise StorageError(f"{path} cannot be written: {error.strerror or error}") from error
