"""Trainings in an experiment tracker: MLflow or Weights & Biases.

Sending is a process of its own beside the training, which follows files in an outbox: no tracker can fail or delay a
training, and what could not be sent is sent later. What a training *is* belongs to ZenML; nothing is read from here.
"""
