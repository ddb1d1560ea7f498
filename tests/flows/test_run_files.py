"""What a run leaves in its folder, also when it was killed while writing."""

from pathlib import Path

import pytest

from fair_dagster.flows.run_files import progress_file, progress_of
from fair_dagster.pipelines.metadata import PROGRESS_VARIABLE, report_progress
from fair_dagster.settings import Settings


def test_progress_survives_a_line_cut_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(home=tmp_path)
    assert progress_of(settings, "run") is None
    path = progress_file(settings, "run")
    monkeypatch.setenv(PROGRESS_VARIABLE, str(path))
    report_progress(1, 5)
    report_progress(2, 5, "chip")
    with path.open("a") as file:
        file.write('{"done": 3, "to')
    assert progress_of(settings, "run") == (2, 5, "chip")
