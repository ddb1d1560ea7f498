"""Connections: kept while they are good, and never shared with a forked process."""

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from fair_dagster.domain.errors import ServiceError
from fair_dagster.oci.registry import connections
from fair_dagster.oci.registry.connections import Connections
from tests.oci.servers import Fake


class _Handler(BaseHTTPRequestHandler):
    """Answers with the port of its client; ``/last`` closes the connection without a word."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = str(self.client_address[1]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = self.path == "/last"

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def host() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def port(connections: Connections, host: str, path: str = "/") -> int:
    """From which port a request came."""
    return int(connections.send("GET", f"http://{host}{path}", {}).body)


def test_a_connection_is_kept_for_the_next_request(host: str) -> None:
    connections = Connections((host,))
    assert len({port(connections, host) for _ in range(3)}) == 1


def test_a_connection_that_the_server_has_closed_is_made_anew(host: str) -> None:
    connections = Connections((host,))
    closed = port(connections, host, "/last")
    assert port(connections, host) != closed
    assert int(connections.send("POST", f"http://{host}/last", {}, body=b"").body)
    assert port(connections, host) > 0


def test_a_forked_process_has_connections_of_its_own(host: str) -> None:
    connections = Connections((host,))
    mine = port(connections, host)
    child = os.fork()
    if not child:
        os._exit(0 if port(connections, host) != mine else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert port(connections, host) == mine


def test_an_address_that_cannot_be_sent_is_told(host: str) -> None:
    with pytest.raises(ServiceError, match="cannot be sent"):
        Connections((host,)).send("GET", f"http://{host}/ü x", {})


@pytest.mark.parametrize(("asked", "waited"), [("3", 3.0), ("100", 10.0), ("0", 0.5), ("soon", 0.5), ("", 0.5)])
def test_a_busy_server_is_given_the_time_it_asks_for(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, asked: str, waited: float
) -> None:
    host, _ = fake(busy=1, retry_after=asked)
    pauses: list[float] = []
    monkeypatch.setattr(connections.time, "sleep", pauses.append)
    assert Connections((host,)).send("GET", f"http://{host}/v2/", {}).status == 401
    assert pauses == [waited]
