"""All that is Dagster: keys, resources, metadata, jobs, the instance, ops, runs and workers. Rules and flows belong elsewhere."""
