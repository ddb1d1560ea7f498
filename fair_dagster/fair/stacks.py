"""ZenML's stacks: where trainings run, and where their artifacts lie."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fair_dagster.fair.part import Part

if TYPE_CHECKING:
    from fair_dagster.pipelines.zenml.stacks import StackRecord


@dataclass(frozen=True)
class AppliedStack:
    """A stack that was brought in step with a file.

    Attributes:
        stack: as ZenML has it now.
        changes: what was changed, a sentence each; none where it was in step already.
    """

    stack: "StackRecord"
    changes: tuple[str, ...]


class Stacks(Part):
    """``Fair.stacks``. Every method may raise ``ServiceError`` when ZenML cannot be used."""

    def apply(self, path: Path, *, use: bool = False, environment: Mapping[str, str] | None = None) -> AppliedStack:
        """Register a stack with its components and secrets, or bring them in step with a file like those in
        ``deploy/zenml``.

        Args:
            use: let the trainings of this home run on it.
            environment: the variables that the file names; those of this process without.

        Raises:
            RefusedError: the file cannot be used, or ZenML lacks what it names; every reason is named, and nothing was
                changed.
        """
        from fair_dagster.pipelines.zenml.stack_files import read_stack_file

        wanted = read_stack_file(path, os.environ if environment is None else environment)
        stacks = self.services.stacks
        changes = stacks.apply(wanted)
        record = stacks.use(wanted.name) if use else next(one for one in stacks.all() if one.name == wanted.name)
        return AppliedStack(record, changes)

    def list(self) -> "tuple[StackRecord, ...]":
        """The stacks that ZenML has, by name."""
        return self.services.stacks.all()

    def use(self, name: str) -> "StackRecord":
        """Let the trainings of this home run on a stack.

        Raises:
            NotFoundError: there is no such stack.
        """
        return self.services.stacks.use(name)
