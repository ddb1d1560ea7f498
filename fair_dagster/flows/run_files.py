"""The files of a run under ``FAIR_HOME``: what was launched, what it printed, how far it is."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from fair_dagster.settings import Settings

OUTPUT_FILE = "output.log"
STOPPED_FILE = "stopped"
"""Left in the folder of a run that was stopped before Dagster knew it."""
Progress = tuple[int, int, str]
"""How far a run is: done, total, and of what (``epoch``, ``chip``)."""


def launch_folder(settings: Settings, run_id: str) -> Path:
    return settings.runs_path / "launched" / run_id


def progress_file(settings: Settings, run_id: str) -> Path:
    """Where the code that a run executes reports its progress; its folder exists afterwards."""
    folder = launch_folder(settings, run_id)
    folder.mkdir(parents=True, exist_ok=True)
    return folder / "progress.jsonl"


def progress_of(settings: Settings, run_id: str) -> Progress | None:
    """How far a run is; None before it began to report."""
    path = launch_folder(settings, run_id) / "progress.jsonl"
    if not path.is_file():
        return None
    for line in reversed(path.read_text().splitlines()):
        # The last line may be half-written.
        with suppress(ValueError, KeyError):
            entry = json.loads(line)
            return int(entry["done"]), int(entry["total"]), str(entry["what"])
    return None


def read_result(path: Path) -> dict[str, Any]:
    """The result that the runner left; empty when it was killed before it could."""
    try:
        result: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    return result
