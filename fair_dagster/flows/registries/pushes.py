"""Which models were pushed to watched repositories since the last look: notifications, and tags where there are none.

Reads and decides; nothing is written but that answered notifications are forgotten. What a run then does with a model
stands in ``oci_models``.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from fair_dagster.domain.errors import FairError, NotFoundError, RefusedError, UnreachableError
from fair_dagster.domain.registries.assets import SCHEME
from fair_dagster.flows.services import Services
from fair_dagster.oci.artifacts.forms import CONFIG_TYPE, FAIR_MODEL, MODEL_TYPE, MODELPACK, OLD_MODEL_TYPE
from fair_dagster.oci.notifications.inbox import Inbox
from fair_dagster.oci.notifications.pushes import EVERY, PushesCursor, in_turn, places_of, shorten
from fair_dagster.oci.references import Reference, is_hidden_tag, referrers_tag
from fair_dagster.oci.trust.bundles import BUNDLE_TYPE

if TYPE_CHECKING:
    from fair_dagster.oci.descriptors import Manifest

_MOST_SIGNATURES = 10
_MODEL_TYPES = frozenset({FAIR_MODEL, MODELPACK})
_MODEL_LAYERS = frozenset({MODEL_TYPE, OLD_MODEL_TYPE})


@dataclass(frozen=True)
class PushLimits:
    """What one look may cost.

    Args:
        models: runs that it asks for.
        lookups: tags and notifications that registries are asked for.
        seconds: after which it leaves the rest to the next.
    """

    models: int = 20
    lookups: int = 300
    seconds: float = 30.0


@dataclass(frozen=True)
class PushedModel:
    """A model that was pushed, or signed since.

    Attributes:
        reference: names its digest.
        cause: for people.
        signature: what stands for the signatures that came later; empty for the push itself.
    """

    reference: Reference
    cause: str
    signature: str = ""

    @property
    def key(self) -> str:
        """One run a digest, however often and by whatever way it was heard of; and one when it was signed later."""
        return f"oci:{self.reference}" + (f":signed-{shorten(self.signature)}" if self.signature else "")


@dataclass
class PushesLook:
    """What a look found. ``problems`` are repositories that could not be read; the others were."""

    cursor: PushesCursor
    models: list[PushedModel] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    is_whole: bool = True

    @property
    def is_stuck(self) -> bool:
        """Whether nothing came of it but problems."""
        return bool(self.problems) and not self.models and not self.notes


def look(services: Services, cursor: PushesCursor, limits: PushLimits | None = None) -> PushesLook:
    """Look at what notifications say, and at the tags when their time has come.

    Raises:
        RefusedError: a watched repository is none; every one is named.
        StorageError: the inbox cannot be read.
    """
    watched = [_pattern(text) for text in services.settings.oci_watch]
    work = _Work(services, limits or PushLimits(), PushesLook(replace(cursor, answered=())))
    inbox = Inbox(services.settings.oci_inbox_path)
    # Only now are the runs started that the last look asked for.
    inbox.remove(cursor.answered)
    work.answer(inbox, watched)
    now = time.time()
    if now - cursor.polled >= services.settings.oci_poll_seconds:
        work.poll(watched, int(now // services.settings.oci_poll_seconds))
        if work.found.is_whole:
            work.found.cursor = replace(work.found.cursor, polled=now)
    return work.found


def _pattern(text: str) -> str:
    """``registry/repository`` or ``registry/prefix/*``.

    Raises:
        RefusedError: it is neither.
    """
    name = text.removeprefix(SCHEME)
    registry, _, repository = name.partition("/")
    plain = repository.removesuffix(EVERY) if repository != EVERY[1:] else "any"
    read = Reference.parse(f"{registry}/{plain}")
    if (read.registry, read.repository) != (registry, plain):
        raise RefusedError(f"FAIR_OCI_WATCH {text!r}", ["name registry/repository, or registry/prefix/* for all below"])
    return name


def is_model(manifest: "Manifest") -> bool:
    """Whether a manifest is a model, and no image, signature or attestation of one.

    What refers to another artifact is taken for a model only when it says so.
    """
    if manifest.is_index:
        return False
    config = manifest.config.media_type
    if manifest.artifact_type in _MODEL_TYPES or config == CONFIG_TYPE:
        return True
    if manifest.subject is not None or "image.config" in config or "container.image" in config:
        return False
    return any(layer.title or layer.media_type in _MODEL_LAYERS for layer in manifest.layers)


def signed_since(place: Reference, manifest: "Manifest", tag: str) -> list[PushedModel]:
    """The artifact that signatures are about: one that refers to it, or the index of what refers to it.

    A model is pushed first and signed then. Where signatures are asked for, its run may have come too early.
    """
    if not manifest.is_index:
        is_signature = manifest.subject is not None and manifest.artifact_type == BUNDLE_TYPE
        about, bundles = (manifest.subject.digest if manifest.subject else ""), [manifest.digest] * is_signature
    else:
        about = tag.replace("-", ":", 1)
        is_index = is_hidden_tag(tag) and referrers_tag(about) == tag
        bundles = [one.digest for one in manifest.manifests if is_index and one.artifact_type == BUNDLE_TYPE]
    # The last ones are new. Those before them have had their runs, and Dagster starts none twice.
    return [PushedModel(place.at(about), "a signature", digest) for digest in bundles[-_MOST_SIGNATURES:]]


class _Work:
    """One look: what it has found, and what it may still cost."""

    def __init__(self, services: Services, limits: PushLimits, found: PushesLook) -> None:
        self.found = found
        self._asks_signatures = services.settings.require_signed or bool(services.settings.allowed_registries)
        self._services = services
        self._limits = limits
        self._left = limits.lookups
        self._until = time.monotonic() + limits.seconds
        self._silent: set[str] = set()

    @property
    def _is_over(self) -> bool:
        return self._left <= 0 or len(self.found.models) >= self._limits.models or time.monotonic() > self._until

    def answer(self, inbox: Inbox, watched: list[str]) -> None:
        """Ask the registries for what they are said to hold."""
        answered = []
        for name, push in inbox.waiting().items():
            # Notifications that lead to a registry which refuses do not keep the tags from being looked at.
            if self._is_over or self._left <= self._limits.lookups // 2:
                break
            places = [Reference.parse(place).at(push.digest) for place in places_of(push.repository, watched)]
            told = [self._told(place, "a notification") for place in places]
            if None in told:
                continue
            answered.append(name)
            if not places:
                self.found.notes.append(f"a notification about {push.repository} is left: it is not watched")
            elif not any(told):
                self.found.notes.append(f"a notification about {push.repository}@{push.digest} led to nothing new")
        self.found.cursor = replace(self.found.cursor, answered=tuple(answered))

    def _told(self, reference: Reference, cause: str, tag: str = "") -> bool | None:
        """Whether there is news of a model there; None when the registry could not say."""
        if reference.registry in self._silent:
            return None
        self._left -= 1
        try:
            manifest = self._services.registries.manifest(reference)
        except NotFoundError:
            return False
        except RefusedError as error:
            self.found.notes.append(str(error))
            return False
        except FairError as error:
            self._fail(reference, error)
            return None
        news = [PushedModel(reference.at(manifest.digest), cause)] if is_model(manifest) else []
        if not news and self._asks_signatures:
            signed = signed_since(reference, manifest, tag)
            news = signed if signed and self._is_model_at(signed[0].reference) else []
        known = {one.key for one in self.found.models}
        self.found.models += [one for one in news if one.key not in known]
        return any(one.key not in known for one in news)

    def _is_model_at(self, reference: Reference) -> bool:
        """Whether what was signed is a model. What cannot be told now is not: a later signature is news again."""
        try:
            return is_model(self._services.registries.manifest(reference))
        except FairError as error:
            self.found.notes.append(f"{reference} is signed, and cannot be read: {error}")
            return False

    def poll(self, watched: list[str], turn: int) -> None:
        """Look at the tags of every watched repository."""
        seen: dict[str, Mapping[str, str]] = {}
        for place in self._places(watched):
            before = self.found.cursor.seen.get(place, {})
            repository = Reference.parse(place)
            tags = self._listed(repository)
            seen[place] = before if tags is None else self._tags(repository, tags, before, turn)
        # What is not watched any more is forgotten, unless a registry could not say what it has.
        kept = self.found.cursor.seen if self.found.problems else {}
        self.found.cursor = replace(self.found.cursor, seen={**kept, **seen})

    def _listed(self, repository: Reference) -> list[str] | None:
        """The tags of a repository; None when they are left to the next look."""
        if self._is_over:
            self.found.is_whole = False
            return None
        try:
            return list(self._services.registries.tags(repository, hidden=self._asks_signatures))
        except NotFoundError:
            # Nothing was pushed there yet.
            return []
        except FairError as error:
            self._fail(repository, error)
            return None

    def _tags(self, place: Reference, tags: list[str], before: Mapping[str, str], turn: int) -> dict[str, str]:
        """The digests of tags; those that nobody looked at now stay as they were."""
        seen = {tag: before[tag] for tag in tags if tag in before}
        self.found.is_whole &= len(tags) - len(seen) <= self._left
        for tag in in_turn(tags, before, self._left, turn):
            if self._is_over:
                self.found.is_whole = False
                break
            self._left -= 1
            reference = place.with_tag(tag)
            try:
                digest = self._services.registries.digest_of(reference)
            except NotFoundError:
                # Some registries list tags whose manifests are gone.
                seen[tag] = ""
                continue
            except FairError as error:
                self._fail(reference, error)
                if reference.registry in self._silent:
                    break
                continue
            if seen.get(tag) != shorten(digest) and self._told(place.at(digest), f"tag {tag}", tag) is None:
                continue
            seen[tag] = shorten(digest)
        return seen

    def _places(self, watched: list[str]) -> Iterator[str]:
        """Every watched repository once."""
        given: set[str] = set()
        for pattern in watched:
            registry, _, name = pattern.partition("/")
            places = [pattern]
            if name.endswith(EVERY[1:]):
                try:
                    found = list(self._services.registries.repositories(registry))
                    places = [place for one in found for place in places_of(one, [pattern])]
                except FairError as error:
                    self._fail(Reference.parse(f"{registry}/catalog"), error)
                    places = []
            yield from (place for place in places if place not in given)
            given.update(places)

    def _fail(self, reference: Reference, error: FairError) -> None:
        if isinstance(error, UnreachableError):
            self._silent.add(reference.registry)
        self.found.problems.append(f"{reference}: {error}")
