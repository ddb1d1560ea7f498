"""The ops between the catalog and registries: pushing promoted models, and taking in what others have pushed.

What they do stands in ``flows.oci_publication`` and ``flows.oci_models``.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from fair_dagster.domain.errors import AwayError, FairError, PartialError, ProblemsError
from fair_dagster.flows.registries import arrivals, publication
from fair_dagster.orchestration import keys
from fair_dagster.orchestration.metadata import Metadata, changes_metadata
from fair_dagster.orchestration.ops.publication import START, require_partitions, tell_partitions
from fair_dagster.orchestration.resources import FairResource


@dg.op(ins=START, out=dg.Out(dg.Nothing), tags={"dagster/kind": "oci"})
def push_artifacts(
    context: dg.OpExecutionContext, fair: FairResource
) -> Iterator[dg.AssetMaterialization | dg.Output[None]]:
    """Push the promoted versions that the registry does not have; their items then name the artifacts."""
    told: dict[str, Metadata] = {}
    problems = []
    for key in require_partitions(context, "push", "nothing was pushed"):
        try:
            outcome = publication.push_version(fair.services, key)
        except FairError as error:
            problems.append(f"{key}: {error}")
            continue
        context.log.info(outcome.note)
        told[key] = _pushed_metadata(key, outcome)
    yield from tell_partitions(dg.AssetExecutionContext(context), told, failed=bool(problems))
    if problems:
        raise PartialError(f"push of {len(problems)} of {len(problems) + len(told)} versions", problems)
    yield dg.Output(None)


_RETRIES, PATIENCE_SECONDS = 3, 20


def _pushed_metadata(key: str, outcome: publication.PushOutcome) -> Metadata:
    metadata: Metadata = {keys.TAG_VERSION: key, "note": outcome.note, "uploaded bytes": outcome.uploaded}
    if outcome.reference is not None:
        lineage = f"- `local-models` **{key}** is pushed as `{outcome.reference}`"
        metadata |= {"artifact": f"oci://{outcome.reference}", "lineage": dg.MetadataValue.md(lineage)}
    return metadata


class PushedConfig(dg.Config):
    """A model that somebody pushed, by its digest: ``registry/repository@sha256:…``."""

    reference: str


@contextmanager
def _patiently(context: dg.OpExecutionContext) -> Iterator[None]:
    """Let the step be tried again while a server is away; what is refused is noted on the run, and stays so."""
    try:
        yield
    except AwayError as error:
        raise dg.RetryRequested(max_retries=_RETRIES, seconds_to_wait=PATIENCE_SECONDS) from error
    except ProblemsError as error:
        context.instance.add_run_tags(context.run_id, {keys.TAG_REFUSED: error.subject})
        raise


@dg.op(name=keys.PUSHED_OP, tags={"dagster/kind": "oci"})
def check_pushed(context: dg.OpExecutionContext, config: PushedConfig, fair: FairResource) -> str:
    """Hold a pushed model against trust and policy, before anything is made of it."""
    with _patiently(context):
        checked = arrivals.check(fair.services, config.reference)
    context.log.info(checked.note)
    return str(checked.reference)


@dg.op(tags={"dagster/kind": "stac"})
def register_pushed(context: dg.OpExecutionContext, fair: FairResource, reference: str) -> dg.Output[str]:
    """Register a pushed model as a base model, unless an item of the catalog names it."""
    with _patiently(context):
        registered = arrivals.register(fair.services, reference)
    context.log.info(registered.note)
    metadata: Metadata = {"artifact": f"oci://{reference}", "note": registered.note}
    if registered.changes is not None:
        metadata |= changes_metadata(registered.changes)
        context.log_event(dg.AssetMaterialization(keys.base_model(registered.item_id), metadata=metadata))
    return dg.Output(reference, metadata=metadata)


@dg.op(out=dg.Out(dg.Nothing), tags={"dagster/kind": "oci"})
def build_pushed_image(context: dg.OpExecutionContext, fair: FairResource, reference: str) -> dg.Output[None]:
    """Build the image of a pushed model beside it, as FAIR_OCI_IMAGE says."""
    with _patiently(context):
        image = arrivals.build_image(fair.services, reference)
    context.log.info(f"image {image}" if image else "FAIR_OCI_IMAGE is none: no image is built")
    return dg.Output(None, metadata={"image": f"oci://{image}"} if image else {})
