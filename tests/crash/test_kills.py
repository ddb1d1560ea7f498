"""Processes are killed at random points of promotions: after one reconciliation all is as ZenML says, on every store.

What a process has said that is done stays done. All its points hold: ``pytest tests/crash --points 50``.
"""

import logging
from collections.abc import Callable

import pytest

from tests.crash.conftest import Crash, Row
from tests.crash.nursery import Ended
from tests.crash.points import Point, spread

_log = logging.getLogger(__name__)
ORDER = (2, 3, 1)
"""Two first publications and a return to the version that is in production at the beginning."""


def judged(crash: Crash, ended: Ended) -> list[str]:
    """What is wrong after one reconciliation by another process."""
    acknowledged = ended.all("acknowledged")
    begun = ORDER[len(acknowledged) : len(acknowledged) + 1]
    return list(crash.done("judge", acknowledged=acknowledged, begun=begun).last("problems"))


@pytest.mark.timeout(7200)
@pytest.mark.parametrize(
    ("catalog", "artifacts"), [("JSON", "folder"), ("JSON", "S3"), ("pgstac", "S3"), ("STAC API", "folder")]
)
def test_killed_at_any_point_of_a_promotion_one_reconciliation_completes_it(
    crash: Callable[[str, str], Crash],
    catalog: str,
    artifacts: str,
    pytestconfig: pytest.Config,
    rows: list[Row],
) -> None:
    installation = crash(catalog, artifacts)
    whole = installation.done("promote", numbers=ORDER)
    assert whole.all("acknowledged") == list(ORDER)
    assert judged(installation, whole) == []

    dice, count = pytestconfig.getoption("--dice"), pytestconfig.getoption("--points")
    wrong: dict[Point, list[str]] = {}
    phases = []
    for point in spread(dice, count, whole.last("effects"), whole.seconds):
        installation.world.reset()
        ended = installation.run("promote", point, numbers=ORDER)
        assert not ended.all("raised")
        if ended.was_killed:
            phases.append(ended.phase)
        _log.info("%s, %s, %s: killed %s", catalog, artifacts, point, ended.phase if ended.was_killed else "too late")
        if problems := judged(installation, ended):
            _log.error("%s", problems)
            wrong[point] = [f"killed {ended.phase}, acknowledged {ended.all('acknowledged')}", *problems]
    rows.append((f"{catalog}, {artifacts}", phases))
    assert wrong == {}, f"--dice {dice} --points {count}"
    assert len(phases) > count / 2
