"""A server behind TLS with a name of its own, which only a pinned connection finds."""

import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from fair_dagster.net import fetching


class Site(ThreadingHTTPServer):
    """Keeps what it was asked for: name by TLS, ``Host`` header, and path."""

    daemon_threads = True

    def __init__(self, certificate: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, str]] = []
        self.names: list[str | None] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        context.sni_callback = lambda _socket, name, _context: self.names.append(name)
        self.socket = context.wrap_socket(self.socket, server_side=True)

    def url(self, path: str, host: str = "example.org") -> str:
        return f"https://{host}:{self.server_port}{path}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are expected here."""


class _Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        self.server.asked.append((self.headers["Host"], self.path))
        self.send_response(302 if self.path == "/elsewhere" else 200)
        self.send_header("Location", "/big")
        if self.path == "/short":
            self.send_header("Content-Length", "200000")
        self.end_headers()
        with suppress(OSError):
            for _ in range(100):
                self.wfile.write(b"x" * 1000)
                if self.path == "/dripping":
                    threading.Event().wait(0.1)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Every name leads to it, and its certificate is of ``example.org``, which this machine trusts."""
    path = tmp_path / "tls.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "1", "-subj", "/CN=test", "-addext", "subjectAltName=DNS:example.org"]
    subprocess.run([*command, "-keyout", str(path), "-out", f"{path}.crt"], check=True, capture_output=True)
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    monkeypatch.setenv("SSL_CERT_FILE", f"{path}.crt")
    # Which addresses may be asked is tested elsewhere; here the way to a local server is opened.
    monkeypatch.setattr(fetching, "public_address", lambda *_: "127.0.0.1")
    with Site(path) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()
