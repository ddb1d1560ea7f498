"""The client of ZenML: model versions, stages, runs, stacks. Nothing of ZenML leaves this package."""
