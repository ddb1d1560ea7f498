"""The experiment tracker: which trainings it has not been sent yet, and sending them."""

from typing import TYPE_CHECKING

from fair_dagster.fair.part import Part

if TYPE_CHECKING:
    from fair_dagster.flows.finetunes.tracking import Waiting


class Tracking(Part):
    """``Fair.tracking``."""

    def waiting(self) -> "list[Waiting]":
        """Trainings that are being tracked, and those that a tracker which is away waits for, the oldest first."""
        from fair_dagster.flows.finetunes.tracking import waiting

        return waiting(self.services)

    def send(self) -> "list[Waiting]":
        """Send what waits, now; the next training would do it as well. Returns what is left."""
        from fair_dagster.flows.finetunes.tracking import send_waiting

        return send_waiting(self.services)
