"""Requests to an API: to which process a connection belongs, and what an answer proves."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fair_dagster.catalog.opening import open_store
from fair_dagster.domain.errors import CatalogError
from fair_dagster.settings import Settings
from tests.catalog.sets import LOCAL, create
from tests.catalog.stac_server import StacServer, running


def in_a_fork(act: Callable[[], None]) -> int:
    """The exit code of a forked child that does ``act``."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            act()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_forked_process_opens_connections_of_its_own(tmp_path: Path) -> None:
    """On one connection two processes would read each other's answers."""
    with running(StacServer()) as server:
        store = open_store(Settings(home=tmp_path, catalog=server.url))
        store.apply(create("ramp"))
        used = set(server.connections)
        assert in_a_fork(lambda: store.ids(LOCAL)) == 0
        assert set(server.connections) - used
        assert store.ids(LOCAL) == ["ramp-v1"]
        assert server.connections[-1] in used


@pytest.mark.parametrize("path", ["/wrong", "/collections"])
def test_what_is_missing_below_a_wrong_url_is_not_an_empty_catalog(tmp_path: Path, path: str) -> None:
    """Servers of all kinds answer 404 in JSON."""
    with running(StacServer()) as server:
        store = open_store(Settings(home=tmp_path, catalog=server.url + path))
        for read in (store.collection, store.document_problems, store.refresh):
            with pytest.raises(CatalogError, match=r"404|is no STAC API") as failed:
                read(LOCAL)
            assert "FAIR_CATALOG" in str(failed.value)
