"""One backfill over two workers, of which one is killed, and a broker that is restarted: every partition ends done."""

import os
import signal
import time
import uuid
from collections.abc import Sequence

import dagster as dg
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill

from fair_dagster import keys
from fair_dagster.definitions import build_defs
from fair_dagster.domain import items, migrations
from fair_dagster.flows.services import Services
from tests.scaling.cluster import Member, Team, until
from tests.scaling.conftest import DATASETS


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


def holds_a_step(team: Team, worker: Member) -> bool:
    """Whether the worker has claimed a step that has not ended."""
    assert worker.process is not None
    client = team.redis.client
    for name in client.keys("fair-dagster:*"):
        note = client.get(name) or ""
        if note.startswith("running:") and group_of(int(note.split(":")[2])) == worker.process.pid:
            return True
    return False


def group_of(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0


def kill_at_work(team: Team, worker: Member) -> None:
    """SIGKILL to the worker and all that it has started, in the middle of a step."""

    def caught() -> bool:
        worker.signal(signal.SIGSTOP)
        if holds_a_step(team, worker):
            worker.kill()
            return True
        worker.signal(signal.SIGCONT)
        return False

    until(caught, f"a step at {worker.name}")


def told_of(instance: dg.DagsterInstance, runs: Sequence[dg.DagsterRun], text: str) -> bool:
    return any(text in entry.message for run in runs for entry in instance.all_logs(run.run_id))


def test_a_worker_killed_and_a_broker_restarted_cost_no_partition(pgstac_team: Team) -> None:
    team = pgstac_team
    team.extra["FAIR_PARTITIONS_A_RUN"] = "3"
    assert len(outdated(team)) == len(DATASETS)
    first, _second = team.worker("first", "--concurrency", "1"), team.worker("second", "--concurrency", "1")
    daemon = team.daemon()
    with team.instance() as instance:
        backfill_id = backfill(team, instance)

        def some_are_done() -> bool:
            return 0 < len(outdated(team)) < len(DATASETS)

        until(some_are_done, f"the first partitions; {daemon.told()[-3000:]}")
        kill_at_work(team, first)
        team.redis.stop()
        time.sleep(2)
        team.redis.start()

        def over() -> bool:
            found = instance.get_backfill(backfill_id)
            return found is not None and found.status is not BulkActionStatus.REQUESTED

        until(over, "the end of the backfill")
        found = instance.get_backfill(backfill_id)
        assert found is not None
        assert found.status is BulkActionStatus.COMPLETED_SUCCESS
        runs = runs_of(instance, backfill_id)
        assert {run.status for run in runs} == {dg.DagsterRunStatus.SUCCESS}
        assert len(runs) == len(DATASETS) / 3, "no run had to be repeated"
        assert told_of(instance, runs, "Handed out again: the worker that had begun it is gone")
        done = instance.get_materialized_partitions(keys.DATASETS)
    assert outdated(team) == []
    assert done == set(DATASETS)
