"""Dagster's configuration file for one machine, as text; a team's is ``deploy/dagster/dagster.yaml``.

See docs/decisions/0017.
"""

ONE_MACHINE = """\
# Dagster's own settings for one machine. Written once; yours to change. A team's: deploy/dagster/dagster.yaml.
telemetry:
  enabled: false
# Dagster's invitation to sign up for mail.
nux:
  enabled: false

# Runs of sensors, schedules and the UI wait in a queue that the daemon empties. Those of the command line do not.
run_queue:
  max_concurrent_runs: 4
  # Seconds between two looks at the queue; the default of 5 is most of what a publication would wait for.
  dequeue_interval_seconds: 1

# A slow sensor, e.g. one that waits for a webhook, does not hold up the others.
sensors:
  use_threads: true
  num_workers: 4

# A run that does not start or end in time counts as failed or canceled.
run_monitoring:
  enabled: true
  start_timeout_seconds: 180
  cancel_timeout_seconds: 60
  poll_interval_seconds: 30
  free_slots_after_run_end_seconds: 60

# A run whose process or start failed is tried again; one whose step failed would fail again.
run_retries:
  enabled: true
  max_retries: 2
  retry_on_asset_or_op_failure: false

# Days that ticks are kept; runs are kept until somebody deletes them.
retention:
  sensor:
    purge_after_days:
      skipped: 2
      success: 30
      failure: 30
  schedule:
    purge_after_days: 90

# Trainings belong to the pool "training". Without a limit: what the command line starts would otherwise wait for a
# place that a killed training keeps until a daemon frees it. With a daemon always running, limit it so:
#   dagster instance concurrency set training 1
"""
