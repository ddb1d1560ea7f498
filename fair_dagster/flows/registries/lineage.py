"""Which models were made from a base model, told in a registry: as referrers of the base model's artifact.

A manifest can refer only to another of its own repository, and models have repositories of their own. So a small
artifact beside the base model names each finetuned one by its digest, which stays what it is with and without its base.
"""

from typing import TYPE_CHECKING

import orjson

from fair_dagster.catalog.store import CatalogStore
from fair_dagster.domain import items
from fair_dagster.domain.errors import NotFoundError, ProblemsError, StorageError
from fair_dagster.domain.items.links import DERIVED_FROM, targets
from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.registries.assets import SCHEME
from fair_dagster.flows.registries.artifacts import push_item
from fair_dagster.flows.services import Services

if TYPE_CHECKING:
    from fair_dagster.oci.references import Reference

FINETUNE_TYPE = "application/vnd.fair-dagster.finetune.v1+json"
MODEL, ARTIFACT = "vnd.fair-dagster.finetune.model", "vnd.fair-dagster.finetune.artifact"
"""Annotations: the id of a finetuned model's item, and its artifact."""
_TITLE = "finetune.json"


def base_of(catalog: CatalogStore, item: Item) -> Item | None:
    """The base model that a finetuned model was made from, as the catalog has it; None where it has none."""
    for key in targets(item.get("links", []), DERIVED_FROM):
        if key.collection == items.BASE_MODELS:
            return catalog.get(key)
    return None


def link_to_base(services: Services, base: Item, target: "Reference", model: str, artifact: "Reference") -> str:
    """Let a model made from ``base`` be found among the referrers of its artifact. Again changes nothing.

    Args:
        target: where the base model is, or is pushed to when it is not there.
        model: id of the finetuned model's item.
        artifact: of the finetuned model, by its digest.

    Returns:
        Why it could not be; empty when it is done.

    Raises:
        ServiceError: the registry refuses, or does not answer.
    """
    from fair_dagster.oci.pushing import Part, attach

    try:
        subject = target.at(services.registries.digest_of(target))
    except NotFoundError:
        try:
            subject = push_item(services, str(base["id"]), target).pinned
        except (ProblemsError, StorageError) as error:
            return f"its base model is not in the registry: {error}"
    told = {MODEL: model, ARTIFACT: f"{SCHEME}{artifact}"}
    if not any(one.annotations.get(ARTIFACT) == told[ARTIFACT] for one in services.registries.referrers(subject)):
        attach(services.registries, subject, FINETUNE_TYPE, [Part(orjson.dumps(told), _TITLE, FINETUNE_TYPE)], told)
    return ""
