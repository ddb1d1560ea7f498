"""One backfill over two workers, of which one is killed, and a broker that is restarted: every partition ends done."""

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
from tests.orchestration.workers.cluster import Team, step_of, until
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


def told_of(instance: dg.DagsterInstance, runs: Sequence[dg.DagsterRun], text: str) -> bool:
    return any(text in entry.message for run in runs for entry in instance.all_logs(run.run_id))


def begun(instance: dg.DagsterInstance, backfill_id: str) -> int:
    """How many runs have a step that has begun."""
    return sum(told_of(instance, [run], "Started execution of step") for run in runs_of(instance, backfill_id))


def test_a_worker_killed_and_a_broker_restarted_cost_no_partition(pgstac_team: Team) -> None:
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
            until(lambda: step_of(team, first) and step_of(team, second), "a step at each worker")
            until(lambda: begun(instance, backfill_id) == len((first, second)), "both to begin")
            lost = step_of(team, first)
            first.kill()
            # Its claim runs out now, and not after 30 s.
            team.redis.client.expire(lost, 1)
            team.redis.stop()
            until(lambda: told_of(instance, runs_of(instance, backfill_id), "does not answer"), "a run that waits")
            team.redis.start()

        def over() -> bool:
            runs = runs_of(instance, backfill_id)
            return len(runs) == len(DATASETS) / 3 and all(run.is_finished for run in runs)

        until(over, "the end of the runs")
        runs = runs_of(instance, backfill_id)
        assert {run.status for run in runs} == {dg.DagsterRunStatus.SUCCESS}
        assert len(runs) == len(DATASETS) / 3, "no run had to be repeated"
        assert told_of(instance, runs, "Handed out again: the worker that had begun it is gone")
        done = instance.get_materialized_partitions(keys.DATASETS)
    assert outdated(team) == []
    assert done == set(DATASETS)
