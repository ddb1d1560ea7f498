"""Deleting artifacts: by digest, or a tag alone where the registry can; never more than was named.

Registries free the space of blobs by a clean-up of their own.
"""

from collections.abc import Callable
from dataclasses import dataclass

from fair_dagster.domain.errors import NotFoundError, ProblemsError, RefusedError, ServiceError
from fair_dagster.oci.references import Reference, referrers_tag
from fair_dagster.oci.registry.client import errors_in
from fair_dagster.oci.registry.manifests import deletion_refusal
from fair_dagster.oci.registry.registries import Registries
from fair_dagster.oci.registry.transfers import in_parallel

_THREADS = 8
_UNSUPPORTED = frozenset({400, 404, 405, 501})


@dataclass(frozen=True)
class Deleted:
    """What is gone: digests of manifests, and tags."""

    digests: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


def delete(registries: Registries, reference: Reference, *, referrers: bool = False, all_tags: bool = False) -> Deleted:
    """Delete an artifact, or only a tag where the registry knows how to.

    Args:
        referrers: also what refers to it, which nobody would find any more.
        all_tags: also when other tags lead to the same manifest.

    Raises:
        RefusedError: other tags or referrers would be lost with it; nothing was deleted.
        As ``Registries``; what had been deleted by then is gone.
    """
    digest = registries.digest_of(reference)
    if reference.tag is not None and reference.digest is None and _only_tag(registries, reference):
        return Deleted(tags=(reference.tag,))
    plan = _plan(registries, reference.at(digest))
    root = plan[-1]
    others = [tag for one in plan for tag in one.tags if one is not root or tag != reference.tag]
    problems = []
    if others and not all_tags:
        problems.append(f"tags {', '.join(others[:5])} lead to what would go: allow all of its tags")
    if len(plan) > 1 and not referrers:
        problems.append(f"{len(plan) - 1} manifests refer to it and would be lost: allow to delete its referrers")
    if problems:
        raise RefusedError(f"deletion of {reference}", problems)
    for one in plan[:-1]:
        registries.manifests.delete(one.pinned, one.digest)
        _drop_index(registries, one.pinned)
    registries.delete_manifest(root.pinned)
    _drop_index(registries, root.pinned)
    return Deleted(tuple(one.digest for one in plan), tuple(tag for one in plan for tag in one.tags))


@dataclass(frozen=True)
class _Doomed:
    pinned: Reference
    tags: tuple[str, ...]

    @property
    def digest(self) -> str:
        return self.pinned.digest or ""


def _plan(registries: Registries, pinned: Reference) -> list[_Doomed]:
    """What goes with a manifest, and last it."""
    going = [pinned]
    for one in going:
        known = {other.digest for other in going}
        going += [pinned.at(found.digest) for found in registries.referrers(one) if found.digest not in known]
    tags = _tags(registries, pinned)
    return [_Doomed(one, tuple(tag for tag, digest in tags.items() if digest == one.digest)) for one in reversed(going)]


def _only_tag(registries: Registries, reference: Reference) -> bool:
    """Delete a tag and leave the manifest; False where the registry deletes by digest only."""
    url = registries.client.url(reference, f"manifests/{reference.tag}")
    answer = registries.client.send("DELETE", url, reference, "delete")
    if answer.status in {200, 202, 204}:
        return True
    codes, _ = errors_in(answer)
    if answer.status in _UNSUPPORTED and "DENIED" not in codes:
        return False
    raise deletion_refusal(reference, answer)


def _tags(registries: Registries, anywhere: Reference) -> dict[str, str]:
    """The digest of each tag of a repository."""
    tags = list(registries.tags(anywhere, hidden=True))
    found = in_parallel([_looking_up(registries, anywhere.with_tag(tag)) for tag in tags], threads=_THREADS)
    return dict(zip(tags, found, strict=True))


def _looking_up(registries: Registries, reference: Reference) -> Callable[[object], str]:
    def look_up(_: object) -> str:
        try:
            return registries.digest_of(reference)
        except NotFoundError:
            return ""

    return look_up


def _drop_index(registries: Registries, pinned: Reference) -> None:
    """Remove the fallback index of what is gone."""
    place = pinned.with_tag(referrers_tag(pinned.digest or ""))
    try:
        digest = registries.digest_of(place)
    except NotFoundError:
        return
    try:
        registries.manifests.delete(place, digest)
    except (ServiceError, ProblemsError) as error:
        raise ServiceError(f"{pinned} is deleted, and the index of its referrers at {place} is not: {error}") from error
