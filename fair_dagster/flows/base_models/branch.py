"""The git repository that base models are contributed in: its branch, its commits, checkouts of them.

Knows files and commits, not base models. Everything is kept under ``FAIR_HOME/repository``: a bare mirror of the one
branch, a checkout for each content of ``models/``, and ``current``, a link to the checkout that counts. A user's
own clone is read and never written. No code of the repository runs here: no hooks, no submodules, no external
protocols.

See docs/decisions/0012.
"""

import os
import re
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from fair_dagster.domain.errors import RefusedError, ServiceError
from fair_dagster.flows.base_models import git
from fair_dagster.settings import Settings

MODELS = "models"
WATCHED = (MODELS, "schemas")

_SHA = re.compile(r"[0-9a-f]{40,64}")
_BAD_BRANCH = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|^[-/.]|[/.]$|\.lock$")
# Whatever branch is followed.
_HEAD = "refs/fair/head"
# A tick of a sensor may take a minute in all.
_ASK_TIMEOUT = 15.0
TICK_TIMEOUT = 40.0
_LOCAL_TIMEOUT = 60.0
_NOWHERE = Path("/dev/null/outside")
_KEPT_CHECKOUTS = 3
_KEPT_SECONDS = 7 * 24 * 3600.0
"""A training imports from the checkout that it began with."""


@dataclass(frozen=True)
class Commit:
    sha: str
    subject: str


class Repository:
    """The branch ``FAIR_MODELS_BRANCH`` of ``FAIR_MODELS_REPO``.

    Args:
        timeout: seconds that asking the remote side may take.

    Raises:
        RefusedError: the settings name no repository, or one that git would take for an option.
    """

    def __init__(self, settings: Settings, *, timeout: float = TICK_TIMEOUT) -> None:
        if problems := _problems(settings.models_repo, settings.models_branch):
            raise RefusedError("the repository of base models", problems)
        self._url = settings.models_repo
        self._ref = f"refs/heads/{settings.models_branch}"
        self._branch = settings.models_branch
        self._timeout = timeout
        self._root = settings.repository_path
        self._mirror = self._root / "mirror.git"

    def fetch(self) -> str:
        """Bring the mirror in step with the branch and return the commit at its head.

        Raises:
            ServiceError: the repository cannot be reached, or has no such branch; the mirror is as it was.
        """
        with _locked(self._root):
            if not (self._mirror / "HEAD").is_file():
                self._git("init", "--quiet", "--bare", "--template=")
            asked = self._git("ls-remote", "--", self._url, self._ref, timeout=min(_ASK_TIMEOUT, self._timeout))
            listed = asked.decode(errors="replace")
            heads = [line.split("\t")[0] for line in listed.splitlines() if line.split("\t")[-1] == self._ref]
            if not heads:
                raise ServiceError(
                    f"{git.redacted(self._url)} has no branch {self._branch!r}, or no commit on it: "
                    "push one, or set FAIR_MODELS_BRANCH"
                )
            if heads[0] != self._head():
                # The branch may move anywhere, also back; a shallow clone is as good as a whole one.
                refspec = f"+{self._ref}:{_HEAD}"
                options = ("--no-tags", "--no-recurse-submodules", "--update-shallow", "--no-write-fetch-head")
                self._git("fetch", "--quiet", *options, "--", self._url, refspec, timeout=self._timeout)
            return self._head() or heads[0]

    def knows(self, commit: str) -> bool:
        """Whether the mirror holds ``commit``; after a force-push or a lost mirror it may not."""
        return bool(_SHA.fullmatch(commit)) and self._try("cat-file", "-e", f"{commit}^{{commit}}") is not None

    def changed(self, old: str, new: str) -> list[str]:
        """The watched paths in which two commits differ; a renamed file counts under both of its names."""
        return _names(self._git("diff", "--no-renames", "--name-only", "-z", old, new, "--", *WATCHED))

    def paths(self, commit: str) -> list[str]:
        """The watched files of a commit."""
        return _names(self._git("ls-tree", "-r", "-z", "--name-only", "--full-tree", commit, "--", *WATCHED))

    def ever(self, commit: str) -> list[str]:
        """The paths under ``models/`` that a commit or one before it touched, as far as the history is there."""
        return _names(self._git("log", "--no-renames", "--name-only", "-z", "--format=", commit, "--", MODELS))

    def last_changes(self, commit: str, places: Collection[str]) -> dict[str, Commit]:
        """For each folder of ``places`` the commit that touched it last, in one walk through the history.

        ``commit`` itself where the history does not reach so far.
        """
        if not places:
            return {}
        log = ("log", "--no-renames", "--name-only", "-z", "--format=%x01%H %s", commit, "--", *sorted(places))
        found: dict[str, Commit] = {}
        latest = Commit(commit, self._git("log", "-1", "--format=%s", commit, "--").decode(errors="replace").strip())
        current = latest
        for part in self._git(*log).split(b"\0"):
            text = os.fsdecode(part).lstrip("\n")
            if text.startswith("\x01"):
                sha, _, subject = part.decode(errors="replace").lstrip("\n\x01").partition(" ")
                current = Commit(sha, subject)
            for place in {*map(str, Path(text).parents)} & {*places}:
                found.setdefault(place, current)
        return {place: found.get(place, latest) for place in places}

    def trees(self, commit: str) -> dict[str, str]:
        """The folders under ``models/`` of a commit, each with the id that git gives to its content."""
        return {
            path.removeprefix(f"{MODELS}/"): id_
            for path, kind, id_ in self._listed(commit, f"{MODELS}/")
            if kind == "tree"
        }

    def checkout(self, commit: str) -> Path:
        """Make ``models/`` of a commit current, and return the folder that holds it.

        A commit with the same base models as the current one gets no checkout of its own.

        Raises:
            ServiceError: git or the disk refuses; what was current stays so.
        """
        with _locked(self._root):
            current = current_checkout(self._root)
            tree = self._tree(commit)
            known = current is not None and self.knows(current.name)
            if current and known and self._tree(current.name) == tree and (current / MODELS).is_dir():
                return current
            folder = self._root / "commits" / commit
            if not (folder / MODELS).is_dir():
                self._fill(folder, commit, empty=tree is None)
            link = self._root / ".current"
            link.unlink(missing_ok=True)
            link.symlink_to(Path("commits") / commit)
            link.replace(self._root / "current")
            # The time at which a checkout was current last decides how long it is kept.
            os.utime(folder)
            if current:
                os.utime(current)
            _prune(folder)
            return folder

    def _fill(self, folder: Path, commit: str, *, empty: bool) -> None:
        partial = folder.with_name(f".{commit}")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        if empty:
            # The last base model was removed; git keeps no empty folder.
            (partial / MODELS).mkdir()
        else:
            index = {"GIT_INDEX_FILE": str(partial / ".index")}
            tree = f"--work-tree={partial}"
            self._git(tree, "checkout", "--quiet", "--force", commit, "--", MODELS, folder=partial, variables=index)
            (partial / ".index").unlink(missing_ok=True)
            _disarm_links(partial / MODELS)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)

    def _tree(self, commit: str) -> str | None:
        """What tells two contents of ``models/`` apart; None where a commit holds none.

        Only what git lists tells that: a process that dies says nothing about the commit.
        """
        for _, kind, id_ in self._listed(commit, MODELS):
            if kind != "tree":
                raise ServiceError(f"{MODELS!r} is not a folder at commit {commit}: nothing can be read from it")
            return id_
        return None

    def _listed(self, commit: str, path: str) -> Iterator[tuple[str, str, str]]:
        """What a commit holds at ``path``, or in it when it ends with a slash: path, kind, id."""
        for line in self._git("ls-tree", "-z", "--full-tree", commit, "--", path).split(b"\0"):
            if line:
                entry, _, name = line.partition(b"\t")
                _, kind, id_ = entry.decode().split(" ")
                yield os.fsdecode(name), kind, id_

    def _head(self) -> str | None:
        found = self._try("rev-parse", "--verify", "--quiet", f"{_HEAD}^{{commit}}")
        return found.decode().strip() if found else None

    def _try(self, *arguments: str) -> bytes | None:
        """What git prints, or None when it exits with an error."""
        done = git.run([f"--git-dir={self._mirror}", *arguments], self._root, timeout=_LOCAL_TIMEOUT)
        return done.stdout if done.returncode == 0 else None

    def _git(
        self,
        *arguments: str,
        timeout: float = _LOCAL_TIMEOUT,
        folder: Path | None = None,
        variables: dict[str, str] | None = None,
    ) -> bytes:
        command = [f"--git-dir={self._mirror}", *arguments]
        done = git.run(command, folder or self._root, timeout=timeout, variables=variables or {})
        if done.returncode != 0:
            raise ServiceError(f"git could not read {git.redacted(self._url)}: {git.reason(done)}")
        return done.stdout


