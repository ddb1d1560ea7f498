"""Killed, starved and shared: what the store leaves when a write does not come to its end."""

import errno
import hashlib
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fair_dagster.catalog.json.store import JsonStore
from fair_dagster.domain.errors import CatalogError
from fair_dagster.domain.publication.changes import Change, ChangeSet
from tests.catalog.sets import LOCAL, active, create, item, key, promotion

ROOT = Path(__file__).parents[3]


def child(*arguments: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.catalog.json.crash_child", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def assert_whole(store: JsonStore) -> None:
    """pystac opens and walks it, and the collection links exactly the items that are there."""
    import pystac

    catalog = pystac.Catalog.from_file(str(store.root / "catalog.json"))
    assert sorted(one.id for one in catalog.get_items(recursive=True)) == store.ids(LOCAL)
    assert (store.root / ".journal.json").read_bytes() == b""


def contents(root: Path) -> dict[str, bytes]:
    """Every file but the lock."""
    files = (path for path in root.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def test_killed_at_any_step_a_family_is_either_before_or_after(tmp_path: Path) -> None:
    template = JsonStore(tmp_path / "template")
    template.apply(create("ramp"))
    template.apply(create("unet"))
    outcomes = []
    for step in range(1, 50):
        root = tmp_path / str(step)
        shutil.copytree(template.root, root)
        process = child("die", root, step)
        name, _ = process.communicate(timeout=60)
        store = JsonStore(root)
        found = active(store, "ramp")
        assert found in (["ramp-v1"], ["ramp-v2"])
        assert len(store.family(LOCAL, "ramp")) == (1 if found == ["ramp-v1"] else 2)
        assert active(store, "unet") == ["unet-v1"]
        assert_whole(store)
        # The catalog is not only readable: the next write goes through and leaves nothing of the crash.
        store.apply(promotion(store, "ramp", 2 if found == ["ramp-v1"] else 3))
        assert not list((root / ".staging").iterdir())
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL
        outcomes.append((name, found == ["ramp-v2"]))
    else:
        pytest.fail("the write never came to its end")
    # Before the commit point nothing has happened, after it everything has.
    names = [name for name, _ in outcomes]
    committed = names.index("committed")
    assert [after for _, after in outcomes] == [n >= committed for n in range(len(outcomes))]
    assert len(outcomes) > 8


def test_killed_at_random_moments_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    store = JsonStore(tmp_path / "catalog")
    store.apply(create("ramp"))
    acknowledged = 1
    chance = random.Random(4)
    for _ in range(5):
        process = child("promote", store.root, 100)
        if process.stdout is None:
            raise AssertionError
        acknowledged = max(acknowledged, int(process.stdout.readline()))
        time.sleep(chance.random() * 0.1)
        process.kill()
        numbers = [int(line) for line in process.communicate()[0].split()]
        acknowledged = max([acknowledged, *numbers])
        newest = int(active(store, "ramp")[0].removeprefix("ramp-v"))
        assert active(store, "ramp") == [f"ramp-v{newest}"]
        assert newest in (acknowledged, acknowledged + 1)
        assert len(store.family(LOCAL, "ramp")) == newest
        assert_whole(store)


def test_writers_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    root = tmp_path / "catalog"
    processes = [child("many", root, slug, 15) for slug in ("ramp", "unet", "yolo")]
    assert [process.wait(timeout=120) for process in processes] == [0, 0, 0]
    store = JsonStore(root)
    assert len(store.ids(LOCAL)) == 45
    assert store.collection(LOCAL)["fair:item_count"] == 45
    assert_whole(store)


def test_readers_never_see_half_a_promotion(tmp_path: Path) -> None:
    store = JsonStore(tmp_path / "catalog")
    store.apply(create("ramp"))
    process = child("promote", store.root, 40)
    reads = 0
    while process.poll() is None:
        assert len(active(store, "ramp")) == 1
        reads += 1
    process.communicate()
    assert active(store, "ramp") == ["ramp-v41"]
    assert reads > 10


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO])
def test_a_disk_that_refuses_leaves_the_catalog_as_it_was(tmp_path: Path, number: int) -> None:
    JsonStore(tmp_path / "catalog").apply(create("ramp"))
    before = contents(tmp_path / "catalog")
    step = 0
    while True:
        step += 1
        passed: list[str] = []

        def checkpoint(name: str, passed: list[str] = passed, step: int = step) -> None:
            passed.append(name)
            if len(passed) == step:
                raise OSError(number, "refused by the test")

        store = JsonStore(tmp_path / "catalog", checkpoint=checkpoint)
        with pytest.raises(CatalogError, match="could not be written"):
            store.apply(promotion(store, "ramp", 2))
        assert contents(store.root) == before
        assert not (store.root / LOCAL / "ramp-v2").exists()
        if passed[-1] == "committed":
            break
    assert step > 4


