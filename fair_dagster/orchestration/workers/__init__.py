"""Runs on other machines: the run launcher that ``dagster.yaml`` names, and what a Celery worker does with a run.

What a run does stands in ``ops`` and ``assets``; which runs there are is Dagster's business. Celery, Redis and
Kubernetes are imported when they are chosen, and not before.
"""
