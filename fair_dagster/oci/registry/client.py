"""Authorized requests to registries: who asks, with which token, and what an answer that refuses means.

The Distribution API (https://github.com/opencontainers/distribution-spec), with the ways of authorization that
registries have. Credentials never leave for another server than their registry and the token service that it names.
What is asked stands in ``registry``, ``blobs`` and ``referrers``.

See docs/decisions/0033.
"""

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Literal
from urllib.parse import urljoin, urlsplit

from fair_dagster.domain.errors import NotFoundError, ServiceError
from fair_dagster.net.pinned import Body, PipeBody, Stream
from fair_dagster.oci.references import Reference
from fair_dagster.oci.registry.authorization import Token, challenges, fetch_token
from fair_dagster.oci.registry.connections import TRIES, Answer, Connections, is_busy
from fair_dagster.oci.registry.credentials import Credentials, find_credentials

Actions = Literal["pull", "pull,push", "delete"]
_UNKNOWN = frozenset({"MANIFEST_UNKNOWN", "NAME_UNKNOWN", "BLOB_UNKNOWN", "NOT_FOUND"})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5
_DOES = {"pull": "be read", "pull,push": "be written", "delete": "be deleted"}
_NEXT = re.compile(r"<(?P<target>[^>]*)>\s*;[^,]*\brel=\"?next\"?")


