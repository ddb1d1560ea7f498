"""Telling a webhook what went wrong: the message, its signature, and sending it until somebody has it.

Knows HTTP and nothing of Dagster. Neither the address nor the secret stands in an error or a log: whoever has the
address of a webhook can post to it.

A receiver verifies a message so: take the header ``X-Fair-Timestamp`` and the body as the bytes that came; compute
HMAC-SHA256 with the secret over ``<timestamp>.<body>``; compare its hex digest in constant time with what follows
``sha256=`` in ``X-Fair-Signature``; refuse timestamps that are older than some minutes.
"""

import hashlib
import hmac
import json
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fair_dagster.domain.errors import RefusedError, ServiceError

if TYPE_CHECKING:
    import httpx
    from pydantic import SecretStr

TIMESTAMP_HEADER = "X-Fair-Timestamp"
SIGNATURE_HEADER = "X-Fair-Signature"
PAUSES = (0.5, 1.0, 2.0)
"""Seconds between two attempts at one message; a sensor tick may take a minute."""
_SECONDS = 5.0
TRYING_SECONDS = 10.0
"""After which one message is not tried again in the same tick."""
_ABOUT_THE_MESSAGE = frozenset({400, 413, 415, 422})
_TEXT_CHARACTERS = 1500


@dataclass(frozen=True)
class Alert:
    """A failed run.

    Attributes:
        id: the same however often it is sent, so that a receiver can drop what it has.
        model, version: of the finetuned model, and the version id; None for runs of something else.
        started, ended: aware, in UTC.
        log: the last lines that the failed step printed.
        url: the run in the Dagster UI, where that is known.
    """

    id: str
    run_id: str
    job: str
    partition: str | None
    model: str | None
    version: str | None
    started: datetime | None
    ended: datetime | None
    step: str | None
    cause: str
    log: Sequence[str]
    url: str | None

    @property
    def text(self) -> str:
        """One message for people, which receivers of chat systems show."""
        subject = f" of {self.partition or self.model}" if self.partition or self.model else ""
        link = f"\n{self.url}" if self.url else ""
        return f"{self.job}{subject} failed: {self.cause[:_TEXT_CHARACTERS]}{link}"

    def body(self) -> bytes:
        moments = {
            name: moment.astimezone(UTC).isoformat() if moment else None
            for name, moment in (("started", self.started), ("ended", self.ended))
        }
        return json.dumps({"event": "run_failure", "text": self.text, **asdict(self), **moments}).encode()


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """What the header of the signature says."""
    return "sha256=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def send(webhook: "SecretStr", secret: "SecretStr | None", alert: Alert, pauses: Sequence[float] | None = None) -> None:
    """Post ``alert``, again after each of ``pauses`` (seconds, ``PAUSES``) when the receiver cannot take it now.

    Raises:
        RefusedError: the receiver will never take this message; another one it may.
        ServiceError: it has not taken it yet.
    """
    import httpx

    body = alert.body()
    problem = ""
    last_attempt = time.monotonic() + TRYING_SECONDS
    # An answer that leads elsewhere is not followed: what is told is meant for this address.
    with httpx.Client(timeout=_SECONDS, follow_redirects=False) as client, _without_addresses():
        for pause in (*(PAUSES if pauses is None else pauses), None):
            try:
                status = _post(client, webhook, secret, body)
            except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
                problem = _describe(error)
            else:
                if 200 <= status < 300:
                    return
                if status in _ABOUT_THE_MESSAGE:
                    raise RefusedError(f"alert {alert.id}", [f"the webhook answered {status}"])
                problem = f"it answered {status}"
            if pause is None or time.monotonic() + pause > last_attempt:
                break
            time.sleep(pause)
    raise ServiceError(
        f"the webhook of FAIR_ALERT_WEBHOOK did not take alert {alert.id}: {problem}; it is sent again at the next tick"
    )


def _post(client: "httpx.Client", webhook: "SecretStr", secret: "SecretStr | None", body: bytes) -> int:
    """The status of the answer, whose body is not read: it may be without end."""
    headers = _headers(secret, body)
    with client.stream("POST", webhook.get_secret_value(), content=body, headers=headers) as answer:
        return answer.status_code


def _headers(secret: "SecretStr | None", body: bytes) -> dict[str, str]:
    timestamp = str(int(time.time()))
    headers = {"Content-Type": "application/json", TIMESTAMP_HEADER: timestamp}
    if secret is not None:
        headers[SIGNATURE_HEADER] = signature(secret.get_secret_value(), timestamp, body)
    return headers


def _describe(error: "httpx.HTTPError | httpx.InvalidURL | UnicodeError") -> str:
    """Its kind only: the message may hold the address."""
    kinds = {
        "ConnectError": "nothing answers there",
        "ConnectTimeout": f"nothing answered within {_SECONDS:.0f} seconds",
        "ReadTimeout": f"no answer within {_SECONDS:.0f} seconds",
        "UnsupportedProtocol": "its address must begin with https:// or http://",
        "InvalidURL": "its address is no URL",
    }
    return kinds.get(type(error).__name__, f"the connection failed ({type(error).__name__})")


@contextmanager
def _without_addresses() -> Iterator[None]:
    """httpx logs each request with its address; what this thread sends is kept out of logs."""
    thread = threading.get_ident()

    def visible(record: logging.LogRecord) -> bool:
        return record.thread != thread

    # A filter of a logger does not apply to its children: each that writes gets its own.
    names = ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy")
    for name in names:
        logging.getLogger(name).addFilter(visible)
    try:
        yield
    finally:
        for name in names:
            logging.getLogger(name).removeFilter(visible)
