"""All that is Dagster: keys, resources, jobs, the instance, ops, runs and workers. Rules and flows are elsewhere."""
