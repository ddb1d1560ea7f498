"""What the processes of the crash tests do: make versions, promote them until they are killed, reconcile and compare.

Each works with the real flows on a real ZenML. How they are started and killed stands in ``nursery``.
"""

import random
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any
from unittest.mock import patch

from fair_dagster.domain import items
from fair_dagster.domain.errors import FairError
from fair_dagster.domain.items.stac import Item
from fair_dagster.domain.publication.promoted_items import MODEL_ASSET
from fair_dagster.domain.requests import PROMOTION_KEY
from fair_dagster.domain.versions import VersionRecord
from fair_dagster.flows import datasets
from fair_dagster.flows.base_models import registration
from fair_dagster.flows.finetunes import allocations, training
from fair_dagster.flows.publication import families
from fair_dagster.flows.reconciliation import unused
from fair_dagster.flows.reconciliation.repair import repair
from fair_dagster.flows.reconciliation.report import report
from fair_dagster.flows.services import Services
from fair_dagster.settings import Settings
from fair_dagster.storage.local import describe

MODEL = "texture-segmentation"
DATASET = "town"
NAME = "town-buildings"
LARGE = 18 << 20
"""Bytes of a model: three parts of an upload."""

Say = Callable[..., None]


def import_everything() -> None:
    """What the acts below need; nothing is opened."""
    import boto3  # noqa: F401
    import botocore.session
    import psycopg  # noqa: F401
    import pystac_client  # noqa: F401
    import zenml.artifacts.utils
    import zenml.client
    import zenml.zen_stores.sql_zen_store  # noqa: F401

    import fair_dagster.catalog.opening
    import fair_dagster.catalog.validation
    import fair_dagster.pipelines.zenml.model_versions
    import fair_dagster.storage.s3  # noqa: F401

    botocore.session.Session().get_service_model("s3")


def make_versions(settings: Settings, say: Say, _: int, folder: str, town: Sequence[str], count: int) -> None:
    """Versions of one model that have been trained, as far as anything later can tell."""
    from zenml.artifacts.utils import register_artifact
    from zenml.client import Client
    from zenml.model.utils import link_artifact_version_to_model_version

    services = Services(settings)
    _register(services, folder, town)
    for number in range(1, count + 1):
        request = training.check(services, training.Ask(MODEL, DATASET, NAME, {}))
        version = allocations.allocate(services, request)
        training.write_config(services, version.id)
        logged = {"fair/building_iou": number / 10, "fair/loss_history": {"train_loss": [2.0, 1.0]}}
        services.versions.log(version.uuid, logged)
        client = Client()
        dice = random.Random(number)
        for artifact, file, size in (("onnx_model", "model.onnx", LARGE), ("trained_model", "checkpoint.skops", 1000)):
            place = Path(client.active_stack.artifact_store.path) / "crash" / version.uuid / artifact
            place.mkdir(parents=True)
            (place / file).write_bytes(dice.randbytes(size))
            made = register_artifact(str(place), artifact)
            link_artifact_version_to_model_version(made, client.get_model_version(NAME, number))
    say(versions=[version.id for version in services.versions.list(NAME)])


def begin(settings: Settings, say: Say, _: int, folder: str, town: Sequence[str]) -> None:
    """Fill a catalog and an artifact store that are empty: the parents, and the first version in production."""
    services = Services(settings)
    _register(services, folder, town)
    _promote(services, 1)
    say(left=[str(finding) for finding in report(services)])


def warm(settings: Settings, folder: str, town: Sequence[str]) -> None:
    """Do all of it once, in a catalog that is of no further use, and close ZenML's database again."""
    from zenml.client import Client

    begin(settings, _unheard, 0, folder, town)
    services = Services(settings)
    for number in (2, 3, 1):
        _promote(services, number)
    judge(settings, _unheard, 0, [2, 3, 1], [])
    Client().zen_store.engine.dispose()


def _unheard(**_: Any) -> None:
    """Nobody listens."""


def _register(services: Services, folder: str, town: Sequence[str]) -> None:
    chips, labels = map(Path, town)
    registration.register(services, Path(folder))
    path = services.settings.home / "town.json"
    spec = datasets.DatasetSpec(DATASET, chips, labels, synthetic=True)
    datasets.write_item(datasets.create(services, spec), path)
    datasets.register(services, path)


def promote(settings: Settings, say: Say, effect: int, numbers: Sequence[int]) -> None:
    """Promote one version after the other, and say after each that it is done, or why it is not.

    Args:
        effect: die before this one; 0 for never.
    """
    from tests.crash.effects import Effects

    services = Services(settings)
    services.versions.list(NAME)
    _announce(services, say)
    say(begun=True)
    effects = Effects(effect)
    for number in numbers:
        say(phase="before ZenML")
        try:
            _promote(services, number)
        except FairError as error:
            say(refused=number, error=f"{type(error).__name__}: {error}")
        else:
            say(acknowledged=number)
        say(phase="at the end")
    say(effects=effects.count)


