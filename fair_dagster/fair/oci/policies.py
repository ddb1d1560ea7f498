"""Policies: which models may be deployed, and which artifacts may come in. Rego that denies what it does not know."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fair_dagster.domain.errors import RefusedError
from fair_dagster.fair.oci.client import RegistryPart, to_reference

if TYPE_CHECKING:
    from fair_dagster.flows.trust.policy import Judgement
    from fair_dagster.oci.references import Reference
    from fair_dagster.oci.registry.registries import Registries
    from fair_dagster.oci.trust.policy import Policy, Resource, Shipped


@dataclass(frozen=True)
class GatekeeperPolicy:
    """A policy as Gatekeeper takes it.

    Attributes:
        documents: the ConstraintTemplate and a Constraint of it, resources of Kubernetes.
        yaml: both as text.
    """

    documents: tuple[Mapping[str, Any], ...]
    yaml: str


class Policies(RegistryPart):
    """``Fair.oci.policy``."""

    def check(
        self,
        files: Sequence[Path] = (),
        artifacts: "Sequence[Reference | str]" = (),
        *,
        contents: Mapping[str, bytes] | None = None,
        allowed: Sequence[str] = (),
        keys: Sequence[Path] = (),
        policies: Sequence[Path] = (),
        data: Mapping[str, Any] | None = None,
    ) -> "Judgement":
        """Judge manifests of Kubernetes and artifacts. What they name is looked up, and its signatures are verified.

        Args:
            files: manifests in YAML or JSON, or an AdmissionReview.
            artifacts: references that may come in, or not.
            contents: manifests that are in no file, by what people call them.
            allowed: registries, or registry/path, that models and images may come from, beside those of the settings.
            keys: public keys to trust (PEM); those of ``FAIR_TRUSTED_KEYS`` without.
            policies: files of Rego that are asked, too.
            data: of the policies; see docs/trust.md.

        Raises:
            RefusedError: a manifest cannot be read, or a policy is broken; every problem is named.
        """
        from fair_dagster.flows.trust.acceptance import trusted_keys
        from fair_dagster.flows.trust.policy import Judgement, artifact_denials, judge
        from fair_dagster.oci.trust.policy import Policy
        from fair_dagster.oci.trust.verifying import verify

        trusted = trusted_keys(self.services.settings, keys)
        allowed = (*allowed, *self.settings.allowed_registries)
        options: dict[str, Any] = {"policies": [Policy.read(path) for path in policies], "data": data}
        judgement = Judgement()
        if files or contents:
            resources = _resources(files, contents or {})
            judgement = judge(resources, self._allowed_client(allowed, data), trusted, allowed=allowed, **options)
        denied, signed = dict(judgement.denied), list(judgement.signed)
        for one in artifacts:
            source = to_reference(one)
            found = verify(self.client(source), source, trusted)
            signed += [found.manifest.digest] if found.signatures else []
            if reasons := artifact_denials(found, allowed, **options):
                denied[str(found.pinned)] = [*reasons, *found.ignored]
        return Judgement(denied, tuple(signed), judgement.unsigned)

    def show(self, name: "Shipped" = "kserve") -> "Policy":
        """A policy as it ships, in Rego for OPA and Conftest: ``kserve`` or ``artifact``."""
        from fair_dagster.oci.trust.policy import Policy

        return Policy.shipped(name)

    def gatekeeper(self) -> GatekeeperPolicy:
        """The policy ``kserve`` for Gatekeeper, with the allowed registries of the settings."""
        from fair_dagster.oci.trust.gatekeeper import constraint_documents, constraint_yaml

        documents = constraint_documents(self.show("kserve"), list(self.settings.allowed_registries))
        return GatekeeperPolicy(documents, constraint_yaml(documents))

    def _allowed_client(self, allowed: Sequence[str], data: Mapping[str, Any] | None) -> "Registries":
        """The client of what is allowed: the policy has nothing else looked up."""
        from fair_dagster.oci.trust.policy import SETTINGS, settings_of

        everywhere = settings_of(allowed, (), data)[SETTINGS]["registries"]
        return self.client(*(f"{root.rstrip('/')}/any" for root in everywhere))


def _resources(files: Sequence[Path], contents: Mapping[str, bytes]) -> "list[Resource]":
    """The resources of all manifests; every problem of each is named."""
    from fair_dagster.oci.trust.policy import read_resources

    given = dict(contents)
    problems: list[str] = []
    for path in files:
        try:
            given[str(path)] = path.read_bytes()
        except OSError as error:
            problems.append(f"{path} cannot be read: {error.strerror or error}")
    found: list[Resource] = []
    for name, content in given.items():
        try:
            found += read_resources(content, name)
        except RefusedError as error:
            problems += [f"{error.subject} {problem}" for problem in error.problems]
    if problems:
        raise RefusedError("policy check", problems)
    return found
