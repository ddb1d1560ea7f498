"""A run as people ask about it. Data alone: how runs are found stands in ``records``."""

from dataclasses import dataclass
from datetime import datetime

from fair_dagster.flows.run_files import Progress


@dataclass(frozen=True)
class Run:
    """One run of a job.

    Attributes:
        status: Dagster's word: QUEUED, STARTING, STARTED, SUCCESS, FAILURE, CANCELING or CANCELED.
        partition: the version or dataset that it is about.
        model: the model that it is about.
        started, ended: aware, in UTC.
        pid: of its process on this machine, while it goes on.
        progress: (done, total, what) of the training, while there is one.
        version_uuid: ZenML's UUID of the version it was started for; None for other runs and those of the UI.
    """

    id: str
    job: str
    status: str
    partition: str | None
    model: str | None
    started: datetime | None
    ended: datetime | None
    pid: int | None = None
    progress: Progress | None = None
    version_uuid: str | None = None

    @property
    def activity(self) -> str:
        """What its job does, for people."""
        from fair_dagster.orchestration import keys

        return keys.activity_of_job(self.job)

    @property
    def is_finetune(self) -> bool:
        """Whether it trains a model."""
        from fair_dagster.orchestration import keys

        return keys.is_finetune_job(self.job)

    @property
    def finished(self) -> bool:
        return self.status in {"SUCCESS", "FAILURE", "CANCELED"}
