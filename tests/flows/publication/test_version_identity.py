"""A version is its UUID: ZenML gives the number of a deleted version, and so a partition, to another request."""

from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from assets.finetuned_models import finetuned_model_asset
from assets.training_configs import training_config_asset
from fair_dagster.domain.errors import NotFoundError, RefusedError
from fair_dagster.domain.versions import VersionRecord
from fair_dagster.flows.finetunes import allocations, training
from fair_dagster.flows.finetunes.training import Ask
from fair_dagster.orchestration import keys
from tests.installations import DATASET, MODEL, NAME, Installation


def allocate(installation: Installation, **overrides: Any) -> VersionRecord:
    request = training.check(installation.services, Ask(MODEL, DATASET, NAME, overrides))
    return allocations.allocate(installation.services, request)


def delete(installation: Installation, version: VersionRecord) -> None:
    installation.versions.delete(version.name, version.number)
    allocations.forget(installation.services.artifacts, installation.services.settings, version.id, version.uuid)


@pytest.fixture
def former(installation: Installation) -> VersionRecord:
    """A version that was deleted before its training began."""
    version = allocate(installation, epochs=2)
    delete(installation, version)
    return version


@pytest.fixture
def owner(installation: Installation, former: VersionRecord) -> VersionRecord:
    """The version that got its number."""
    version = allocate(installation, epochs=7)
    assert version.id == former.id
    return version


def materialize(installation: Installation, asset: dg.AssetsDefinition, version: VersionRecord, **tags: str) -> None:
    """As a run of the instance does it. There is no way to start a process: who tries fails."""
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(keys.finetunes_name(MODEL), [version.id])
        dg.materialize(
            [asset],
            partition_key=version.id,
            instance=instance,
            tags=tags,
            resources={"fair": SimpleNamespace(services=installation.services), "pipes": SimpleNamespace()},
        )


def test_a_run_of_a_deleted_version_does_not_configure_the_next_one(
    installation: Installation, former: VersionRecord, owner: VersionRecord
) -> None:
    with pytest.raises(RefusedError, match=f"{former.uuid}.*was deleted"):
        materialize(installation, training_config_asset(MODEL), former, **{keys.TAG_ZENML_VERSION: former.uuid})
    assert not allocations.config_path(installation.services.settings, owner.id, owner.uuid).exists()


def test_a_run_of_a_deleted_version_does_not_train_the_next_one(
    installation: Installation, former: VersionRecord, owner: VersionRecord
) -> None:
    training.write_config(installation.services, owner.id)
    with pytest.raises(RefusedError, match=f"{former.uuid}.*was deleted"):
        materialize(installation, finetuned_model_asset(MODEL), former, **{keys.TAG_ZENML_VERSION: former.uuid})


@pytest.mark.parametrize("tagged", [True, False], ids=["its own run", "a run of the UI"])
def test_the_owner_of_a_partition_is_configured(installation: Installation, owner: VersionRecord, tagged: bool) -> None:
    tags = {keys.TAG_ZENML_VERSION: owner.uuid} if tagged else {}
    materialize(installation, training_config_asset(MODEL), owner, **tags)
    assert allocations.config_path(installation.services.settings, owner.id, owner.uuid).is_file()


def test_a_run_whose_version_nothing_has_replaced_says_that_it_is_gone(
    installation: Installation, former: VersionRecord
) -> None:
    with pytest.raises(NotFoundError):
        allocations.require_owner(
            installation.services.versions, installation.services.settings, former.id, former.uuid
        )


def test_a_model_goes_with_its_last_version_only(installation: Installation) -> None:
    first, second = allocate(installation), allocate(installation)
    for version, left in ((second, (NAME,)), (first, ())):
        delete(installation, version)
        allocations.delete_empty_model(installation.services.versions, NAME)
        assert installation.versions.families() == left
    allocations.delete_empty_model(installation.services.versions, NAME)
