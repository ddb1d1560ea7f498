"""All that is Dagster: the instance, jobs, resources, ops, runs and workers. Rules and flows belong elsewhere."""
