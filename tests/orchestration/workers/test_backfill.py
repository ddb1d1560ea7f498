"""One backfill over two workers, of which one is killed on the way: every partition is done."""

import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import dagster as dg
import psycopg
from dagster._core.execution.backfill import PartitionBackfill

from fair_dagster.definitions import build_defs
from fair_dagster.domain import items
from fair_dagster.domain.items import migrations
from fair_dagster.flows.services import Services
from fair_dagster.orchestration import keys
from tests.orchestration.workers.cluster import Team, until
from tests.orchestration.workers.conftest import DATASETS


def backfill(team: Team, instance: dg.DagsterInstance) -> str:
    """A backfill of all datasets, as the UI asks for it."""
    asked = PartitionBackfill.from_asset_partitions(
        backfill_id=uuid.uuid4().hex[:8],
        asset_graph=build_defs(settings=team.settings("observer")).resolve_asset_graph(),
        partition_names=None,
        asset_selection=[keys.DATASETS],
        backfill_timestamp=time.time(),
        tags={},
        dynamic_partitions_store=instance,
        all_partitions=True,
        title=None,
        description=None,
        run_config=None,
    )
    instance.add_backfill(asked)
    return asked.backfill_id


def runs_of(instance: dg.DagsterInstance, backfill_id: str) -> Sequence[dg.DagsterRun]:
    return instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": backfill_id}))


def outdated(team: Team) -> list[str]:
    found = Services(team.settings("observer")).catalog.items(items.DATASETS)
    return [item["id"] for item in found if migrations.is_outdated(item)]


@contextmanager
def no_item_written(dsn: str) -> Iterator[None]:
    """Let writers of items wait meanwhile, as an import does: a step that has begun has not ended."""
    with psycopg.connect(dsn) as connection:
        connection.execute("LOCK TABLE pgstac.items IN EXCLUSIVE MODE")
        yield


def test_a_worker_that_is_killed_costs_no_partition(pgstac_team: Team) -> None:
    team = pgstac_team
    assert team.pgstac_dsn is not None
    team.extra["FAIR_PARTITIONS_A_RUN"] = "3"
    assert len(outdated(team)) == len(DATASETS)
    with team.instance() as instance:
        # Dagster's daemon looks for backfills when it starts, and then every 30 s.
        backfill_id = backfill(team, instance)
        with no_item_written(team.pgstac_dsn):
            team.daemon()
            first, second = team.worker("first", "--concurrency", "1"), team.worker("second", "--concurrency", "1")
            until(lambda: team.run_of(first, instance) and team.run_of(second, instance), "a run at each worker")
            lost, kept = team.run_of(first, instance), team.run_of(second, instance)
            first.kill()

        def over() -> bool:
            return all(run.is_finished for run in runs_of(instance, backfill_id)) and not outdated(team)

        until(over, "the end of the runs")
        done = instance.get_materialized_partitions(keys.DATASETS)
        runs = {run.run_id: run for run in runs_of(instance, backfill_id)}
    assert done == set(DATASETS)
    assert runs.pop(lost).status is dg.DagsterRunStatus.FAILURE
    assert runs[kept].status is dg.DagsterRunStatus.SUCCESS
    assert {run.status for run in runs.values()} == {dg.DagsterRunStatus.SUCCESS}
    assert len(runs) == len(DATASETS) / 3, "nothing was repeated but what was lost"
