"""The endpoint for notifications, over HTTP, and the inbox behind it."""

import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from fair_dagster.domain.errors import RefusedError, StorageError
from fair_dagster.oci.notifications import inbox as inbox_module
from fair_dagster.oci.notifications.inbox import Inbox
from fair_dagster.oci.notifications.listener import Listener
from fair_dagster.oci.notifications.pushes import Push

DIGEST = "sha256:" + "a" * 64
SECRET = {"Authorization": "Bearer geheim"}


def notification(count: int = 1) -> bytes:
    kind = "application/vnd.oci.image.manifest.v1+json"
    targets = [{"mediaType": kind, "repository": f"fair/m{n}", "digest": DIGEST} for n in range(count)]
    return json.dumps({"events": [{"action": "push", "target": target} for target in targets]}).encode()


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    return Inbox(tmp_path / "inbox")


@pytest.fixture
def client(inbox: Inbox) -> Iterator[httpx.Client]:
    with Listener("127.0.0.1", 0, "geheim", inbox) as listener:
        thread = threading.Thread(target=listener.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        base = f"http://127.0.0.1:{listener.server_address[1]}"
        with httpx.Client(base_url=base, trust_env=False) as made:
            yield made
        listener.shutdown()


def test_a_notification_is_kept_however_often_it_comes(client: httpx.Client, inbox: Inbox) -> None:
    for _ in range(3):
        assert client.post("/notifications", content=notification(), headers=SECRET).status_code == 202
    assert list(inbox.waiting().values()) == [Push("fair/m0", DIGEST)]
    inbox.remove(tuple(inbox.waiting()))
    assert inbox.waiting() == {}


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer other"}, {"Authorization": "geheim"}])
def test_who_does_not_know_the_secret_is_refused(client: httpx.Client, inbox: Inbox, headers: dict[str, str]) -> None:
    assert client.post("/notifications", content=notification(), headers=headers).status_code == 401
    assert inbox.waiting() == {}


def test_what_is_no_notification_is_refused_and_the_server_goes_on(client: httpx.Client, inbox: Inbox) -> None:
    assert client.post("/notifications", content=b"{", headers=SECRET).status_code == 400
    assert client.post("/elsewhere", content=b"{}", headers=SECRET).status_code == 404
    assert said(client, "Content-Length: 2097152").startswith(b"HTTP/1.1 413")
    assert client.post("/notifications", content=iter([notification()]), headers=SECRET).status_code == 413
    assert client.get("/healthz").status_code == 200
    assert client.get("/other").status_code == 404
    assert inbox.waiting() == {}


def said(client: httpx.Client, header: str) -> bytes:
    """What the server says to a post whose body is still to come."""
    with socket.create_connection((client.base_url.host, client.base_url.port or 80)) as connection:
        connection.sendall(f"POST /notifications HTTP/1.1\r\nAuthorization: Bearer geheim\r\n{header}\r\n\r\n".encode())
        return connection.recv(4096)


def test_a_client_that_goes_away_concerns_nobody(client: httpx.Client, inbox: Inbox) -> None:
    address = (client.base_url.host, client.base_url.port or 80)
    with socket.create_connection(address) as half:
        half.sendall(b"POST /notifications HTTP/1.1\r\nAuthorization: Bearer geheim\r\nContent-Length: 500\r\n\r\n{")
    assert client.post("/notifications", content=notification(), headers=SECRET).status_code == 202
    assert len(inbox.waiting()) == 1


def test_a_full_inbox_takes_no_more_and_says_so(
    client: httpx.Client, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_module, "MOST", 2)
    answer = client.post("/notifications", content=notification(3), headers=SECRET)
    assert answer.status_code == 503, "the registry posts it again"
    assert "wait already" in answer.json()["message"]
    # One that waits already takes no room.
    assert client.post("/notifications", content=notification(2), headers=SECRET).status_code == 202


def test_what_somebody_wrote_into_the_inbox_is_not_believed(inbox: Inbox, tmp_path: Path) -> None:
    inbox.put(Push("fair/town", DIGEST))
    for number, content in enumerate(("{", "[]", '{"repository": "../x", "digest": "sha256:x"}', "null")):
        (tmp_path / "inbox" / f"{number}.json").write_text(content)
    assert list(inbox.waiting().values()) == [Push("fair/town", DIGEST)]


def test_what_nobody_could_answer_for_a_day_is_forgotten(inbox: Inbox, tmp_path: Path) -> None:
    for name in ("fair/old", "fair/new"):
        inbox.put(Push(name, DIGEST))
    (old,) = [name for name, push in inbox.waiting().items() if push.repository == "fair/old"]
    partial = tmp_path / "inbox" / ".of-a-killed-process"
    partial.write_text("{")
    for name in (old, partial.name):
        os.utime(tmp_path / "inbox" / name, (1, 1))
    assert [push.repository for push in inbox.waiting().values()] == ["fair/new"]
    assert not (tmp_path / "inbox" / old).exists()
    assert not partial.exists()


def test_names_in_a_cursor_lead_out_of_no_folder(inbox: Inbox, tmp_path: Path) -> None:
    inbox.put(Push("fair/town", DIGEST))
    (tmp_path / "kept.json").touch()
    inbox.remove(("../kept.json",))
    assert (tmp_path / "kept.json").exists()


def test_an_inbox_that_cannot_be_written_and_a_port_that_is_taken_are_told(tmp_path: Path, inbox: Inbox) -> None:
    (tmp_path / "inbox").touch()
    with pytest.raises(StorageError, match="cannot be written"):
        inbox.put(Push("fair/town", DIGEST))
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(StorageError, match="cannot be listened on"):
        Listener("127.0.0.1", taken.getsockname()[1], "geheim", inbox)


def test_too_many_are_refused_by_the_inbox_itself(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox_module, "MOST", 0)
    with pytest.raises(RefusedError, match="is the sensor running"):
        inbox.put(Push("fair/town", DIGEST))
