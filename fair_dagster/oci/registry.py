"""The client of registries: which digest a reference has now.

The Distribution API (https://github.com/opencontainers/distribution-spec), with the ways of authorization that
registries have. Credentials never leave for another registry than their own and its token service.
"""

import hashlib
import json
import re
from collections.abc import Callable, Sequence

from fair_dagster.domain.errors import NotFoundError, ServiceError
from fair_dagster.oci.authorization import Token, challenges, fetch_token
from fair_dagster.oci.connections import Answer, Connections
from fair_dagster.oci.credentials import Credentials, find_credentials
from fair_dagster.oci.references import Reference

MANIFEST_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
"""An index comes first: its digest stands for the image on every platform."""
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_UNKNOWN = frozenset({"MANIFEST_UNKNOWN", "NAME_UNKNOWN", "NOT_FOUND"})


class Registries:
    """Asks registries, each with its own credentials. Tokens are kept for as long as they last.

    Args:
        trusted: as ``Settings.registries``.
        credentials: finds what to say to a registry.
    """

    def __init__(
        self,
        trusted: Sequence[str] = (),
        credentials: Callable[[str], Credentials | None] = find_credentials,
    ) -> None:
        self._connections = Connections(trusted)
        self._credentials = credentials
        self._tokens: dict[tuple[str, str], Token] = {}

    def digest_of(self, reference: Reference) -> str:
        """The digest that ``reference`` has now; a reference by digest is looked up as well.

        Raises:
            NotFoundError: the registry says that there is no such image.
            ServiceError: the registry cannot be asked, refuses, or does not answer like a registry.
            UnreachableError: it does not answer at all.
        """
        answer = self._manifest("HEAD", reference)
        found = answer.headers.get("docker-content-digest", "")
        if answer.status != 200 or not _DIGEST.fullmatch(found):
            # Without a body there is no reason, and from some registries no digest.
            answer = self._manifest("GET", reference)
            found = self._digest_in(reference, answer)
        if reference.digest and found != reference.digest:
            raise ServiceError(f"registry {reference.registry} answers {reference} with {found}")
        return found

    def _digest_in(self, reference: Reference, answer: Answer) -> str:
        if answer.status != 200:
            raise _refusal(reference, answer)
        if answer.media_type not in MANIFEST_TYPES:
            kind = answer.media_type or "something"
            raise ServiceError(f"{reference.registry} answers with {kind}, which is no manifest: is it a registry?")
        algorithm = (reference.digest or "sha256").partition(":")[0]
        counted = f"{algorithm}:{hashlib.new(algorithm, answer.body).hexdigest()}"
        told = answer.headers.get("docker-content-digest", counted)
        if told.startswith(f"{algorithm}:") and told != counted:
            raise ServiceError(f"the manifest of {reference} arrived altered: it is {counted}, not {told}")
        return counted

    def _manifest(self, method: str, reference: Reference) -> Answer:
        base = self._connections.base_url(reference.api_host)
        url = f"{base}/v2/{reference.repository}/manifests/{reference.version}"
        try:
            return self._authorized(method, url, reference)
        except ServiceError as error:
            # Of the same kind: a server that is silent need not be asked for the next image.
            raise type(error)(f"registry {reference.registry} cannot be asked for {reference}: {error}") from error

    def _authorized(self, method: str, url: str, reference: Reference) -> Answer:
        """Send; a registry that wants to know who asks is told, and a token that has ended is replaced once."""
        headers = {"Accept": ", ".join(MANIFEST_TYPES)}
        scope = f"repository:{reference.repository}:pull"
        key = (reference.api_host, scope)
        token = self._tokens.get(key)
        known = {"Authorization": f"Bearer {token.value}"} if token is not None and token.usable else {}
        answer = self._connections.send(method, url, headers | known)
        if answer.status != 401:
            return answer
        offered = challenges(answer.headers.get("www-authenticate", ""))
        credentials = self._credentials(reference.registry)
        if "bearer" in offered:
            self._tokens[key] = fetch_token(self._connections, offered["bearer"], scope, credentials)
            authorization = f"Bearer {self._tokens[key].value}"
        elif "basic" in offered and credentials is not None:
            authorization = credentials.basic
        else:
            return answer
        return self._connections.send(method, url, headers | {"Authorization": authorization})


def _refusal(reference: Reference, answer: Answer) -> NotFoundError | ServiceError:
    """What an answer without a manifest means. Only a registry can say that something is not there."""
    codes, message = _errors(answer)
    if answer.status == 404 and codes & _UNKNOWN:
        return NotFoundError(f"image {reference}", [f"registry {reference.registry} has no such image{message}"])
    if answer.status in {401, 403}:
        return ServiceError(
            f"registry {reference.registry} does not let {reference} be read ({answer.status}{message}): "
            f"`docker login {reference.registry}`, or the image does not exist"
        )
    if answer.status == 429:
        return ServiceError(f"registry {reference.registry} lets nobody ask for now (429{message}): try again later")
    return ServiceError(
        f"registry {reference.registry} cannot be asked for {reference}: it answers {answer.status}"
        f"{message or ' and ' + (answer.media_type or 'nothing')}"
    )


def _errors(answer: Answer) -> tuple[set[str], str]:
    """The error codes of a registry's answer, and its words with a colon before; nothing of another form."""
    try:
        errors = json.loads(answer.body)["errors"]
        codes = {str(error.get("code", "")).upper() for error in errors}
        words = next((str(error["message"])[:200] for error in errors if error.get("message")), "")
    except (ValueError, TypeError, KeyError, AttributeError):
        return set(), ""
    words = " ".join(words.split())
    return codes, f": {words}" if words else ""
