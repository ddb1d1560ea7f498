"""Slugs and item ids: what a name may look like, and how a version is written into an id."""

import re

SLUG_PATTERN = r"^[a-z0-9]+(-[a-z0-9]+)*$"
MAX_LENGTH = 63
_SLUG = re.compile(SLUG_PATTERN)
_LIKE_A_VERSION = re.compile(r"-v[0-9]+$")
_VERSIONED = re.compile(r"^(?P<slug>.+)-v(?P<number>0|[1-9][0-9]{0,99})$")


def slug_problems(slug: str, what: str = "slug") -> list[str]:
    """Every reason why ``slug`` cannot be used; empty when it can."""
    problems = []
    if not _SLUG.fullmatch(slug):
        problems.append(f"{what} {slug!r} may hold only lower-case letters, digits and single hyphens between them")
    if len(slug) > MAX_LENGTH:
        problems.append(f"{what} {slug!r} has {len(slug)} characters, at most {MAX_LENGTH} are allowed")
    if _LIKE_A_VERSION.search(slug):
        problems.append(f"{what} {slug!r} ends like a version; '-v<number>' is kept for version ids")
    return problems


def is_utf8(name: str) -> bool:
    """Whether a file name is UTF-8. Python keeps other bytes as surrogates, which can be written nowhere else."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


def folder_slug(name: str) -> str:
    """The slug of a base model folder: ``texture_segmentation`` holds ``texture-segmentation``."""
    return name.replace("_", "-")


def version_id(slug: str, number: int) -> str:
    """The id of version ``number`` of ``slug``: ``ramp-nepal`` and 3 give ``ramp-nepal-v3``."""
    return f"{slug}-v{number}"


def split_version_id(text: str) -> tuple[str, int | None]:
    """The inverse of ``version_id``; the number is None where ``text`` is a plain slug."""
    match = _VERSIONED.fullmatch(text)
    return (match["slug"], int(match["number"])) if match else (text, None)
