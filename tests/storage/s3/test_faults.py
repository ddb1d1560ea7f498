"""A bucket on a bad day: servers that fail, refuse or hang, networks that damage, processes that are killed."""

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fair_dagster.domain.errors import StorageError
from fair_dagster.domain.items.artifacts import Told
from fair_dagster.settings import Settings
from fair_dagster.storage.local import describe
from fair_dagster.storage.opening import open_artifacts
from fair_dagster.storage.s3 import client as s3_client
from fair_dagster.storage.s3 import transfer
from fair_dagster.storage.s3.parts import PART
from tests.storage.conftest import Bucket
from tests.storage.s3.faulty import FaultyProxy

KEY = "local-models/town/v1-12345678/model.onnx"
Objects = Callable[[], dict[str, Path]]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A file of three parts."""
    source = tmp_path / "model.onnx"
    source.write_bytes(random.Random(1).randbytes(PART * 2 + 1000))
    return source


@pytest.fixture
def small(tmp_path: Path) -> Path:
    source = tmp_path / "small.onnx"
    source.write_bytes(random.Random(2).randbytes(200_000))
    return source


def test_a_server_that_answers_503_for_ten_seconds_is_waited_for(
    bucket: Bucket, proxy: FaultyProxy, model: Path
) -> None:
    store = bucket(s3_endpoint=proxy.url)
    proxy.failing.set()
    threading.Timer(10, proxy.failing.clear).start()

    published = store.publish(model, KEY)

    assert proxy.failed > 1
    assert store.look(KEY) is not None
    assert published.checksum == describe(model).checksum


@pytest.mark.parametrize("name", ["model", "small"])
def test_what_is_damaged_on_its_way_is_never_published(  # noqa: PLR0917
    request: pytest.FixtureRequest, bucket: Bucket, proxy: FaultyProxy, moto_server: Any, objects: Objects, name: str
) -> None:
    """rclone compares Content-MD5 itself and refuses; what a server takes unseen is found by its ETag."""
    source: Path = request.getfixturevalue(name)
    proxy.damage_sent = 100_000

    with pytest.raises(StorageError, match="BadDigest"):
        bucket(s3_endpoint=proxy.url).publish(source, KEY)
    assert objects() == {}

    moto_server.client().create_bucket(Bucket="models")
    proxy.target = moto_server.endpoint.removeprefix("http://")
    store = bucket(s3_endpoint=proxy.url, artifacts="s3://models/x")
    with pytest.raises(StorageError, match="arrived damaged"):
        store.publish(source, KEY)
    assert store.size(KEY) is None


def test_what_is_damaged_on_its_way_back_is_not_used(
    bucket: Bucket, proxy: FaultyProxy, model: Path, tmp_path: Path
) -> None:
    from fair_dagster.storage.cache import local_copy

    store = bucket(s3_endpoint=proxy.url)
    published = store.publish(model, KEY)
    settings, told = Settings(home=tmp_path / "home"), Told(checksum=published.checksum)
    proxy.damage_received = 100_000
    with pytest.raises(StorageError, match="its item says"):
        local_copy(settings, store, published.href, told)
    assert not [path for path in settings.cache_path.rglob("*") if path.is_file() and path.name != ".lock"]

    proxy.damage_received = 0
    assert local_copy(settings, store, published.href, told).read_bytes() == model.read_bytes()


def test_a_download_that_breaks_off_goes_on_where_it_was(
    bucket: Bucket, proxy: FaultyProxy, model: Path, tmp_path: Path
) -> None:
    store = bucket(s3_endpoint=proxy.url)
    published = store.publish(model, KEY)
    proxy.cut = 3

    assert store.fetch(KEY, tmp_path / "copy") == published
    assert proxy.cut == 0
    assert store.look(KEY) is not None


def test_bytes_altered_on_the_server_are_seen(bucket: Bucket, objects: Objects, model: Path) -> None:
    store = bucket()
    published = store.publish(model, KEY)
    (path,) = [path for key, path in objects().items() if key.endswith("/model.onnx")]
    content = bytearray(path.read_bytes())
    content[PART + 5] ^= 1
    path.write_bytes(content)

    for read in (True, False):
        seen = store.look(KEY, read=read)
        assert seen is not None
        assert (seen.size, seen.checksum == published.checksum) == (published.size, False)
    # Publishing again puts back what was published, instead of adopting the damage.
    assert store.publish(model, KEY) == published
    assert store.look(KEY, read=True) == store.look(KEY, read=False)


def test_without_reading_checksums_cost_a_listing(bucket: Bucket, proxy: FaultyProxy, tmp_path: Path) -> None:
    folder = tmp_path / "chips"
    folder.mkdir()
    for number in range(30):
        (folder / f"{number}.tif").write_bytes(bytes([number]))
    store = bucket(s3_endpoint=proxy.url)
    published = store.publish(folder, "datasets/town/v1-12345678/chips")
    proxy.requests.clear()

    seen = store.look("datasets/town/v1-12345678/chips", read=False)

    assert seen is not None
    assert seen.checksum == published.checksum
    assert len(proxy.requests) <= 4


def test_a_folder_without_one_of_its_files_is_not_whole(
    bucket: Bucket, objects: Objects, s3_server: Any, s3_bucket: str, tmp_path: Path
) -> None:
    folder = tmp_path / "chips"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.tif").write_bytes(bytes([number]))
    store = bucket()
    published = store.publish(folder, "datasets/town/v1-12345678/chips")
    (key,) = [key for key in objects() if key.endswith("/1.tif")]
    s3_server.client().delete_object(Bucket=s3_bucket, Key=key)

    seen = store.look("datasets/town/v1-12345678/chips", read=False)
    assert seen is not None
    assert (seen.size, seen.checksum) != (published.size, published.checksum)
    assert store.publish(folder, "datasets/town/v1-12345678/chips") == published
    assert store.size("datasets/town/v1-12345678/chips") == 3


@pytest.mark.parametrize("name", ["{outside}/x.pth", "../../x.pth", "a//b.tif"])
def test_a_bucket_cannot_write_beside_the_place_that_it_is_fetched_to(
    bucket: Bucket, moto_server: Any, tmp_path: Path, name: str
) -> None:
    client = moto_server.client()
    client.create_bucket(Bucket="foreign")
    store = bucket(s3_endpoint=moto_server.endpoint, artifacts="s3://foreign")
    outside = tmp_path / "outside"
    client.put_object(Bucket="foreign", Key="chips/a.tif", Body=b"chip")
    client.put_object(Bucket="foreign", Key=f"chips/{name.format(outside=outside)}", Body=b"import os")

    with pytest.raises(StorageError, match=r"s3://foreign/chips.* is no file below it"):
        store.fetch("chips", tmp_path / "cache" / "chips")
    assert not outside.exists()
    assert not (tmp_path / "cache").exists()


def test_markers_of_folders_are_none_of_the_files(bucket: Bucket, moto_server: Any, tmp_path: Path) -> None:
    client = moto_server.client()
    client.create_bucket(Bucket="marked")
    store = bucket(s3_endpoint=moto_server.endpoint, artifacts="s3://marked")
    for key, body in {"chips/": b"", "chips/north/": b"", "chips/north/a.tif": b"chip"}.items():
        client.put_object(Bucket="marked", Key=key, Body=body)

    assert store.fetch("chips", tmp_path / "chips").size == 4


@pytest.mark.parametrize("failure", [KeyboardInterrupt, OSError])
def test_a_writer_that_fails_leaves_what_another_has_published_meanwhile(
    bucket: Bucket, small: Path, monkeypatch: pytest.MonkeyPatch, failure: type[BaseException]
) -> None:
    first, second = bucket(), bucket()
    published = []

    def interrupted(source: Path, place: Any) -> Any:
        monkeypatch.undo()
        published.append(first.publish(small, KEY))
        raise failure

    monkeypatch.setattr(transfer, "upload", interrupted)
    with pytest.raises((KeyboardInterrupt, StorageError)):
        second.publish(small, KEY)

    seen = first.look(KEY)
    assert seen is not None
    assert seen.is_as(published[0])


def test_an_upload_that_somebody_aborts_leaves_the_object_that_was_there(
    bucket: Bucket, model: Path, tmp_path: Path
) -> None:
    from botocore.exceptions import ClientError

    store = bucket()
    former = store.publish(model, KEY)
    other = tmp_path / "other.onnx"
    other.write_bytes(bytes(reversed(model.read_bytes())))

    def aborted(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "NoSuchUpload", "Message": ""}}, "CompleteMultipartUpload")

    store._client.meta.events.register("before-call.s3.CompleteMultipartUpload", aborted)
    with pytest.raises(StorageError, match="NoSuchUpload"):
        store.restore(other, KEY)

    seen = store.look(KEY)
    assert seen is not None
    assert seen.is_as(former)


def test_objects_are_removed_by_requests_with_the_checksum_that_every_server_knows(
    bucket: Bucket, moto_server: Any, small: Path
) -> None:
    moto_server.client().create_bucket(Bucket="removed")
    store = bucket(s3_endpoint=moto_server.endpoint, artifacts="s3://removed")
    store.publish(small, KEY)
    sent: list[dict[str, Any]] = []
    store._client.meta.events.register(
        "before-send.s3.DeleteObjects", lambda request, **_: sent.append(dict(request.headers))
    )

    store.remove("local-models")

    (headers,) = [{name.lower() for name in one} for one in sent]
    assert "content-md5" in headers
    assert not [name for name in headers if "checksum" in name]
    assert store.size(KEY) is None


def test_wrong_keys_are_told_at_once_and_not_tried_again(
    bucket: Bucket, proxy: FaultyProxy, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret-of-this-server")
    with pytest.raises(StorageError, match=r"refuses.*AWS_SECRET_ACCESS_KEY") as caught:
        bucket(s3_endpoint=proxy.url).publish(small, KEY)
    assert "not-the-secret" not in str(caught.value)
    assert len(proxy.requests) <= 3


def test_no_keys_at_all_are_told(bucket: Bucket, small: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(StorageError, match="no credentials: set AWS_ACCESS_KEY_ID"):
        bucket().publish(small, KEY)


def test_a_bucket_that_is_not_there_is_never_an_empty_one(bucket: Bucket, small: Path) -> None:
    store = bucket(artifacts="s3://no-such-bucket/x")
    acts: list[Callable[[], object]] = [
        lambda: store.publish(small, KEY),
        lambda: store.size(KEY),
        lambda: store.look(KEY),
        lambda: store.read(KEY),
        lambda: store.prefixes("datasets"),
        lambda: store.age("datasets/town"),
    ]
    for act in acts:
        with pytest.raises(
            StorageError, match="no bucket 'no-such-bucket': make it, or correct the address or FAIR_ARTIFACTS"
        ):
            act()


def test_no_server_at_all_is_told(bucket: Bucket, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_client, "ATTEMPTS", 2)
    with pytest.raises(StorageError, match=r"no S3 server answers at http://127\.0\.0\.1:9: check FAIR_S3_ENDPOINT"):
        bucket(s3_endpoint="http://127.0.0.1:9").publish(small, KEY)


def test_a_clock_that_is_wrong_is_told(bucket: Bucket) -> None:
    from botocore.exceptions import ClientError

    answer = {"Error": {"Code": "RequestTimeTooSkewed", "Message": ""}, "ResponseMetadata": {"HTTPStatusCode": 403}}
    client = bucket()._client
    told = pytest.raises(StorageError, match=r"clocks of this machine and of .* differ")
    with told, s3_client.s3_errors(client, "list", "x"):
        raise ClientError(answer, "ListObjects")


def test_an_upload_that_fails_leaves_nothing(
    bucket: Bucket, proxy: FaultyProxy, objects: Objects, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = bucket(s3_endpoint=proxy.url)
    sent = transfer._Upload._send_part

    def fails(upload: Any, token: str, part: Any) -> Any:
        if part.number == 2:
            raise OSError(5, "Input/output error")
        return sent(upload, token, part)

    monkeypatch.setattr(transfer._Upload, "_send_part", fails)
    with pytest.raises(StorageError, match="Input/output error"):
        store.publish(model, KEY)

    assert objects() == {}
    assert store.unfinished() == []


_CHILD = """
import sys
from pathlib import Path
from fair_dagster.settings import Settings
from fair_dagster.storage.opening import open_artifacts
store = open_artifacts(Settings())
print("ready", flush=True)
store.publish(Path(sys.argv[1]), sys.argv[2])
print("done", flush=True)
"""


def test_a_process_killed_at_any_point_leaves_no_readable_object_and_its_upload_is_thrown_away(
    settings_of: Callable[..., Settings], proxy: FaultyProxy, objects: Objects, model: Path
) -> None:
    settings = settings_of(s3_endpoint=proxy.url)
    store = open_artifacts(settings)
    complete = describe(model)
    for after in (3, 5):
        proxy.requests.clear()
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD, str(model), KEY],
            env=os.environ | settings.environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        while len(proxy.requests) < after and child.poll() is None:
            threading.Event().wait(0.002)
        child.send_signal(signal.SIGKILL)
        child.wait()
        seen = store.look(KEY)
        assert seen is None or seen.is_as(complete)
        for left in store.unfinished():
            store.discard(left.token)
        assert store.unfinished() == []
    assert store.publish(model, KEY).checksum == complete.checksum
    assert len(objects()) == 2
