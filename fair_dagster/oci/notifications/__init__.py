"""What registries report of pushes: listener, inbox, and what is remembered of tags."""
