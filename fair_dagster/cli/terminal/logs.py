"""Logs of this package on stderr, for ``--verbose``; and silence about everything but errors, for ``--quiet``."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

_PACKAGE = "fair_dagster"


class _Echo(logging.Handler):
    """Writes to what stderr is at the time: a progress bar stands between, and moves down for a line."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            click.echo(self.format(record), err=True)
        except Exception:
            self.handleError(record)


class _Utc(logging.Formatter):
    converter = staticmethod(time.gmtime)
    default_msec_format = "%s.%03dZ"
    default_time_format = "%Y-%m-%dT%H:%M:%S"


@contextmanager
def show_logs(verbosity: int) -> Iterator[None]:
    """Print what this package logs meanwhile: nothing at 0, what it does at 1, and how at 2."""
    if not verbosity:
        yield
        return
    logger, handler = logging.getLogger(_PACKAGE), _Echo()
    before = (logger.level, logger.propagate)
    handler.setFormatter(_Utc("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO if verbosity == 1 else logging.DEBUG)
    # ZenML and Dagster print what reaches the root: it would be there twice.
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.level, logger.propagate = before


@contextmanager
def hide_logs() -> Iterator[None]:
    """Print no log below an error meanwhile, of this package or a library."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
