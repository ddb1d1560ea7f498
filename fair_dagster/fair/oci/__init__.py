"""``Fair.oci``: models as artifacts of container registries, a module a concern.

What registries are asked and what artifacts are made of stands in ``fair_dagster.oci``, which knows no installation.
"""
