"""Titles of layers as file names below a folder: which are safe, and whether several go together. Pure."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

_CONTROL = re.compile(r"[\x00-\x1f\x7f\\]")
_DRIVE = re.compile(r"[A-Za-z]:")
_LONGEST_NAME = 255

STAGING = ".fair-pull"
"""Where files wait below a folder until all of an artifact is there."""


def title_problem(title: str) -> str | None:
    """Why a title is no path below a folder; None for one that is."""
    path = PurePosixPath(title)
    problems = (
        (title in {"", ".", "/"}, "names no file"),
        (path.is_absolute() or ".." in path.parts or _DRIVE.match(title), "leads out of the folder"),
        (_CONTROL.search(title), "holds a backslash or a character that no file name may hold"),
        (str(path) != title, f"is no plain path: {str(path)!r} would be one"),
        (any(len(part.encode()) > _LONGEST_NAME for part in path.parts), f"has a name over {_LONGEST_NAME} bytes"),
        (path.parts[:1] == (STAGING,), "is a name that pulling keeps for itself"),
    )
    return next((f"title {title[:200]!r} {problem}" for is_wrong, problem in problems if is_wrong), None)


def title_problems(titles: Sequence[str]) -> list[str]:
    """Everything that is wrong with the titles of one artifact: unsafe ones, doubles, a file that is a folder, too."""
    problems = [problem for title in dict.fromkeys(titles) if (problem := title_problem(title))]
    problems += [f"title {title!r} stands at {count} layers" for title, count in Counter(titles).items() if count > 1]
    folders = {str(parent) for title in titles for parent in PurePosixPath(title).parents}
    problems += [
        f"title {title!r} is a file and a folder of others" for title in dict.fromkeys(titles) if title in folders
    ]
    return problems
