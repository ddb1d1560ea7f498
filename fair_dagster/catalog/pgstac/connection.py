"""A connection to the PostgreSQL of a pgstac: opened when needed, opened again after a restart, transactions repeated
where PostgreSQL asks for it, errors that say what to do.

Knows nothing of items; what is read and written is the business of ``pgstac_items`` and ``pgstac_writer``.
"""

import os
import re
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import SecretStr

from fair_dagster.catalog.stac_api.patience import Patience
from fair_dagster.domain.errors import CatalogAwayError, CatalogError, RefusedError
from fair_dagster.domain.urls import redact

if TYPE_CHECKING:
    import psycopg
    from psycopg import sql

    Connection = psycopg.Connection[tuple[Any, ...]]
else:
    Connection = Any

T = TypeVar("T")
Act = Callable[[Connection, bool], T]
"""What is done in a transaction. Told whether an earlier attempt of it may have been committed."""

SUPPORTED = "0.10."
"""The version of pgstac whose functions are called."""
_CONNECT_SECONDS = 10
_LONGEST_TEXT = 300
# Serialization, deadlock; a check that is being widened and a key that another writer has just taken.
_REPEATED = frozenset({"40001", "40P01", "23514", "23505"})
_REFUSAL = re.compile(r"FATAL:\s.*(authentication failed|does not exist|no pg_hba\.conf entry)")
_LOCK_TIMEOUT = "55P03"
_NO_PRIVILEGE = "42501"
_NO_PGSTAC = frozenset({"3F000", "42883", "42P01"})
_NO_TABLE = "42P01"
# For each transaction and not for the session: a pooler may hand out another session for every transaction.
_SETTINGS = "SET LOCAL search_path TO pgstac, public; SET LOCAL lock_timeout TO {}"