class Client:
    """Asks registries, each with its own credentials. Tokens are kept for as long as they last; threads may share it.

    Args:
        trusted: as ``Settings.registries``.
        credentials: finds what to say to a registry.
    """

    def __init__(
        self,
        trusted: Sequence[str] = (),
        credentials: Callable[[str], Credentials | None] = find_credentials,
    ) -> None:
        self.connections = Connections(trusted)
        self._credentials = credentials
        self._tokens: dict[tuple[str, str], Token] = {}
        self._basic: dict[str, str] = {}
        self._lock = threading.Lock()

    def url(self, reference: Reference, path: str) -> str:
        """The address of something in the repository of ``reference``, or elsewhere at its registry."""
        return urljoin(f"{self.connections.base_url(reference.api_host)}/v2/{reference.repository}/", path)

    def send(
        self,
        method: str,
        url: str,
        reference: Reference,
        actions: Actions = "pull",
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """Send a request, as often as ``Connections.send``; a registry that wants to know who asks is told.

        Raises:
            UnreachableError, ServiceError: naming registry and reference. Any status is an answer.
        """
        return self._twice(
            url, reference, actions, headers, lambda told: self.connections.send(method, url, told, body=body)
        )

    def once(
        self,
        method: str,
        url: str,
        reference: Reference,
        actions: Actions = "pull",
        *,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
    ) -> Answer:
        """As ``send``, without repeating what a busy server refuses. For bodies that must not arrive twice.

        A body that can be read only once is not sent again with another token, either: 401 is an answer then.
        """
        return self._twice(
            url,
            reference,
            actions,
            headers,
            lambda told: self.connections.once(method, url, told, body),
            is_repeatable=not isinstance(body, PipeBody),
        )

    @contextmanager
    def open(self, url: str, reference: Reference, headers: Mapping[str, str]) -> Iterator[Stream]:
        """A GET whose body the caller reads. Redirects are followed, without credentials where they leave the registry.

        Raises:
            UnreachableError, ServiceError: naming registry and reference. Any status but a redirect is an answer.
        """
        known = self._known(url, reference, "pull")
        tries, redirects, is_told = TRIES, _MOST_REDIRECTS, False
        while True:
            with ExitStack() as stack:
                with self._named(reference):
                    stream = stack.enter_context(self.connections.open("GET", url, {**headers, **known}))
                answer = Answer(stream.status, stream.headers, b"")
                is_asking = answer.status == 401 and not is_told and self._is_own(url, reference)
                is_elsewhere = answer.status in _REDIRECTS and redirects > 0
                if not is_asking and not is_elsewhere and not (is_busy(answer.status) and tries > 1):
                    yield _NamedStream(stream, lambda: self._named(reference))
                    return
            if is_asking:
                is_told, known = True, self._authorization(reference, "pull", answer)
            elif is_elsewhere:
                # Registries hand blobs out through other servers, which are told by the address what may be read.
                redirects, url = redirects - 1, urljoin(url, answer.headers.get("location", ""))
                known = self._known(url, reference, "pull")
            else:
                tries -= 1
                self.connections.wait(tries, answer)

    def pages(self, path: str, reference: Reference, headers: Mapping[str, str] | None = None) -> Iterator[Answer]:
        """The answers to a request whose list comes in pages: RFC 5988 links, of the same registry only.

        Raises:
            As ``send``; any status is an answer, and the last one.
        """
        url, seen = self.url(reference, path), set[str]()
        while url not in seen:
            seen.add(url)
            answer = self.send("GET", url, reference, headers=headers)
            yield answer
            found = _NEXT.search(answer.headers.get("link", ""))
            if answer.status != 200 or found is None:
                return
            following = urljoin(url, found["target"])
            if not self._is_own(following, reference):
                raise ServiceError(f"registry {reference.registry} sends for the next page to another server")
            # The scheme is what was agreed with the registry, whatever a proxy before it makes of it.
            parts = urlsplit(following)
            url = urljoin(url, f"{parts.path}?{parts.query}")
        raise ServiceError(f"registry {reference.registry} answers with the same page again and again")

    def _twice(
        self,
        url: str,
        reference: Reference,
        actions: Actions,
        headers: Mapping[str, str] | None,
        ask: Callable[[Mapping[str, str]], Answer],
        *,
        is_repeatable: bool = True,
    ) -> Answer:
        """Ask; once more with a new token where the registry wants one."""
        with self._named(reference):
            told = headers or {}
            answer = ask({**told, **self._known(url, reference, actions)})
            if answer.status != 401 or not self._is_own(url, reference):
                return answer
            known = self._authorization(reference, actions, answer)
            return ask({**told, **known}) if known and is_repeatable else answer

    def _known(self, url: str, reference: Reference, actions: Actions) -> dict[str, str]:
        """What the registry has wanted to be told before; nothing to other servers."""
        if not self._is_own(url, reference):
            return {}
        with self._lock:
            token = self._tokens.get((reference.api_host, _scope(reference, actions)))
            basic = self._basic.get(reference.api_host)
        if token is not None and token.usable:
            return {"Authorization": f"Bearer {token.value}"}
        return {"Authorization": basic} if basic else {}

    def _authorization(self, reference: Reference, actions: Actions, answer: Answer) -> dict[str, str]:
        offered = challenges(answer.headers.get("www-authenticate", ""))
        credentials = self._credentials(reference.registry)
        if "bearer" in offered:
            scope = _scope(reference, actions)
            token = fetch_token(self.connections, offered["bearer"], scope, credentials)
            with self._lock:
                self._tokens[reference.api_host, scope] = token
            return {"Authorization": f"Bearer {token.value}"}
        if "basic" in offered and credentials is not None:
            with self._lock:
                self._basic[reference.api_host] = credentials.basic
            return {"Authorization": credentials.basic}
        return {}

    def _is_own(self, url: str, reference: Reference) -> bool:
        return urlsplit(url).netloc.lower() == reference.api_host.lower()

    @contextmanager
    def _named(self, reference: Reference) -> Iterator[None]:
        try:
            yield
        except ServiceError as error:
            # Of the same kind: a server that is silent need not be asked for the next image.
            raise type(error)(f"registry {reference.registry} cannot be asked for {reference}: {error}") from error


class _NamedStream:
    """A stream whose errors name the registry and what was asked of it."""

    def __init__(self, stream: Stream, named: Callable[[], AbstractContextManager[None]]) -> None:
        self.status, self.headers = stream.status, stream.headers
        self._stream, self._named = stream, named

    def readinto(self, buffer: memoryview) -> int:
        with self._named():
            return self._stream.readinto(buffer)


def _scope(reference: Reference, actions: Actions) -> str:
    return f"repository:{reference.repository}:{actions}"


def refusal(
    reference: Reference, answer: Answer, actions: Actions = "pull", what: str = "image"
) -> NotFoundError | ServiceError:
    """What an answer means that is not what was asked for. Only a registry can say that something is not there.

    Args:
        what: what to call the thing that ``reference`` names.
    """
    codes, message = errors_in(answer)
    if answer.status == 404 and codes & _UNKNOWN:
        named = reference.name if what == "repository" else reference
        return NotFoundError(f"{what} {named}", [f"registry {reference.registry} has no such {what}{message}"])
    if answer.status in {401, 403}:
        exists = ", or it does not exist" if actions == "pull" else ""
        return ServiceError(
            f"registry {reference.registry} does not let {reference} {_DOES[actions]} ({answer.status}{message}): "
            f"`fair-dagster oci login {reference.registry}` or `docker login {reference.registry}` as a user who "
            f"may{exists}"
        )
    if answer.status == 429:
        return ServiceError(
            f"registry {reference.registry} lets nobody ask for {reference} now (429{message}): try again later"
        )
    return ServiceError(
        f"registry {reference.registry} cannot be asked for {reference}: it answers {answer.status}"
        f"{message or ' and ' + (answer.media_type or 'nothing')}"
    )


def errors_in(answer: Answer) -> tuple[set[str], str]:
    """The error codes of a registry's answer, and its words with a colon before; nothing of another form."""
    try:
        errors = json.loads(answer.body)["errors"]
        codes = {str(error.get("code", "")).upper() for error in errors}
        words = next((str(error["message"])[:200] for error in errors if error.get("message")), "")
    except (ValueError, TypeError, KeyError, AttributeError):
        return set(), ""
    words = " ".join(words.split())
    return codes, f": {words}" if words else ""
