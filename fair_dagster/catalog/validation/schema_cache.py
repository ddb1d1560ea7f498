"""Other people's schemas: from memory, from the cache folder, or fetched once into it.

The folder is laid out as ``<extension>/<version>/schema.json`` for ``stac-extensions.github.io`` and as
``<host>/<path>`` for others. It may be read-only: then what is fetched stays in memory. Nothing here
validates.
"""

from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urldefrag, urlsplit

import orjson

from fair_dagster.catalog.validation.schemas import is_own, own_schemas
from fair_dagster.domain.errors import AwayError, ServiceError
from fair_dagster.net.fetching import fetch_document
from fair_dagster.net.files import replace

Schema = dict[str, Any]
STAC_HOST = "stac-extensions.github.io"


class MissingSchemaError(Exception):
    """A schema that cannot be had; the text says which and why. Never leaves the catalog package."""


class SchemaCache:
    """Schemas by URI. What could not be had is remembered, so that a machine without network asks once.

    Args:
        folder: the cache folder; need not exist.
        offline: never fetch.
        fetcher: for tests.
    """

    def __init__(
        self, folder: Path, *, offline: bool = False, fetcher: Callable[[str], bytes] = fetch_document
    ) -> None:
        self._folder = folder
        self._offline = offline
        self._fetcher = fetcher
        self._schemas: dict[str, Schema] = {}
        self._missing: dict[str, str] = {}
        self._silent_hosts: set[str] = set()

    def get(self, uri: str) -> Schema:
        """The schema at ``uri``, whose fragment does not count.

        Raises:
            MissingSchemaError: it cannot be had.
        """
        uri = urldefrag(uri).url
        if uri in self._missing:
            raise MissingSchemaError(self._missing[uri])
        if uri not in self._schemas:
            try:
                self._schemas[uri] = self._load(uri)
            except MissingSchemaError as error:
                self._missing[uri] = str(error)
                raise
        return self._schemas[uri]

    def closure(self, uri: str) -> dict[str, Schema]:
        """The schema at ``uri`` and every schema that it refers to, however far away, by URI.

        Raises:
            MissingSchemaError: one of them cannot be had.
        """
        found: dict[str, Schema] = {}
        waiting = [urldefrag(uri).url]
        while waiting:
            current = waiting.pop()
            if current in found:
                continue
            try:
                found[current] = self.get(current)
            except MissingSchemaError as error:
                needed = "" if current == urldefrag(uri).url else "it refers to "
                raise MissingSchemaError(f"{needed}{error}") from error
            waiting += _references(found[current])
        return found

    def _load(self, uri: str) -> Schema:
        for known in (own_schemas(), bundled_schemas()):
            if uri in known:
                return known[uri]
        if is_own(uri):
            raise MissingSchemaError(f"{uri}: this version of the program does not know it")
        path = self._path(uri)
        try:
            return _parse(path.read_bytes(), uri)
        except (FileNotFoundError, NotADirectoryError):
            return self._fetch(uri, path)
        except OSError as error:
            raise MissingSchemaError(f"{uri}: {path} cannot be read: {error.strerror}") from error

    def _fetch(self, uri: str, path: Path) -> Schema:
        host = urlsplit(uri).netloc
        if self._offline:
            raise MissingSchemaError(f"{uri}: not in the cache {self._folder}, and FAIR_OFFLINE is set")
        if host in self._silent_hosts:
            raise MissingSchemaError(f"{uri}: not in the cache {self._folder}, and {host} did not answer")
        try:
            text = self._fetcher(uri)
        except ServiceError as error:
            if isinstance(error, AwayError):
                self._silent_hosts.add(host)
            raise MissingSchemaError(f"not in the cache {self._folder}, and {error}") from error
        schema = _parse(text, uri)
        _keep(path, text)
        return schema

    def _path(self, uri: str) -> Path:
        parts = urlsplit(uri)
        names = [name for name in PurePosixPath(parts.path).parts if name != "/"]
        if not parts.hostname or not names or any(name in {"..", "."} or "\0" in name for name in names):
            raise MissingSchemaError(f"{uri}: is no address of a schema")
        if parts.query:
            raise MissingSchemaError(f"{uri}: addresses with a query are not kept")
        folder = self._folder if parts.hostname == STAC_HOST else self._folder / parts.netloc
        return folder.joinpath(*names)


def bundled_schemas() -> dict[str, Schema]:
    """The core schemas of STAC and GeoJSON that pystac brings along."""
    from pystac.validation.local_validator import get_local_schema_cache

    found: dict[str, Schema] = get_local_schema_cache()
    return found


def _references(schema: Any) -> Iterator[str]:
    """The URIs of the other documents that ``schema`` refers to."""
    base = str(schema.get("$id", "")) if isinstance(schema, dict) else ""
    waiting = [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            reference = node.get("$ref")
            if isinstance(reference, str) and not reference.startswith("#"):
                yield _joined(base, reference)
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node


def _joined(base: str, reference: str) -> str:
    from urllib.parse import urljoin

    return urldefrag(urljoin(base, reference)).url


def _parse(text: bytes, uri: str) -> Schema:
    try:
        schema = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise MissingSchemaError(f"{uri}: what the cache or the server holds is no JSON") from error
    if not isinstance(schema, dict):
        raise MissingSchemaError(f"{uri}: what the cache or the server holds is no schema")
    return schema


def _keep(path: Path, text: bytes) -> None:
    """Write into the cache for the next process; a cache that cannot be written is no reason to fail."""
    try:
        replace(path, text)
    except OSError:
        return
