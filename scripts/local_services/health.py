"""Asking a server whether it answers. Each function returns an empty string, or says in a few words what is wrong."""

import socket
import urllib.error
import urllib.request

from scripts.local_services.home import HOST

_SECONDS = 5.0
# A proxy of the caller's must not be asked for the loopback address.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def http(url: str, *accepted: int) -> str:
    """A GET that ends with 200, or with one of the ``accepted`` statuses."""
    try:
        with _OPENER.open(url, timeout=_SECONDS) as answer:
            status = answer.status
    except urllib.error.HTTPError as error:
        status = error.code
    except (OSError, ValueError) as error:
        return f"{url} does not answer: {getattr(error, 'reason', error)}"
    return "" if status == 200 or status in accepted else f"{url} answers {status}"


def greeting(port: int) -> str:
    """A server that speaks first, such as MariaDB."""
    try:
        with socket.create_connection((HOST, port), timeout=_SECONDS) as connection:
            return "" if connection.recv(1) else f"port {port} closes the connection at once"
    except OSError as error:
        return f"port {port} does not answer: {error}"


def redis(port: int, password: str) -> str:
    """A PING with the password."""
    try:
        with socket.create_connection((HOST, port), timeout=_SECONDS) as connection:
            connection.sendall(f"AUTH {password}\r\nPING\r\n".encode())
            answer = b""
            while answer.count(b"\r\n") < 2:
                received = connection.recv(256)
                if not received:
                    break
                answer += received
    except OSError as error:
        return f"port {port} does not answer: {error}"
    return "" if answer == b"+OK\r\n+PONG\r\n" else f"port {port} answers {answer.decode(errors='replace').strip()!r}"
