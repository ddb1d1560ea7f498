"""Advisory locks by which the writers of this program keep out of each other's way in a pgstac.

All of them end with the transaction. Locks on tables and rows are taken where the rows are read.
"""

import hashlib
from collections.abc import Iterable

from fair_dagster.catalog.pgstac.connection import Connection
from fair_dagster.domain.items.stac import ItemKey

_MANY_FAMILIES = 200
"""With more than these a set takes whole collections: PostgreSQL has room for some thousand locks."""


def lock_families(connection: Connection, families: set[ItemKey]) -> None:
    """Hold these families against every other writer of this program, until the transaction ends.

    Locks are taken in one order, so that two sets with the same families never wait for each other in a circle. A set
    of very many families takes their collections instead; everybody else holds those in common.
    """
    many = len(families) > _MANY_FAMILIES
    shared = "pg_advisory_xact_lock" if many else "pg_advisory_xact_lock_shared"
    collections = sorted(_number(f"collection {family.collection}") for family in families)
    _lock(connection, shared, collections)
    if not many:
        _lock(connection, "pg_advisory_xact_lock", sorted(_number(f"family {family}") for family in families))


def lock_collection(connection: Connection, name: str) -> None:
    """Hold a collection against every other writer of its items: wait for those that are writing, keep others out."""
    _lock(connection, "pg_advisory_xact_lock", [_number(f"collection {name}")])


def lock_rooms(connection: Connection) -> None:
    """Hold the making of partitions and of their ranges against everybody else who makes room."""
    _lock(connection, "pg_advisory_xact_lock", [_number("rooms")])


def _lock(connection: Connection, function: str, numbers: Iterable[int]) -> None:
    for number in dict.fromkeys(numbers):
        connection.execute(f"SELECT {function}(%s)", [number])


def _number(name: str) -> int:
    """A number for an advisory lock; two names with the same number only wait for each other."""
    return int.from_bytes(hashlib.sha256(f"fair-dagster {name}".encode()).digest()[:8], signed=True)
