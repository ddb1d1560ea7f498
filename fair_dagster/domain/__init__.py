"""Pure rules: what items, versions, requests and changes mean. No I/O, no Dagster, no ZenML."""
