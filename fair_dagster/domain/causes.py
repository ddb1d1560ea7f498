"""What an operator reads of a log first. Pure rules over lines of text; no log is read here."""

import re
from collections.abc import Sequence

_TELLING_LINES = 8
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_EVENT = re.compile(r"\d{4}-\d\d-\d\d \S+ [+-]\d{4} - dagster - [A-Z]+ - ")
_FAILURE_EVENT = re.compile(_EVENT.pattern + r".* - STEP_FAILURE - ")
_WRAPPERS = ("Pipeline run has failed", "Traceback (most recent call last)", "During handling of the above exception")


def printed_by_step(log: str) -> str:
    """What the code of a step printed, without the events that Dagster writes among it when its console logger is on.

    With the failure of the step, which Dagster writes with a traceback of its own, ends what the step printed.
    """
    plain = _COLOUR.sub("", log)
    if failure := _FAILURE_EVENT.search(plain):
        plain = plain[: failure.start()]
    return "\n".join(line for line in plain.splitlines() if not _EVENT.match(line))


def telling_lines(log: str) -> Sequence[str]:
    """The last lines that say something, without carets and the sentences that any failure ends with."""
    lines = [line.rstrip() for line in log.splitlines() if line.strip(" ~^")]
    return [line for line in lines if not any(wrapper in line for wrapper in _WRAPPERS)][-_TELLING_LINES:]


def in_our_words(message: str) -> str:
    """The message of an error, where it is one of Dagster's own that says little."""
    if gone := re.search(r"Nonexistent partition keys:\s*\[(.+?)\]", message, re.DOTALL):
        return f"partition {gone[1]} was deleted before its run had ended; the run changed nothing that Dagster shows"
    return message
