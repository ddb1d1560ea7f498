"""``oci listen`` as the process that an operator runs."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx

from fair_dagster.oci.notifications.inbox import Inbox

COMMAND = [sys.executable, "-c", "from fair_dagster.cli import main; main()", "oci", "listen", "--port", "0"]


def environment(home: Path, **variables: str) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("FAIR_")}
    return {**plain, "FAIR_HOME": str(home), **variables}


def test_it_keeps_notifications_until_it_is_ended(tmp_path: Path) -> None:
    told = environment(tmp_path, FAIR_OCI_LISTEN_SECRET="geheim")
    with subprocess.Popen(COMMAND, env=told, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        target = {
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "repository": "fair/town",
            "digest": "sha256:" + "a" * 64,
        }
        body = json.dumps({"events": [{"action": "push", "target": target}]})
        with httpx.Client(trust_env=False, headers={"Authorization": "Bearer geheim"}) as client:
            assert client.post(url, content=body).status_code == 202
        process.send_signal(signal.SIGTERM)
        rest, errors = process.communicate(timeout=20)
    assert (process.returncode, rest) == (0, "")
    assert "geheim" not in errors
    assert [push.repository for push in Inbox(tmp_path / "oci" / "inbox").waiting().values()] == ["fair/town"]


def test_without_a_secret_it_listens_to_nobody(tmp_path: Path) -> None:
    done = subprocess.run(COMMAND, env=environment(tmp_path), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "FAIR_OCI_LISTEN_SECRET" in done.stderr
