"""A small STAC API that answers what a test tells it to: servers that fail cannot be had from real ones on demand."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Document = dict[str, Any]
CONFORMS = [
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/item-search",
    "https://api.stacspec.org/v1.0.0/item-search#filter",
    "https://api.stacspec.org/v1.0.0/item-search#fields",
]
TRANSACTION = "https://api.stacspec.org/v1.0.0/ogcapi-features/extensions/transaction"


@dataclass(frozen=True)
class Reply:
    """What one request gets. ``cut``: the connection ends before the body does. ``late``: it is carried out first."""

    status: int = 200
    body: bytes = b"{}"
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)
    cut: bool = False
    late: bool = False


def told(status: int, *, late: bool = False, **headers: str) -> Reply:
    """An error as APIs give it."""
    body = json.dumps({"code": str(status), "description": f"told to answer {status}"}).encode()
    return Reply(status, body, tuple(headers.items()), late=late)


@dataclass
class StacServer:
    """Keeps collections and items in memory; ``script`` holds replies for requests that begin with a text; all
    others are redirected where it has ``moved``, by this status to this root.
    """

    url: str = ""
    transactions: bool = True
    collections: dict[str, Document] = field(default_factory=dict)
    items: dict[tuple[str, str], Document] = field(default_factory=dict)
    script: list[tuple[str, Reply]] = field(default_factory=list)
    moved: tuple[int, str] | None = None
    seen: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    connections: list[tuple[str, int]] = field(default_factory=list)
    watch: Callable[[], None] = lambda: None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fail(self, request: str, *replies: Reply) -> None:
        """Answer the next requests that begin with ``request``, e.g. ``PUT /collections``, with these."""
        self.script += [(request, reply) for reply in replies]

    def planned(self, request: str) -> Reply | None:
        for number, (start, reply) in enumerate(self.script):
            if request.startswith(start):
                del self.script[number]
                return reply
        if self.moved is not None:
            status, root = self.moved
            return Reply(status, b"", (("Location", root + request.split(" ", 1)[1]),))
        return None

    def answer(self, method: str, path: str, body: Document) -> tuple[int, Document]:
        match [method, *path.strip("/").split("/")]:
            case ["GET", ""]:
                conforms = [*CONFORMS, *([TRANSACTION] if self.transactions else [])]
                links = [
                    {"rel": "root", "href": self.url},
                    {"rel": "search", "type": "application/geo+json", "method": "POST", "href": f"{self.url}/search"},
                ]
                page = {"type": "Catalog", "id": "fake", "description": "A fake.", "stac_version": "1.0.0"}
                return 200, page | {"conformsTo": conforms, "links": links}
            case ["POST", "search"]:
                wanted = body.get("ids")
                found = [
                    item
                    for (collection, item_id), item in sorted(self.items.items())
                    if collection in body["collections"] and (wanted is None or item_id in wanted)
                ]
                return 200, {"type": "FeatureCollection", "features": found, "links": []}
            case ["POST", "collections"]:
                self.collections[body["id"]] = body
                return 201, body
            case [("GET" | "PUT") as verb, "collections", name]:
                if verb == "PUT":
                    self.collections[name] = body
                found_one = self.collections.get(name)
                return (200, found_one) if found_one else (404, {"code": "NotFoundError"})
            case [verb, "collections", name, "items", *rest]:
                return self._written(verb, (name, rest[0] if rest else body["id"]), body)
        return 404, {"code": "NotFoundError"}

    def _written(self, method: str, key: tuple[str, str], body: Document) -> tuple[int, Document]:
        if (method == "POST") == (key in self.items):
            return (409 if method == "POST" else 404), {"code": "Conflict"}
        if method == "DELETE":
            del self.items[key]
        else:
            self.items[key] = body
        self.watch()
        return 200, body


@contextmanager
def running(server: StacServer) -> Iterator[StacServer]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Otherwise the body of every answer waits 40 ms for the client to confirm the head.
        disable_nagle_algorithm = True

        def handle_one(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            request = f"{self.command} {self.path}"
            with server.lock:
                server.seen.append(request)
                server.tokens.append(self.headers.get("Authorization", ""))
                server.connections.append(self.client_address)
                reply = server.planned(request)
                if reply is None or reply.late:
                    status, document = server.answer(self.command, self.path, body)
                    reply = reply or Reply(status, json.dumps(document).encode())
            self.send_response(reply.status)
            for name, value in reply.headers:
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(reply.body) + (100 if reply.cut else 0)))
            self.end_headers()
            self.wfile.write(reply.body)
            self.close_connection = reply.cut

        do_GET = do_POST = do_PUT = do_DELETE = handle_one

        def log_message(self, *_: Any) -> None:
            return

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    server.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
