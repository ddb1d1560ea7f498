"""Moving catalogs through a real STAC API without its database: request by request, and what is told of one cut off."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import SecretStr

from fair_dagster.catalog.json.store import JsonStore
from fair_dagster.catalog.opening import open_store
from fair_dagster.catalog.stac_api import bulk
from fair_dagster.catalog.stac_api.http import StacApiError, StacHttp
from fair_dagster.catalog.store import CatalogStore
from fair_dagster.domain.errors import CatalogError, ConflictError, RefusedError
from fair_dagster.domain.items.fields import COLLECTIONS
from fair_dagster.domain.publication.changes import Change, ChangeSet
from fair_dagster.flows.moving import export_catalog, import_catalog
from fair_dagster.settings import Settings
from tests.catalog.moves import awkward, catalog, content
from tests.catalog.sets import LOCAL, create, key

Failing = Callable[..., None]


@pytest.fixture
def source(tmp_path: Path) -> JsonStore:
    return catalog(tmp_path / "source")


@pytest.fixture
def settings(tmp_path: Path, pgstac_database: str, stac_api: Callable[[str], str]) -> Settings:
    return Settings(home=tmp_path / "home", catalog=stac_api(pgstac_database))


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Failing:
    """Called with a method, the end of an address and a status, lets such requests fail after ``passed`` of them."""
    send = StacHttp.send

    def fail(method: str, ending: str, status: int, passed: int = 0) -> None:
        left = [passed]

        def failed(self: StacHttp, href: str, sent: str, *arguments: Any, **named: Any) -> str:
            if sent == method and href.endswith(ending):
                left[0] -= 1
                if left[0] < 0:
                    raise StacApiError(f"the STAC API answered {status}", status)
            return send(self, href, sent, *arguments, **named)

        monkeypatch.setattr(StacHttp, "send", failed)

    return fail


def ids(store: CatalogStore) -> list[str]:
    return [item_id for name in COLLECTIONS for item_id in store.ids(name)]


def test_it_is_as_lossless(source: JsonStore, settings: Settings, tmp_path: Path) -> None:
    there = import_catalog(settings, source.root, "empty")
    back = export_catalog(settings, tmp_path / "back", "empty")
    assert (there.differences, back.differences) == ((), ())
    assert content(JsonStore(tmp_path / "back")) == content(source)
    source.apply(create("later"))
    source.apply(ChangeSet((Change("delete", key("model-0", 1), "gone"),)))
    again = import_catalog(settings, source.root, "replace")
    assert again.differences == ()
    assert sorted(ids(open_store(settings))) == sorted(ids(source))


def test_without_bulk_transactions_items_go_one_by_one(source: JsonStore, settings: Settings, failing: Failing) -> None:
    failing("POST", "/bulk_items", 405)
    assert import_catalog(settings, source.root, "empty").differences == ()


def test_cut_off_it_says_what_is_written_and_a_repeat_completes_it(
    source: JsonStore, settings: Settings, failing: Failing, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing("POST", "datasets/bulk_items", 503)
    monkeypatch.setattr(bulk, "BATCH", 2)
    told = r"3 of 3 collection documents and 5 of 8 items are written, 0 of 0 items are removed; .* may have been"
    with pytest.raises(CatalogError, match=told):
        import_catalog(settings, source.root, "empty")
    assert len(ids(open_store(settings))) == 5
    monkeypatch.undo()
    assert import_catalog(settings, source.root, "empty").differences == ()


def test_cut_off_in_the_first_batch_it_says_so_too(source: JsonStore, settings: Settings, failing: Failing) -> None:
    failing("POST", "local-models/bulk_items", 403)
    with pytest.raises(CatalogError, match=r"answered 403\. 3 of 3 .*documents and 1 of 8 items are written") as failed:
        import_catalog(settings, source.root, "empty")
    assert "may have been" not in str(failed.value)
    assert ids(open_store(settings)) == ["ramp"]


def test_items_that_went_one_by_one_are_counted(
    source: JsonStore, settings: Settings, failing: Failing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "NO_BATCHES", frozenset({200}))
    put = StacHttp.send
    failing("POST", "local-models/items", 403, passed=2)
    one_by_one = StacHttp.send

    def without_batches(self: StacHttp, href: str, *arguments: Any, **named: Any) -> str:
        if href.endswith("/bulk_items"):
            raise StacApiError("no batches", 200)
        return one_by_one(self, href, *arguments, **named)

    monkeypatch.setattr(StacHttp, "send", without_batches)
    with pytest.raises(CatalogError, match=r"and 3 of 8 items are written, 0 of 0 items are removed\. The same"):
        import_catalog(settings, source.root, "empty")
    monkeypatch.setattr(StacHttp, "send", put)
    assert len(ids(open_store(settings))) == 3


def test_deletions_that_were_carried_out_are_counted(source: JsonStore, settings: Settings, failing: Failing) -> None:
    import_catalog(settings, source.root, "empty")
    store = open_store(settings)
    for slug in ("extra", "other"):
        store.apply(create(slug))
    failing("DELETE", "/items/other-v1", 403)
    with pytest.raises(CatalogError, match=r"0 of 0 items are written, 1 of 2 items are removed"):
        import_catalog(settings, source.root, "replace")
    assert "extra-v1" not in ids(open_store(settings))


def test_interrupted_by_the_user_it_says_what_is_written(
    source: JsonStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: int, __: int, what: str) -> None:
        if what == "writing, datasets":
            raise KeyboardInterrupt

    monkeypatch.setattr(bulk, "BATCH", 1)
    with pytest.raises(KeyboardInterrupt) as interrupted:
        import_catalog(settings, source.root, "empty", interrupt)
    (note,) = interrupted.value.__notes__
    assert note.startswith("3 of 3 collection documents and 4 of 8 items are written, 0 of 0 items are removed;")
    assert len(ids(open_store(settings))) == 4


def test_refused_from_the_start_nothing_is_there(source: JsonStore, settings: Settings, failing: Failing) -> None:
    failing("PUT", "collections/base-models", 403)
    with pytest.raises(StacApiError, match=r"answered 403$"):
        import_catalog(settings, source.root, "empty")
    assert ids(open_store(settings)) == []
    assert open_store(settings).collection(LOCAL)["title"] != "Our models"


@pytest.mark.parametrize("with_database", [True, False])
def test_of_a_source_that_changes_meanwhile_is_told_what_is_written(
    source: JsonStore, settings: Settings, pgstac_database: str, monkeypatch: pytest.MonkeyPatch, with_database: bool
) -> None:
    def change(_: int, __: int, what: str) -> None:
        if what == "writing, base-models":
            source.apply(
                ChangeSet(
                    (Change("update", key("model-0", 1), "meanwhile", awkward("model-0", 1, deprecated=True, a=1)),)
                )
            )

    monkeypatch.setattr(bulk, "BATCH", 1)
    if with_database:
        settings = settings.model_copy(update={"pgstac_dsn": SecretStr(pgstac_database)})
    with pytest.raises(CatalogError, match="model-0-v1 was changed while the catalog was being moved") as failed:
        import_catalog(settings, source.root, "empty", change)
    assert isinstance(failed.value, ConflictError) == with_database
    assert ("nothing was written" in str(failed.value)) == with_database
    assert ("5 of 8 items are written" in str(failed.value)) != with_database


def test_a_document_with_a_link_relative_to_nothing_is_refused(source: JsonStore, settings: Settings) -> None:
    write_links(source, {"rel": "about", "href": "./README.md"})
    told = r"its links to \./README\.md are relative.*: give whole addresses\n  - nothing was written$"
    with pytest.raises(RefusedError, match=told):
        import_catalog(settings, source.root, "empty")
    assert ids(open_store(settings)) == []


@pytest.mark.parametrize("with_database", [True, False])
def test_links_of_documents_come_back_as_they_went(
    source: JsonStore, settings: Settings, pgstac_database: str, tmp_path: Path, with_database: bool
) -> None:
    """To a file of a machine, and to an address; also after the document was written anew."""
    write_links(source, {"rel": "about", "href": "/srv/models/READ ME.md"}, {"rel": "via", "href": "https://h/a%20b"})
    if with_database:
        settings = settings.model_copy(update={"pgstac_dsn": SecretStr(pgstac_database)})
    assert import_catalog(settings, source.root, "empty").differences == ()
    store = open_store(settings)
    store.apply(create("later", datetime="2031-01-01T00:00:00Z"))
    store.refresh(LOCAL)
    links = source.collection(LOCAL)["links"]
    assert links[-2]["href"] == "/srv/models/READ ME.md"
    assert open_store(settings).collection(LOCAL)["links"] == links
    assert import_catalog(settings, source.root, "replace").differences == ()


def write_links(store: JsonStore, *links: dict[str, str]) -> None:
    path = store.root / LOCAL / "collection.json"
    document = orjson.loads(path.read_bytes())
    document["links"] += links
    path.write_bytes(orjson.dumps(document))
