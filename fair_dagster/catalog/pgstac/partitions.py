"""Room for items in a pgstac: partitions that are there, and ranges of times that are wide enough.

To make a partition, and to widen the range that it admits, PostgreSQL keeps everybody out, readers too, until the
transaction ends. pgstac does so in the middle of a write, and does not stand two writers who do it at once. So it is
done here, before a write, in transactions of its own: one writer at a time, and none that lets readers wait for longer
than ``_HELD``. What is written into the room is the business of others.

See docs/decisions/0031.
"""

import random
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import orjson

from fair_dagster.catalog.pgstac.connection import Act, Connection, Pgstac
from fair_dagster.catalog.pgstac.locks import lock_rooms
from fair_dagster.catalog.pgstac.spans import Spans
from fair_dagster.domain.errors import CatalogError

T = TypeVar("T")

_HELD = 1.0
"""Seconds for which a lock is waited for that readers queue behind."""
_LONGEST_PAUSE = 5.0
_TRIES = 5

# pgstac's own rule: a whole collection is one partition, or one a year or a month. Ranges are read from the catalog of
# PostgreSQL, because other writers and pgstac's own maintenance change them.
_LACKING = """
WITH wanted AS (
    SELECT w.collection, min(first) AS first, max(last) AS last, min(first_end) AS first_end, max(last_end) AS last_end
    FROM jsonb_to_recordset(%s::text::jsonb) AS w(collection text, first timestamptz, last timestamptz,
        first_end timestamptz, last_end timestamptz)
    JOIN collections c ON c.id = w.collection
    GROUP BY w.collection, date_trunc(c.partition_trunc, w.first AT TIME ZONE 'UTC')
)
SELECT w.collection, w.first::text, w.last::text, w.first_end::text, w.last_end::text,
    CASE WHEN m.collection IS NOT NULL THEN ps.partition END
FROM wanted w
    LEFT JOIN partition_stats ps ON ps.collection = w.collection AND ps.partition_dtrange @> w.first
    LEFT JOIN LATERAL partition_catalog_meta(ps.partition) m ON true
WHERE m.collection IS NULL
    OR NOT (m.constraint_dtrange @> tstzrange(w.first, w.last, '[]')
        AND m.constraint_edtrange @> tstzrange(w.first_end, w.last_end, '[]'))
ORDER BY w.collection, w.first
"""
_MAKE = """
SELECT check_partition(
    %(collection)s, tstzrange(%(first)s, %(last)s, '[]'), tstzrange(%(first_end)s, %(last_end)s, '[]'))
"""
# A year ahead of what is needed: items come with ever newer times, and to widen a range the whole partition is read.
# Not past the years that clients can spell, though.
_WIDEN = """
WITH needed AS (
    SELECT m.constraint_dtrange AS dt, m.constraint_edtrange AS edt, %(fresh)s::boolean AS fresh,
        %(first)s::timestamptz AS first, %(last)s::timestamptz AS last,
        %(first_end)s::timestamptz AS first_end, %(last_end)s::timestamptz AS last_end,
        timestamptz '0001-01-02 00:00Z' AS earliest, timestamptz '9999-12-30 00:00Z' AS latest
    FROM partition_catalog_meta(%(partition)s) m
)
SELECT create_table_constraints(
    %(partition)s,
    tstzrange(
        CASE WHEN fresh OR first < lower(dt)
            THEN least(first, greatest(first - interval '1 year', earliest)) ELSE lower(dt) END,
        CASE WHEN fresh OR last > upper(dt)
            THEN greatest(last, least(last + interval '1 year', latest)) ELSE upper(dt) END,
        '[]'),
    tstzrange(
        CASE WHEN fresh OR first_end < lower(edt)
            THEN least(first_end, greatest(first_end - interval '1 year', earliest)) ELSE lower(edt) END,
        CASE WHEN fresh OR last_end > upper(edt)
            THEN greatest(last_end, least(last_end + interval '1 year', latest)) ELSE upper(edt) END,
        '[]'))
FROM needed
"""


