"""The client of ZenML."""
