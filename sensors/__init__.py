"""Sensors and schedules. They decide which families to recompute; what a recompute does stands in `flows`."""
