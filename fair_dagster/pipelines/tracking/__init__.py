"""Trainings in an experiment tracker.

A training on this machine logs into a local MLflow, through ZenML's experiment tracker. When it has ended, its run is
copied to the tracker that the settings name. What a training *is* belongs to ZenML; nothing is read from here.
"""
