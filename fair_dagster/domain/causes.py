"""What an operator reads of a log first. Pure rules over lines of text; no log is read here."""

from collections.abc import Sequence

SEE_LOG = "see the step's log"
"""How the message of an error ends that knows no cause; who shows it puts the end of the log there."""
_TELLING_LINES = 8
_WRAPPERS = ("Pipeline run has failed", "Traceback (most recent call last)", "During handling of the above exception")


def telling_lines(log: str) -> Sequence[str]:
    """The last lines that say something, without carets and the sentences that any failure ends with."""
    lines = [line.rstrip() for line in log.splitlines() if line.strip(" ~^")]
    return [line for line in lines if not any(wrapper in line for wrapper in _WRAPPERS)][-_TELLING_LINES:]
