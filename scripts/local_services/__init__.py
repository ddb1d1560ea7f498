"""Real servers on one machine, from Debian's packages and the lock: what `scripts/services` runs.

How each server is started (`commands`), prepared (`servers`), watched and stopped (`supervisor`) belongs here, for
people and for tests. Images, manifests and what a cluster needs belong into `deploy/`; what a server is used for
belongs into `fair_dagster`.

See docs/decisions/0025.
"""
