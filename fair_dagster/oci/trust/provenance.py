"""Where a model comes from, as a statement of SLSA provenance 1.0: made from records, shown, checked. Pure.

https://slsa.dev/spec/v1.0/provenance, https://github.com/in-toto/attestation. What the records are read from stands in
``flows.provenance``, signing in ``signing``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fair_dagster.oci.descriptors import Manifest
from fair_dagster.oci.trust.bundles import STATEMENT_TYPE, Statement
from fair_dagster.oci.trust.statements import files_of

TREE = "fairTree"
"""Digest of a file or folder as ``file:checksum`` of an item has it: a folder's is that of its sorted list of files."""
PROVENANCE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "https://github.com/hotosm/fair-dagster/finetune/v1"
"""What the parameters mean: docs/trust.md."""
BUILDER = "https://github.com/hotosm/fair-dagster"


@dataclass(frozen=True)
class Material:
    """Something that a training was made from. ``digest`` is in hex by algorithm, empty where none is known."""

    name: str
    uri: str
    digest: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = {"name": self.name, "uri": self.uri}
        return found | ({"digest": dict(self.digest)} if self.digest else {})


@dataclass(frozen=True)
class ProvenTraining:
    """What is known of the run that made a model.

    Attributes:
        parameters: what somebody asked for: base model, dataset, hyperparameters.
        internal: what the system chose: ids of versions and runs.
        run: what the run is called.
    """

    parameters: Mapping[str, Any]
    internal: Mapping[str, Any]
    materials: Sequence[Material]
    run: str
    started: datetime | None = None
    finished: datetime | None = None


def provenance_statement(name: str, manifest: Manifest, training: ProvenTraining) -> dict[str, Any]:
    """The statement about the artifact ``manifest`` and each of its files.

    Args:
        name: of the artifact, e.g. its repository.
    """
    subjects = [{"name": name, "digest": {"sha256": manifest.descriptor.hex}}]
    subjects += [{"name": title, "digest": {"sha256": digest}} for title, digest in files_of(manifest).items()]
    metadata = {"invocationId": training.run}
    times = (("startedOn", training.started), ("finishedOn", training.finished))
    metadata |= {key: moment.isoformat().replace("+00:00", "Z") for key, moment in times if moment is not None}
    return {
        "_type": STATEMENT_TYPE,
        "subject": subjects,
        "predicateType": PROVENANCE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": dict(training.parameters),
                "internalParameters": dict(training.internal),
                "resolvedDependencies": [one.document() for one in training.materials],
            },
            "runDetails": {
                "builder": {"id": BUILDER},
                "metadata": metadata,
            },
        },
    }


def provenance_problems(statement: Statement, digest: str) -> list[str]:
    """Why a statement is no provenance of the manifest with ``digest``; empty where it is."""
    try:
        subjects = [str(subject["digest"].get("sha256")) for subject in statement["subject"]]
        predicate = statement["predicate"]
        kinds = (predicate["buildDefinition"]["buildType"], predicate["runDetails"]["builder"]["id"])
    except (KeyError, TypeError, AttributeError) as error:
        return [f"its provenance has another form: {type(error).__name__} {error}"]
    if digest.removeprefix("sha256:") not in subjects:
        return ["its provenance is of another artifact: it was moved here"]
    return [] if all(isinstance(one, str) and one for one in kinds) else ["its provenance names no build or builder"]


def summary(statement: Statement) -> list[tuple[str, Any]]:
    """What a statement tells people: names and values."""
    definition = statement["predicate"]["buildDefinition"]
    details = statement["predicate"]["runDetails"]
    parameters = definition.get("externalParameters") or {}
    internal = definition.get("internalParameters") or {}
    metadata = details.get("metadata") or {}
    rows = [
        ("build", definition["buildType"]),
        *(parameters.items() if isinstance(parameters, Mapping) else ()),
        ("run", metadata.get("invocationId")),
        *(internal.items() if isinstance(internal, Mapping) else ()),
        ("started", metadata.get("startedOn")),
        ("finished", metadata.get("finishedOn")),
    ]
    return rows + [
        (str(one.get("name", "made from")), _place(one))
        for one in definition.get("resolvedDependencies") or ()
        if isinstance(one, Mapping)
    ]


def _place(material: Mapping[str, Any]) -> str:
    digests = material.get("digest") or {}
    told = ", ".join(f"{algorithm}:{str(digest)[:12]}…" for algorithm, digest in digests.items())
    return f"{material.get('uri', '')}{f' ({told})' if told else ''}"
