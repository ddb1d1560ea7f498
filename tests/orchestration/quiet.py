"""Run configuration of a job that prints nothing."""

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