def current_checkout(root: Path) -> Path | None:
    """The checkout that base models are read from; None before the first."""
    link = root / "current"
    return link.resolve() if link.is_symlink() and (link / MODELS).is_dir() else None


def _problems(url: str, branch: str) -> list[str]:
    problems = []
    if not url:
        problems.append("FAIR_MODELS_REPO is not set: name a clone, a bare repository or a URL")
    if url.startswith("-"):
        problems.append("FAIR_MODELS_REPO begins with '-', which git would take for an option")
    if not branch or _BAD_BRANCH.search(branch):
        problems.append(f"FAIR_MODELS_BRANCH {branch!r} is not the name of a branch")
    return problems


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    """One process fetches and checks out at a time."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / ".lock", timeout=_LOCAL_TIMEOUT):
            yield
    except Timeout as error:
        raise ServiceError(f"another process has been busy with {root} for a minute; try again") from error
    except OSError as error:
        raise ServiceError(f"{root} cannot be written: {error.strerror or error}") from error


def _names(output: bytes) -> list[str]:
    """NUL-separated paths; bytes that are no UTF-8 stay as surrogates."""
    return sorted({os.fsdecode(name) for name in output.split(b"\0") if name})


def _disarm_links(models: Path) -> None:
    """Let the links that lead out of their base model's folder lead nowhere.

    They stay, so that validation can name them; nothing beyond the commit can be read through them.
    """
    for path in models.rglob("*"):
        if path.is_symlink():
            home = models / path.relative_to(models).parts[0]
            if path == home:
                path.unlink()
            elif not path.resolve().is_relative_to(home.resolve()):
                path.unlink()
                path.symlink_to(_NOWHERE)


def _prune(current: Path) -> None:
    """Remove checkouts that nothing can be running from any more."""
    others = [path for path in current.parent.iterdir() if path != current]
    newest = sorted(others, key=lambda path: path.lstat().st_mtime, reverse=True)
    for path in newest[_KEPT_CHECKOUTS:]:
        if time.time() - path.lstat().st_mtime > _KEPT_SECONDS:
            shutil.rmtree(path, ignore_errors=True)