def _promote(services: Services, number: int) -> None:
    """As ``acts.change_stage`` does, without the record of a Dagster run."""
    before = services.versions.list(NAME)
    families.set_stage(services, NAME, number, "production")
    try:
        families.recompute(services, NAME)
    except Exception:
        families.undo_stage(services, NAME, number, before)
        raise


def _announce(services: Services, say: Say) -> None:
    """Say which phase of a promotion begins."""

    def around(owner: Any, name: str, during: str, after: str) -> None:
        act = getattr(owner, name)

        @wraps(act)
        def announced(*arguments: Any, **options: Any) -> Any:
            say(phase=during)
            result = act(*arguments, **options)
            say(phase=after)
            return result

        setattr(owner, name, announced)

    around(services.versions, "set_stage", "in ZenML", "between ZenML and artifacts")
    for name in ("publish", "write"):
        around(services.artifacts, name, "in a copy", "between copies and commit")
    around(services.catalog, "apply", "in the commit", "after the commit")


def judge(settings: Settings, say: Say, _: int, acknowledged: Sequence[int], begun: Sequence[int]) -> None:
    """Reconcile once, and say everything that is not as it should be then.

    Args:
        acknowledged: versions whose promotion came back, in order.
        begun: those of which one may have been promoted after the last of these.
    """
    services = Services(settings)
    found = report(services)
    done = repair(services, found)
    problems = [f"not repaired: {one}" for one in done if one.failed]
    problems += [f"left: {finding}" for finding in report(services)]
    if changes := families.recompute(services, NAME):
        problems.append(f"differs from what is desired: {[str(change.key) for change in changes.changes]}")
    problems += _state_problems(services, acknowledged, begun)
    problems += _leftovers(services)
    say(problems=problems, found=sorted({finding.kind for finding in found}))


def _state_problems(services: Services, acknowledged: Sequence[int], begun: Sequence[int]) -> list[str]:
    """What catalog, ZenML and artifacts say, compared without the rules that have written them."""
    versions = {version.number: version for version in services.versions.list(NAME)}
    published = {items.number_of(item): item for item in services.catalog.items(items.LOCAL_MODELS)}
    active = [number for number, item in published.items() if items.is_active(item)]
    production = [number for number, version in versions.items() if version.stage == "production"]
    last = (acknowledged or [1])[-1]
    problems = []
    if active != production or len(active) != 1 or active[0] not in {last, *begun}:
        problems.append(f"active {active}, production {production}, acknowledged {acknowledged}, begun {begun}")
    if lost := {1, *acknowledged} - set(published):
        problems.append(f"lost: {sorted(lost)}")
    count = services.catalog.collection(items.LOCAL_MODELS).get("fair:item_count")
    if count is not None and count != len(published):
        problems.append(f"the collection tells of {count} items, and there are {len(published)}")
    ranks = {number: item["properties"]["fair:promotion"] for number, item in published.items()}
    marks = {number: versions[number].metadata.get(PROMOTION_KEY) for number in published}
    if ranks != marks or len(set(ranks.values())) != len(ranks):
        problems.append(f"order of promotion: {ranks} in the catalog, {marks} in ZenML")
    for number, item in published.items():
        problems += _artifact_problems(services, versions[number], item)
    return problems


def _artifact_problems(services: Services, version: VersionRecord, item: Item) -> list[str]:
    """Each file that the item names, read and compared with what was trained."""
    problems = []
    own = {key: asset for key, asset in item["assets"].items() if f"/{version.id.rpartition('-')[2]}-" in asset["href"]}
    if len(own) < 3:
        problems.append(f"{version.id} names only {sorted(own)}")
    for key, asset in own.items():
        seen = services.artifacts.look(services.artifacts.key_of(asset["href"]) or "-")
        if seen is None or (seen.size, seen.checksum) != (asset["file:size"], asset["file:checksum"]):
            problems.append(f"{version.id}: {key} is {seen}, and its item says {asset}")
    trained = describe(Path(str(version.onnx_uri)) / "model.onnx").checksum
    if own.get(MODEL_ASSET, {}).get("file:checksum") != trained:
        problems.append(f"{version.id}: its model is not the one that was trained")
    return problems


def _leftovers(services: Services) -> list[str]:
    """What is left once the times are over for which unfinished and unused files are let alone."""
    with patch.multiple(unused, UNUSED_AFTER=-3600.0, UNFINISHED_AFTER=-3600.0):
        found = report(services)
        repair(services, found)
        problems = [f"later: {finding}" for finding in report(services)] if found else []
    problems += [f"unfinished: {one.key}" for one in services.artifacts.unfinished()]
    root = services.settings.catalog_path
    journal = root / ".journal.json"
    if journal.exists() and journal.read_bytes():
        problems.append("a journal is left")
    temporary = [path for path in root.rglob("*") if path.is_file() and path.parent.name == ".staging"]
    return problems + [f"left: {path}" for path in temporary]


ACTS: dict[str, Callable[..., None]] = {act.__name__: act for act in (make_versions, begin, promote, judge)}
