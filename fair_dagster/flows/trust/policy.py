"""Policies on what is deployed and on what comes in, with the signatures that they ask for verified in the registry.

How Rego is evaluated stands in ``trust.policy``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fair_dagster.domain.errors import ProblemsError, RefusedError
from fair_dagster.flows.services import Services
from fair_dagster.flows.trust.acceptance import trusted_keys
from fair_dagster.oci.references import Reference
from fair_dagster.oci.trust.policy import Document, Policy, Resource, settings_of

if TYPE_CHECKING:
    from fair_dagster.oci.registry.registries import Registries
    from fair_dagster.oci.trust.keys import TrustedKey
    from fair_dagster.oci.trust.verifying import Verification


@dataclass(frozen=True)
class Judgement:
    """What policies say of some resources.

    Attributes:
        denied: reasons by the name of a resource; empty where all are allowed.
        signed: digests that were verified.
        unsigned: why other references are not signed.
    """

    denied: dict[str, list[str]] = field(default_factory=dict)
    signed: tuple[str, ...] = ()
    unsigned: dict[str, str] = field(default_factory=dict)

    @property
    def allowed(self) -> bool:
        return not self.denied


def judge(
    resources: Sequence[Resource],
    registries: "Registries",
    keys: "Sequence[TrustedKey]",
    *,
    allowed: Sequence[str],
    policies: Sequence[Policy] = (),
    data: Document | None = None,
) -> Judgement:
    """Judge resources of Kubernetes by the shipped policy and by ``policies``.

    Registries are asked for what the policy would allow if it were signed, and for nothing else.

    Args:
        allowed: registries, or parts of them, that models and images may come from.
        data: settings beside these, and data of the policies.

    Raises:
        RefusedError: a policy is broken.
        As ``Registries`` where one does not answer: what cannot be checked is not allowed.
    """
    kserve = Policy.shipped("kserve")
    known = settings_of(allowed, (), data)
    asked = {text for one in resources for text in kserve.ask("references", one.document, known)}
    signed, unsigned = _verified(sorted(asked), registries, keys)
    known = settings_of(allowed, signed, data)
    denied: dict[str, list[str]] = {}
    for one in resources:
        reasons = [reason for policy in (kserve, *policies) for reason in policy.denials(one.document, known)]
        if reasons:
            denied.setdefault(one.name, []).extend(sorted(reasons))
    return Judgement(denied, tuple(signed), unsigned)


def artifact_denials(
    verification: "Verification", allowed: Sequence[str], policies: Sequence[Policy] = (), data: Document | None = None
) -> list[str]:
    """Why an artifact may not come in, by the shipped policy and by ``policies``."""
    document = artifact_document(verification)
    known = settings_of(allowed, (), data)
    every = (Policy.shipped("artifact"), *policies)
    return sorted(reason for policy in every for reason in policy.denials(document, known))


def artifact_document(verification: "Verification") -> dict[str, Any]:
    """What policies are told of an artifact."""
    manifest = verification.manifest
    return {
        **verification.document(),
        "artifact_type": manifest.artifact_type,
        "annotations": dict(manifest.annotations),
        "files": verification.files,
    }


def require_allowed(
    services: Services, reference: Reference, *, registries: "Registries | None" = None
) -> "Verification | None":
    """Make sure that an artifact may come in; None where ``FAIR_ALLOWED_REGISTRIES`` is not set.

    Raises:
        RefusedError: policy denies it; every reason is named, those of signatures included.
        As ``Registries``.
    """
    allowed = services.settings.allowed_registries
    if not allowed:
        return None
    from fair_dagster.oci.trust.verifying import verify

    found = verify(registries or services.registries, reference, trusted_keys(services.settings))
    if denials := artifact_denials(found, allowed):
        raise RefusedError(f"{found.pinned}", [*denials, *found.ignored])
    return found


def _verified(
    references: Sequence[str], registries: "Registries", keys: "Sequence[TrustedKey]"
) -> tuple[list[str], dict[str, str]]:
    from fair_dagster.oci.trust.verifying import verify

    signed, unsigned = [], {}
    for text in references:
        try:
            signed.append(verify(registries, Reference.parse(text), keys).require().manifest.digest)
        except ProblemsError as error:
            unsigned[text] = "; ".join(error.problems)
    return signed, unsigned