class Pgstac:
    """The database behind a STAC API.

    Args:
        dsn: PostgreSQL URL or keywords.
        lock_timeout: seconds to wait for another writer of the same family.
        patience: for a server that restarts.
        conflicts: for transactions that PostgreSQL wants repeated.

    Raises:
        RefusedError: the DSN cannot be read.
    """

    def __init__(
        self,
        dsn: SecretStr,
        *,
        lock_timeout: float = 60.0,
        patience: Patience | None = None,
        conflicts: Patience | None = None,
    ) -> None:
        _require_readable(dsn)
        self._dsn = dsn
        self.lock_timeout = lock_timeout
        self._patience = patience or Patience()
        self._conflicts = conflicts or Patience(attempts=9, first_wait=0.02)
        self._connection: Connection | None = None
        self._owner = 0
        self._guard = threading.RLock()

    def run(self, act: Act[T]) -> T:
        """What ``act`` returns, done in one transaction; done again when PostgreSQL or its restart asks for it.

        Raises:
            CatalogError: the database does not answer, or went on refusing. Nothing was written then, unless the
                message says that this is not known.
            RefusedError: what was to be written is nothing that PostgreSQL can hold.
        """
        import psycopg

        reconnects, conflicts, uncertain = self._patience.waits(), self._conflicts.waits(), False
        with self._guard:
            while True:
                try:
                    connection = self._opened()
                    with connection.transaction():
                        connection.execute(self._settings())
                        return act(connection, uncertain)
                except psycopg.Error as error:
                    lost = self._is_lost()
                    is_repeated = not _is_refusal(error) if lost else _is_repeated(error)
                    wait = next(reconnects if lost else conflicts, None) if is_repeated else None
                    if wait is None:
                        raise self._told(error, uncertain=uncertain) from None
                    # A connection that broke may have broken after the commit.
                    uncertain = uncertain or (lost and self._connection is not None)
                    if lost:
                        self._discard()
                    time.sleep(wait)

    def close(self) -> None:
        """Give the connection back; the next use opens another."""
        with self._guard:
            if self._owner == os.getpid():
                self._discard()

    def _opened(self) -> Connection:
        if self._owner != os.getpid():
            # The connection of a process that this one was forked from is that one's.
            self._connection = None
        if self._connection is None:
            self._connection = self._connected()
            self._owner = os.getpid()
        return self._connection

    def _connected(self) -> Connection:
        import psycopg

        connection = psycopg.connect(
            self._dsn.get_secret_value(),
            autocommit=True,
            connect_timeout=_CONNECT_SECONDS,
            fallback_application_name="fair-dagster",
            # A host that vanishes says nothing: without these a statement would wait for two hours.
            keepalives_idle=30,
            keepalives_interval=10,
            keepalives_count=3,
            tcp_user_timeout=60_000,
            # Poolers that hand out another session for each transaction know no prepared statements.
            prepare_threshold=None,
        )
        try:
            version = connection.execute("SELECT pgstac.get_version()").fetchone()
            if version is None or not str(version[0]).startswith(SUPPORTED):
                raise CatalogError(
                    f"the database of FAIR_PGSTAC_DSN ({_named(connection)}) has pgstac {version and version[0]}, and "
                    f"{SUPPORTED}x is needed: bring it there with `pypgstac migrate`"
                )
        except BaseException:
            connection.close()
            raise
        return connection

    def _settings(self) -> "sql.Composed":
        from psycopg import sql

        return sql.SQL(_SETTINGS).format(sql.Literal(int(self.lock_timeout * 1000)))

    def _is_lost(self) -> bool:
        return self._connection is None or self._connection.broken or self._connection.closed

    def _discard(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _told(self, error: "psycopg.Error", *, uncertain: bool) -> Exception:
        import psycopg

        text = " ".join(redact(str(error)).split())[:_LONGEST_TEXT]
        state = error.sqlstate or ""
        where = "the database of FAIR_PGSTAC_DSN"
        if state in _NO_PGSTAC and not _is_inside_pgstac(error):
            return CatalogError(f"{where} has no pgstac ({text}): prepare it with `pypgstac migrate`, or name another")
        if state == _NO_PRIVILEGE:
            return CatalogError(f"{where} refuses its role what is needed ({text}): grant it pgstac_ingest")
        if state == _LOCK_TIMEOUT:
            return CatalogError(
                f"another process has been writing the same family, or importing or exporting a catalog, for "
                f"{self.lock_timeout:g} s; try again: {text}"
            )
        # PostGIS reports a geometry that is none as an internal error.
        is_geometry = state == "XX000" and "geojson" in text.lower()
        if is_geometry or isinstance(error, psycopg.DataError | psycopg.NotSupportedError | psycopg.IntegrityError):
            return RefusedError("the change of the catalog", [f"the database cannot hold it: {text}"])
        if self._is_lost():
            unknown = " Whether the last write was committed is not known: read the catalog again." if uncertain else ""
            is_refusal = _is_refusal(error)
            refused, away = f"refuses the connection: {text}. Correct FAIR_PGSTAC_DSN.", f"does not answer: {text}. "
            said = refused if is_refusal else f"{away}Check that it runs and can be reached."
            return (CatalogError if is_refusal else CatalogAwayError)(f"{where} {said}{unknown}")
        return CatalogError(f"{where} refused a statement: {text}")


def require_driver() -> None:
    """Make sure that psycopg is installed, which comes with an extra; raises ``RefusedError`` when it is not."""
    try:
        import psycopg  # noqa: F401
    except ImportError as error:
        problem = f"it needs psycopg, which cannot be imported ({error}): pip install 'fair-dagster[team]'"
        raise RefusedError("the setting FAIR_PGSTAC_DSN", [problem]) from error


def _require_readable(dsn: SecretStr) -> None:
    """Refuse a DSN that PostgreSQL's library would not understand, or would take a part of the password for an address.

    What the library says about either quotes the DSN, and so the password.
    """
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    try:
        parts = conninfo_to_dict(dsn.get_secret_value())
    except psycopg.ProgrammingError:
        parts = {"host": "@"}
    address = "".join(str(parts.get(name) or "") for name in ("host", "hostaddr", "dbname"))
    ports = str(parts.get("port") or "").replace(",", "")
    if "@" in address or (ports and not ports.isdecimal()):
        problem = (
            "it cannot be read; it is postgresql://user:password@host:5432/database, where % @ : / ? # [ ] and blanks "
            "in the password are written in percent (%25 for %, %40 for @), or keywords: host=… user=… password='…' "
            "dbname=…"
        )
        raise RefusedError("the setting FAIR_PGSTAC_DSN", [problem])


def _is_refusal(error: "psycopg.Error") -> bool:
    """Whether a server has answered that it wants other credentials or has no such database; told as text alone."""
    return error.sqlstate is None and _REFUSAL.search(str(error)) is not None


def _is_repeated(error: "psycopg.Error") -> bool:
    # A partition that another writer makes at the same moment is there the next time.
    return error.sqlstate in _REPEATED or (error.sqlstate == _NO_TABLE and _is_inside_pgstac(error))


def _is_inside_pgstac(error: "psycopg.Error") -> bool:
    """Whether one of pgstac's functions has failed: then pgstac is there."""
    return bool(error.diag.context)


def _named(connection: Connection) -> str:
    info = connection.info
    return f"{info.dbname} at {info.host}:{info.port}"
