"""Asset definitions, a module per kind. Thin: what an asset does stands in ``fair_dagster.flows``."""
