"""Servers are killed and come back while versions are promoted: promotions go on by themselves, or say why they do not.

What ZenML's own server does to a training and to a sensor stands in ``tests/pipelines/zenml/test_server.py``,
a bucket that answers 503 in ``tests/storage/s3/test_faults.py``.
"""

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import pytest

from tests.crash.conftest import Crash
from tests.services.servers import Server

ORDER = (2, 3, 1, 2)
OUTAGES = 2


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("catalog", "artifacts", "victim", "named"),
    [
        ("pgstac", "folder", "postgres_server", ("FAIR_PGSTAC_DSN", "STAC API")),
        ("STAC API", "folder", "postgres_server", ("STAC API",)),
        ("JSON", "S3", "s3_server", ("S3", "s3://")),
    ],
)
def test_a_server_that_is_killed_during_promotions_loses_none(  # noqa: PLR0917
    crash: Callable[[str, str], Crash],
    request: pytest.FixtureRequest,
    catalog: str,
    artifacts: str,
    victim: str,
    named: tuple[str, ...],
) -> None:
    installation = crash(catalog, artifacts)
    server: Server = request.getfixturevalue(victim)
    dice = random.Random(request.config.getoption("--dice"))
    with ThreadPoolExecutor(1) as pool:
        promoted = pool.submit(installation.run, "promote", numbers=ORDER)
        for _ in range(OUTAGES):
            time.sleep(dice.uniform(0.2, 2.0))
            server.kill()
            server.start()
        ended = promoted.result()

    refusals = ended.all("error")
    assert [told for told in refusals if not any(name in told for name in named)] == []
    assert len(ended.all("acknowledged")) + len(refusals) == len(ORDER), ended
    verdict = installation.done("judge", acknowledged=ended.all("acknowledged"), begun=())
    assert verdict.last("problems") == []
    # Whatever was refused goes through now.
    again = installation.done("promote", numbers=ORDER)
    assert again.all("acknowledged") == list(ORDER)
    assert cast(list[str], installation.done("judge", acknowledged=ORDER, begun=()).last("problems")) == []