def test_a_failure_after_the_commit_point_is_completed_by_the_next_reader(tmp_path: Path) -> None:
    def checkpoint(name: str) -> None:
        if name.startswith("replaced"):
            raise OSError(errno.EIO, "refused by the test")

    store = JsonStore(tmp_path / "catalog")
    store.apply(create("ramp"))
    failing = JsonStore(store.root, checkpoint=checkpoint)
    with pytest.raises(CatalogError, match="is completed as soon as"):
        failing.apply(promotion(store, "ramp", 2))
    assert active(store, "ramp") == ["ramp-v2"]
    assert_whole(store)


_FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from fair_dagster.catalog.json.store import JsonStore
from fair_dagster.domain.errors import CatalogError
from tests.catalog.sets import create
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))
try:
    JsonStore(Path(sys.argv[1])).apply(create("unet", note="x" * 10000))
except CatalogError as error:
    print(error)
"""


def test_a_file_that_the_system_cuts_short_never_becomes_an_item(tmp_path: Path) -> None:
    store = JsonStore(tmp_path / "catalog")
    store.apply(create("ramp"))
    before = contents(store.root)
    command = [sys.executable, "-c", _FULL_DISK, str(store.root)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert "the file size limit is reached; the catalog is as it was" in done.stdout
    assert contents(store.root) == before


def test_leftovers_of_an_uncommitted_write_are_thrown_away(tmp_path: Path) -> None:
    store = JsonStore(tmp_path / "catalog")
    store.apply(create("ramp"))
    staging = store.root / ".staging"
    staging.mkdir(exist_ok=True)
    (staging / "0").write_text('{"half": ')
    (staging / "journal").write_text('{"moves": [{"sta')
    assert active(store, "ramp") == ["ramp-v1"]
    store.apply(create("unet"))
    assert not list(staging.iterdir())


def signed(document: object) -> bytes:
    """A journal as the store writes it."""
    body = json.dumps(document).encode()
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def move(target: str, content: bytes) -> dict[str, str]:
    return {"staged": ".staging/0", "target": target, "sha256": hashlib.sha256(content).hexdigest()}


@pytest.mark.parametrize(
    "text",
    [
        b"{",
        signed({"moves": [move("x.json", b"{}")], "deletes": []})[:-4],
        # The journal reached the disk and the content it lists did not.
        signed({"moves": [move("x.json", b"lost")], "deletes": ["local-models/ramp-v1/ramp-v1.json"]}),
    ],
)
def test_a_journal_that_was_cut_off_before_its_commit_is_thrown_away(tmp_path: Path, text: bytes) -> None:
    store = JsonStore(tmp_path / "catalog")
    store.apply(create("ramp"))
    (store.root / ".journal.json").write_bytes(text)
    assert active(store, "ramp") == ["ramp-v1"]
    assert_whole(store)


def test_a_journal_that_comes_back_after_its_end_changes_nothing(tmp_path: Path) -> None:
    kept: list[bytes] = []

    def checkpoint(name: str) -> None:
        if name == "clean up":
            kept.append((tmp_path / "catalog" / ".journal.json").read_bytes())

    store = JsonStore(tmp_path / "catalog", checkpoint=checkpoint)
    store.apply(create("ramp"))
    before = contents(store.root)
    (store.root / ".journal.json").write_bytes(kept[0])
    assert active(store, "ramp") == ["ramp-v1"]
    assert contents(store.root) == before


@pytest.mark.parametrize(
    "document",
    [
        {"moves": 3},
        {"moves": [move("../outside", b"")], "deletes": []},
        {"moves": [], "deletes": ["/etc/hostname"]},
    ],
)
def test_a_journal_of_somebody_else_is_named_and_not_carried_out(tmp_path: Path, document: object) -> None:
    store = JsonStore(tmp_path / "catalog")
    store.apply(create("ramp"))
    (store.root / ".journal.json").write_bytes(signed(document))
    with pytest.raises(CatalogError, match=r"journal .*\.journal\.json was not written by this program"):
        store.family(LOCAL, "ramp")
    assert Path("/etc/hostname").exists()


def test_a_lock_that_is_never_released_is_told(tmp_path: Path) -> None:
    from filelock import FileLock

    store = JsonStore(tmp_path / "catalog", lock_timeout=0.1)
    store.apply(create("ramp"))
    with FileLock(store.root / ".lock"), pytest.raises(CatalogError, match=r"another process has been writing"):
        store.apply(create("unet"))


def test_a_folder_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "catalog").write_text("a file")
    store = JsonStore(tmp_path / "catalog")
    with pytest.raises(CatalogError, match="could not be written"):
        store.apply(ChangeSet((Change("create", key("ramp", 1), "new", item("ramp", 1)),)))
