"""STAC APIs that fail: what is tried again, what is not, what is told, and what is left behind."""

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from fair_dagster.catalog.opening import open_store, stac_store
from fair_dagster.catalog.stac_api import http
from fair_dagster.catalog.stac_api.patience import Patience
from fair_dagster.catalog.store import CatalogStore
from fair_dagster.domain.errors import CatalogError, ConflictError, RefusedError
from fair_dagster.domain.items.stac import ItemKey
from fair_dagster.domain.publication.changes import Change, ChangeSet
from fair_dagster.settings import Settings
from tests.catalog.sets import LOCAL, active, create, item, key, promotion
from tests.catalog.stac_server import Reply, StacServer, running, told

QUICK = Patience(attempts=4, first_wait=0.001)
Read = Callable[[CatalogStore], object]
READS: dict[str, Read] = {
    "get": lambda store: store.get(key("ramp", 1)),
    "family": lambda store: store.family(LOCAL, "ramp"),
    "ids": lambda store: store.ids(LOCAL),
    "items": lambda store: list(store.items(LOCAL)),
    "entries": lambda store: store.entries(LOCAL),
    "scan": lambda store: store.scan(LOCAL),
    "problems": lambda store: store.document_problems(LOCAL),
    "collection": lambda store: store.collection(LOCAL),
}
HTML = Reply(200, b"<html>Sign in</html>", (("Content-Type", "text/html"),))


@pytest.fixture
def server() -> Iterator[StacServer]:
    with running(StacServer()) as started:
        yield started


@pytest.fixture
def store(server: StacServer, tmp_path: Path) -> CatalogStore:
    return opened(server.url, tmp_path)


def opened(url: str, home: Path, token: str = "") -> CatalogStore:
    return stac_store(
        Settings(home=home, catalog=url, catalog_token=SecretStr(token) if token else None), patience=QUICK
    )


@pytest.mark.parametrize("read", READS.values(), ids=READS)
@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (told(401), "401 .*FAIR_CATALOG_TOKEN"),
        (told(403), "403 .*FAIR_CATALOG_TOKEN"),
        (told(500), "500 .*log of the server"),
        (told(503), "503 .*down or overloaded"),
        (told(429), "429 .*try again later"),
        (HTML, "is not STAC"),
        (Reply(200, b'{"message": "ok"}'), "not STAC|no STAC API|damaged"),
        (Reply(200, b"[]"), "is not STAC"),
        (Reply(404, b"<html>no such site</html>"), "404"),
        (Reply(200, b'{"type": "Featu', cut=True), "did not answer .*FAIR_CATALOG"),
    ],
    ids=["401", "403", "500", "503", "429", "html", "json", "list", "proxy-404", "cut"],
)
def test_a_failed_read_is_never_an_empty_one(
    store: CatalogStore, server: StacServer, read: Read, reply: Reply, said: str
) -> None:
    store.apply(create("ramp"))
    server.fail("GET /collections", *[reply] * 4)
    server.fail("POST /search", *[reply] * 4)
    with pytest.raises(CatalogError, match=said) as failed:
        read(store)
    assert server.url in str(failed.value)


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_server_that_recovers_is_waited_for(store: CatalogStore, server: StacServer, read: Read) -> None:
    store.apply(create("ramp"))
    wanted = read(store)
    trouble = [told(500), told(503), Reply(200, b'{"type"', cut=True)]
    server.fail("GET /collections", *trouble)
    server.fail("POST /search", *trouble)
    assert read(store) == wanted
    assert len(server.script) <= 3


@pytest.mark.parametrize("status", [400, 401, 403, 405, 422])
def test_a_refusal_is_not_asked_for_again(store: CatalogStore, server: StacServer, status: int) -> None:
    store.apply(create("ramp"))
    server.fail("POST /search", *[told(status)] * 2)
    with pytest.raises(CatalogError, match=str(status)):
        store.ids(LOCAL)
    assert server.seen.count("POST /search") - 1 == 1


