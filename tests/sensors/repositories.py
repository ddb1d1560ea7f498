"""Git repositories for tests, made by git itself."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from fair_dagster.settings import PROJECT_ROOT

_TEMPLATE = PROJECT_ROOT / "models" / "texture_segmentation"
_WRITTEN = {".py", ".json", ".md"}


@dataclass(frozen=True)
class Scratch:
    """A repository with a working tree, on the branch ``main``."""

    path: Path

    @property
    def models(self) -> Path:
        return self.path / "models"

    @classmethod
    def at(cls, path: Path) -> "Scratch":
        path.mkdir(parents=True)
        scratch = cls(path)
        scratch.git("init", "--quiet", "--initial-branch=main")
        return scratch

    def git(self, *arguments: str) -> str:
        own = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.org"}
        own |= {"GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@example.org"}
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | own
        done = subprocess.run(["git", *arguments], cwd=self.path, env=environment, capture_output=True, check=True)
        return done.stdout.decode().strip()

    def commit(self, subject: str) -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", subject)
        return self.git("rev-parse", "HEAD")

    def write(self, path: str, text: str) -> None:
        file = self.path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def add_base_model(self, folder: str) -> Path:
        """A valid base model folder."""
        target = self.models / folder
        shutil.copytree(_TEMPLATE, target, ignore=shutil.ignore_patterns("__pycache__", "tests"))
        for path in target.rglob("*"):
            if path.suffix in _WRITTEN:
                text = path.read_text().replace("texture_segmentation", folder)
                path.write_text(text.replace("texture-segmentation", folder.replace("_", "-")))
        return target

    def add_broken_model(self, folder: str) -> None:
        self.write(f"models/{folder}/stac-item.json", "{}")

    def remove(self, path: str) -> None:
        shutil.rmtree(self.path / path)
