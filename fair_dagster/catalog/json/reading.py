"""Reading the files of a JSON catalog, and telling a damaged one from one that is not there.

What a document must look like stands in ``domain.damage``. Nothing here writes.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from fair_dagster.domain.errors import CatalogError
from fair_dagster.domain.items.damage import REPAIR

Document = dict[str, Any]


class DamagedFileError(CatalogError):
    """A file that is there and does not hold what it should. ``digest`` is that of its bytes."""

    def __init__(self, path: Path, problem: str, digest: str) -> None:
        super().__init__(f"{path} is damaged: {problem}. {REPAIR}")
        self.problem = problem
        self.digest = digest


def load_document(path: Path, problem_of: Callable[[Any], str | None]) -> Document | None:
    """The document at ``path``; None where there is none.

    Raises:
        DamagedFileError: it is no JSON, or ``problem_of`` finds it to be something else.
        CatalogError: the file cannot be read.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CatalogError(f"{path} could not be read: {error.strerror or error}") from error
    try:
        document = orjson.loads(content)
        problem = problem_of(document)
    except orjson.JSONDecodeError as error:
        document, problem = None, str(error)
    if problem is not None:
        raise DamagedFileError(path, problem, hashlib.sha256(content).hexdigest())
    checked: Document = document
    return checked


def folder_names(folder: Path) -> list[str]:
    """The names in ``folder`` that may be folders of items; none where it is not there."""
    try:
        # Paths of ten thousand names would cost more than the rest of a write.
        return [name for name in os.listdir(folder) if not name.endswith(".json")]  # noqa: PTH208
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CatalogError(f"{folder} could not be read: {error.strerror or error}") from error
