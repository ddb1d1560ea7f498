"""Registries for tests: pushing a small image by hand, and a registry with a token service that can misbehave."""

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import httpx

from fair_dagster.oci.artifacts.forms import Packed
from fair_dagster.oci.descriptors import Manifest
from fair_dagster.oci.references import Reference
from fair_dagster.oci.registry.registries import Registries

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


def push_image(base: str, repository: str, tag: str, content: str = "", *, index: bool = False, **options: Any) -> str:
    """Push an image of one empty layer, or an index of it, and return the digest. ``content`` tells images apart."""
    with httpx.Client(base_url=f"{base}/v2/{repository}/", trust_env=False, **options) as client:
        config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Labels": {"of": content}}}).encode()
        blobs = [_push_blob(client, data) for data in (config, b"")]
        types = ("application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar")
        described = [{"mediaType": kind, **blob} for kind, blob in zip(types, blobs, strict=True)]
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": described[0], "layers": described[1:]}
        body = json.dumps(manifest).encode()
        if index:
            digest = _put(client, _digest(body), MANIFEST, body)
            platform = {"architecture": "amd64", "os": "linux"}
            entry = {"mediaType": MANIFEST, "digest": digest, "size": len(body), "platform": platform}
            body = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}).encode()
        return _put(client, tag, INDEX if index else MANIFEST, body)


def remove_image(base: str, repository: str, digest: str) -> None:
    httpx.delete(f"{base}/v2/{repository}/manifests/{digest}", trust_env=False).raise_for_status()


def _put(client: httpx.Client, name: str, kind: str, body: bytes) -> str:
    client.put(f"manifests/{name}", content=body, headers={"Content-Type": kind}).raise_for_status()
    return _digest(body)


def _push_blob(client: httpx.Client, data: bytes) -> dict[str, Any]:
    place = client.post("blobs/uploads/")
    place.raise_for_status()
    digest = _digest(data)
    client.put(
        place.headers["location"], params=_parameters(place) | {"digest": digest}, content=data
    ).raise_for_status()
    return {"digest": digest, "size": len(data)}


def _parameters(place: httpx.Response) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(place.headers["location"]).query).items()}


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass
class Script:
    """What the fake registry does, and what it saw.

    Attributes:
        valid: the token that the registry takes.
        issued: what the token service answers: status and body.
        realm: of the challenge; None for the fake's own.
        manifest: status, media type and body for who has the token.
        busy: so many requests are answered with 429 first.
    """

    body: bytes = b'{"schemaVersion": 2}'
    valid: str = "good"
    issued: tuple[int, bytes] = (200, b'{"token": "good", "expires_in": 300}')
    realm: str | None = None
    manifest: tuple[int, str] = (200, MANIFEST)
    digest: str | None = "counted"
    busy: int = 0
    retry_after: str = "0"
    seen: Counter[str] = field(default_factory=Counter)
    authorizations: list[str] = field(default_factory=list)
    asked: list[dict[str, list[str]]] = field(default_factory=list)


class _Server(ThreadingHTTPServer):
    script: Script


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def script(self) -> Script:
        return cast(_Server, self.server).script

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        self._token(parse_qs(body))

    def do_GET(self) -> None:
        path = urlsplit(self.path)
        if path.path == "/token":
            self._token(parse_qs(path.query))
            return
        script = self.script
        script.seen[self.command] += 1
        if script.busy > 0:
            script.busy -= 1
            self._answer(429, {"Retry-After": script.retry_after}, b"")
        elif self.headers.get("authorization") != f"Bearer {script.valid}":
            realm = script.realm or f"http://{self.headers['host']}/token"
            challenge = f'Bearer realm="{realm}",service="fake",scope="repository:team/image:pull,push"'
            self._answer(401, {"WWW-Authenticate": challenge}, b'{"errors": [{"code": "UNAUTHORIZED"}]}')
        else:
            status, kind = script.manifest
            digest = _digest(script.body) if script.digest == "counted" else script.digest
            told = {"Content-Type": kind} | ({"Docker-Content-Digest": digest} if digest else {})
            self._answer(status, told, script.body)

    def _token(self, asked: dict[str, list[str]]) -> None:
        self.script.seen["token"] += 1
        self.script.asked.append(asked)
        self.script.authorizations.append(self.headers.get("authorization", ""))
        status, body = self.script.issued
        self._answer(status, {"Content-Type": "application/json"}, body)

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def fake_registry(script: Script) -> Iterator[str]:
    """``host:port`` of a registry that follows ``script``."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.script = script
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


Fake = Callable[..., tuple[str, Script]]


def push_as_it_is(registries: Registries, reference: Reference, packed: Packed) -> Manifest:
    """Push a manifest and its blobs that ``push`` would not make; gives the manifest."""
    for layer in packed.layers:
        registries.upload(reference, layer.descriptor, layer.source)
    registries.put_manifest(reference, packed.manifest)
    return packed.manifest
