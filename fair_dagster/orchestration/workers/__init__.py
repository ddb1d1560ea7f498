"""Executing steps of Dagster runs on other machines: which executor, the broker, and what a Celery worker does.

What a step does stands in ``ops`` and ``assets``; which runs there are is Dagster's business. Celery, Redis and
Kubernetes are imported when they are chosen, and not before.
"""