def test_the_time_that_a_server_asks_for_is_waited(
    store: CatalogStore, server: StacServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(http.time, "sleep", waited.append)
    store.apply(create("ramp"))
    server.fail("POST /search", told(429, Retry_After="7"), told(503, Retry_After="86400"))
    assert store.ids(LOCAL) == ["ramp-v1"]
    # Nobody waits a day.
    assert waited == [7.0, 30.0]
    server.fail("PUT /collections", told(429, Retry_After="5"))
    store.apply(promotion(store, "ramp", 2))
    assert waited[2:] == [5.0]


@pytest.mark.parametrize(
    ("path", "said"), [("/nothing/here", "404"), ("/collections", "no STAC API|404|lacks"), (":1", "did not answer")]
)
def test_a_wrong_url_is_told(server: StacServer, tmp_path: Path, path: str, said: str) -> None:
    url = "http://127.0.0.1:1" if path == ":1" else server.url + path
    with pytest.raises(CatalogError, match=said) as failed:
        opened(url, tmp_path).ids(LOCAL)
    assert "FAIR_CATALOG" in str(failed.value)


@pytest.mark.parametrize("status", [301, 302, 303])
def test_what_would_be_lost_by_a_redirect_is_not_sent_on(
    store: CatalogStore, server: StacServer, tmp_path: Path, status: int
) -> None:
    """As ``return 301 https://…`` in a proxy: clients send a POST on as a GET, which any API answers gladly."""
    store.apply(create("ramp"))
    with running(StacServer(moved=(status, server.url))) as front:
        moved, before = opened(front.url, tmp_path), dict(server.items)
        for act in (
            lambda: moved.get(key("other", 1)),
            lambda: moved.ids(LOCAL),
            lambda: moved.refresh(LOCAL),
            lambda: moved.apply(create("zeta")),
            lambda: moved.apply(ChangeSet((Change("delete", key("ramp", 1), "gone"),))),
        ):
            with pytest.raises(CatalogError, match=f"sending it on to {server.url}.*set FAIR_CATALOG"):
                act()
        assert server.items == before


@pytest.mark.parametrize("status", [307, 308])
def test_a_redirect_that_loses_nothing_is_followed(server: StacServer, tmp_path: Path, status: int) -> None:
    with running(StacServer(moved=(status, server.url))) as front:
        moved = opened(front.url, tmp_path)
        moved.apply(create("ramp"))
        assert moved.ids(LOCAL) == ["ramp-v1"]


def test_items_that_were_not_asked_for_are_no_answer(store: CatalogStore, server: StacServer) -> None:
    """A server that does not understand a search and shows anything must not pass for one that has found it."""
    store.apply(create("ramp"))
    every = json.dumps({"features": list(server.items.values()), "links": []}).encode()
    for act in (lambda: store.get(key("other", 1)), lambda: store.ids("base-models")):
        server.fail("POST /search", Reply(body=every))
        with pytest.raises(CatalogError, match="local-models/ramp-v1, which was not asked for"):
            act()


@pytest.mark.parametrize("read", ["ids", "items", "entries", "scan", "problems"])
def test_an_item_without_an_id_is_told(store: CatalogStore, server: StacServer, read: str) -> None:
    """As an API shows a row of its database that holds no item."""
    store.apply(create("ramp"))
    server.fail("POST /search", Reply(body=b'{"features": [{"type": "Feature"}], "links": []}'))
    with pytest.raises(CatalogError, match=r"in local-models that has no id.*FAIR_PGSTAC_DSN"):
        READS[read](store)


def test_a_url_with_a_password_or_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="FAIR_CATALOG_TOKEN") as refused:
        open_store(Settings(home=tmp_path, catalog="https://user:s3cret@h.example/stac"))
    assert "s3cret" not in str(refused.value)
    with pytest.raises(RefusedError, match="no http or https URL"):
        open_store(Settings(home=tmp_path, catalog="s3://bucket/stac"))


