"""Addresses of hosts that an item or an answer names: resolved once, and public.

Whoever connects goes to the very address that was looked at, so that a name cannot point at a public address when it
is checked and at a private one when it is used. Nothing here connects.
"""

import ipaddress
import socket
import threading

from fair_dagster.domain.errors import PrivateAddressError, UnreachableError


def public_address(host: str, port: int, max_seconds: float) -> str:
    """One address of ``host``, all of which must be public.

    Raises:
        PrivateAddressError: one of them is not.
        UnreachableError: the name cannot be resolved in ``max_seconds``.
    """
    found = resolve(host, port, max_seconds)
    for address in found:
        parsed = ipaddress.ip_address(address)
        if not parsed.is_global or parsed.is_multicast:
            raise PrivateAddressError(f"{host}: {address} is not a public address")
    return found[0]


def is_loopback(host: str) -> bool:
    """Whether ``host`` names this machine, by name or by address; nothing is resolved."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def resolve(host: str, port: int, max_seconds: float) -> list[str]:
    """The addresses of ``host``, at least one.

    Raises:
        UnreachableError: the name cannot be resolved in ``max_seconds``.
    """
    # A resolver without network may hang for minutes and takes no timeout: it is left alone in its thread.
    answer: list[str] = []

    def ask() -> None:
        try:
            rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError:
            return
        answer.extend(str(row[4][0]) for row in rows)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(max_seconds)
    found = list(answer)
    if not found:
        raise UnreachableError(f"{host}: the name cannot be resolved")
    return found