class NoRoomError(Exception):
    """There is no room for what is to be written; nobody sees it but ``in_room``."""


class _Lack(NamedTuple):
    collection: str
    first: str
    last: str
    first_end: str
    last_end: str
    partition: str | None


def in_room(database: Pgstac, spans: Spans, act: Act[T]) -> T:
    """What ``act`` returns, done in one transaction, with room made first where it finds none.

    Args:
        act: calls ``require_room`` before it writes.

    Raises:
        CatalogError: the database does not answer or refuses, or there is no room after all.
    """
    for _ in range(_TRIES):
        try:
            return database.run(act)
        except NoRoomError:
            make_room(database, spans)
    raise CatalogError(
        f"the partitions of FAIR_PGSTAC_DSN were narrowed {_TRIES} times while items were being written: somebody "
        "maintains them all the time. Nothing was written; try again"
    )


def require_room(connection: Connection, spans: Spans) -> None:
    """Raise ``NoRoomError`` unless there is room for ``spans``.

    It stays until the transaction ends where items of the collections were locked before.
    """
    if _lacking(connection, spans):
        raise NoRoomError


def make_room(database: Pgstac, spans: Spans) -> None:
    """See that there is room for ``spans``; a transaction for each partition that has to be made or widened.

    Raises:
        CatalogError: somebody reads or writes all the time, or pgstac could not do it. Nothing was written but the room
            that was made by then.
    """
    while database.run(lambda connection, _: _make_room(connection, spans, database.lock_timeout)):
        pass


def _lacking(connection: Connection, spans: Spans) -> list[_Lack]:
    rows = connection.execute(_LACKING, [orjson.dumps(spans.rows()).decode()]).fetchall()
    return [_Lack(*row) for row in rows]


def _make_room(connection: Connection, spans: Spans, patience: float) -> bool:
    """Make room in the first partition that lacks it; False where none does."""
    lock_rooms(connection)
    lacking = _lacking(connection, spans)
    if not lacking:
        return False
    lack = lacking[0]
    _patiently(connection, lambda: _make(connection, lack), patience)
    if any(left[:2] == lack[:2] for left in _lacking(connection, spans)):
        raise CatalogError(
            f"pgstac could not make room for items of {lack.collection} from {lack.first} to {lack.last}; the log of "
            "PostgreSQL says why. Nothing was written"
        )
    return True


def _patiently(connection: Connection, act: Callable[[], Any], patience: float) -> None:
    """``act``, again while others hold what it needs, up to ``patience`` seconds; readers get through in between.

    Whoever makes room waits with the lock of all who do: otherwise they would hold up the readers in turn.
    """
    import psycopg

    until, pause = time.monotonic() + patience, 0.5
    while True:
        try:
            with connection.transaction():
                act()
                return
        # pgstac swallows that it could not make a table, and then misses it.
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected, psycopg.errors.UndefinedTable):
            if time.monotonic() > until:
                raise
        time.sleep(pause * random.uniform(0.8, 1.0))  # noqa: S311
        pause = min(2 * pause, _LONGEST_PAUSE)


def _make(connection: Connection, lack: _Lack) -> None:
    from psycopg import sql

    connection.execute("SELECT set_config('lock_timeout', %s, true)", [f"{int(_HELD * 1000)}ms"])
    values = lack._asdict() | {"fresh": lack.partition is None}
    if lack.partition is None:
        # pgstac itself would take its failure to get these for a success.
        connection.execute("LOCK TABLE ONLY items IN ACCESS EXCLUSIVE MODE")
        connection.execute("LOCK TABLE collections IN SHARE ROW EXCLUSIVE MODE NOWAIT")
        row = connection.execute(_MAKE, values).fetchone()
        values["partition"] = row[0] if row else None
    else:
        connection.execute(
            sql.SQL("LOCK TABLE ONLY {} IN ACCESS EXCLUSIVE MODE").format(sql.Identifier(lack.partition))
        )
    connection.execute(_WIDEN, values)