def test_the_token_goes_to_the_api_and_into_no_log(
    server: StacServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    store = opened(server.url, tmp_path, "s3cret")
    store.apply(create("ramp"))
    assert store.ids(LOCAL) == ["ramp-v1"]
    assert set(server.tokens) == {"Bearer s3cret"}
    server.fail("POST /search", told(401))
    with pytest.raises(CatalogError) as failed:
        store.ids(LOCAL)
    assert "s3cret" not in caplog.text + str(failed.value)


@pytest.mark.parametrize("token", ["s3cret\n", "s3cret more", "s3crét"])
def test_a_token_that_no_header_can_hold_is_refused_and_not_shown(
    server: StacServer, tmp_path: Path, token: str
) -> None:
    with pytest.raises(RefusedError, match="FAIR_CATALOG_TOKEN was refused") as refused:
        opened(server.url, tmp_path, token).ids(LOCAL)
    assert "s3cr" not in str(refused.value)


def test_an_api_that_cannot_be_written_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    with running(StacServer(transactions=False)) as server:
        with pytest.raises(CatalogError, match=r"Transaction extension.*FAIR_PGSTAC_DSN"):
            opened(server.url, tmp_path).apply(create("ramp"))
        assert [request for request in server.seen if not request.startswith("GET")] == []


# Writes through the Transaction extension


def test_no_family_is_without_an_active_item_at_any_moment(store: CatalogStore, server: StacServer) -> None:
    store.apply(create("ramp"))
    moments: list[int] = []
    server.watch = lambda: moments.append(sum(not one["properties"]["deprecated"] for one in server.items.values()))
    for number in (2, 3):
        store.apply(promotion(store, "ramp", number))
    assert min(moments) == 1
    assert active(store, "ramp") == ["ramp-v3"]


def test_a_version_that_gives_up_its_id_is_kept_under_the_new_one_first(
    store: CatalogStore, server: StacServer
) -> None:
    """A base model's active version has the plain slug; cut off in between, no version may be lost."""
    plain, former = ItemKey("base-models", "ramp"), ItemKey("base-models", "ramp-v1")
    first = item("ramp", 1) | {"id": "ramp", "collection": "base-models", "links": []}
    store.apply(ChangeSet((Change("create", plain, "new", first),)))
    second = first | {"properties": first["properties"] | {"version": "2"}}
    moved = first | {"id": "ramp-v1", "properties": first["properties"] | {"deprecated": True}}
    changes = ChangeSet((Change("update", plain, "released", second), Change("create", former, "former", moved)))
    server.fail("PUT /collections/base-models/items", *[told(503)] * 4)
    with pytest.raises(
        CatalogError, match=r"Written: create base-models/ramp-v1; not written: update base-models/ramp"
    ):
        store.apply(changes)
    assert store.get(plain) == first
    store.apply(changes)
    assert store.get(plain) == second
    assert store.get(former) == moved


def test_a_write_that_is_cut_off_says_what_is_written_and_is_completed_by_a_repeat(
    store: CatalogStore, server: StacServer
) -> None:
    store.apply(create("ramp"))
    changes = promotion(store, "ramp", 2)
    server.fail("PUT /collections/local-models/items", told(403))
    with pytest.raises(CatalogError, match=r"Written: create .*ramp-v2; not written: update .*ramp-v1"):
        store.apply(changes)
    assert "ramp-v2" in active(store, "ramp")
    store.apply(changes)
    assert active(store, "ramp") == ["ramp-v2"]


@pytest.mark.parametrize("reply", [told(500, late=True), Reply(200, b"{", cut=True, late=True)], ids=["500", "cut"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_an_attempt_that_got_through_and_seemed_to_fail_is_a_success(
    store: CatalogStore, server: StacServer, method: str, reply: Reply
) -> None:
    """The second attempt meets 409 or 404."""
    store.apply(create("ramp"))
    server.fail(f"{method} /collections/local-models/items", reply)
    store.apply(promotion(store, "ramp", 2))
    store.apply(ChangeSet((Change("delete", key("ramp", 1), "gone"),)))
    assert store.ids(LOCAL) == ["ramp-v2"]
    assert server.script == []


def test_another_writer_who_was_faster_is_a_conflict(store: CatalogStore, server: StacServer) -> None:
    """Between reading and writing there is no lock."""
    store.apply(create("ramp"))
    other = item("ramp", 2, title="of another")
    server.fail("POST /collections/local-models/items", Reply(409, b"{}"))
    changes = promotion(store, "ramp", 2)
    server.watch = lambda: None
    server.items[LOCAL, "ramp-v2"] = other
    with pytest.raises(ConflictError):
        store.apply(changes)
    assert server.items[LOCAL, "ramp-v2"] == other


def test_an_item_of_a_wrong_form_is_kept_apart(store: CatalogStore, server: StacServer) -> None:
    store.apply(create("ramp"))
    server.items[LOCAL, "unet-v1"] = {"type": "Feature", "id": "unet-v1", "properties": None}
    server.items[LOCAL, "yolo-v1"] = item("yolo", 1, **{"fair:promotion": "first"})
    assert [damaged.key.id for damaged in store.scan(LOCAL).damaged] == ["unet-v1", "yolo-v1"]
    assert [found["id"] for found in store.scan(LOCAL).items] == ["ramp-v1"]
    assert [entry.id for entry in store.entries(LOCAL)] == ["ramp-v1"]
    assert store.ids(LOCAL) == ["ramp-v1", "unet-v1", "yolo-v1"]
    with pytest.raises(CatalogError, match=r"yolo-v1 is damaged: .*reconcile --repair"):
        store.get(key("yolo", 1))
    assert store.refresh(LOCAL)["fair:item_count"] == 3
