"""The ops between the catalog and registries: pushing promoted models, and taking in what others have pushed.

What they do stands in ``flows.oci_publication`` and ``flows.oci_models``.
"""

from collections.abc import Iterator

import dagster as dg

from fair_dagster import keys
from fair_dagster.domain.errors import FairError, PartialError
from fair_dagster.flows import oci_publication
from fair_dagster.metadata import Metadata
from fair_dagster.publishing import START, require_partitions, tell_partitions
from fair_dagster.resources import FairResource


@dg.op(ins=START, out=dg.Out(dg.Nothing), tags={"dagster/kind": "oci"})
def push_artifacts(
    context: dg.OpExecutionContext, fair: FairResource
) -> Iterator[dg.AssetMaterialization | dg.Output[None]]:
    """Push the promoted versions that the registry does not have; their items then name the artifacts."""
    told: dict[str, Metadata] = {}
    problems = []
    for key in require_partitions(context, "push", "nothing was pushed"):
        try:
            outcome = oci_publication.push_version(fair.services, key)
        except FairError as error:
            problems.append(f"{key}: {error}")
            continue
        context.log.info(outcome.note)
        told[key] = _pushed_metadata(key, outcome)
    yield from tell_partitions(dg.AssetExecutionContext(context), told, failed=bool(problems))
    if problems:
        raise PartialError(f"push of {len(problems)} of {len(problems) + len(told)} versions", problems)
    yield dg.Output(None)


def _pushed_metadata(key: str, outcome: oci_publication.Outcome) -> Metadata:
    metadata: Metadata = {keys.TAG_VERSION: key, "note": outcome.note, "uploaded bytes": outcome.uploaded}
    if outcome.reference is not None:
        lineage = f"- `local-models` **{key}** is pushed as `{outcome.reference}`"
        metadata |= {"artifact": f"oci://{outcome.reference}", "lineage": dg.MetadataValue.md(lineage)}
    return metadata
