"""The drift report, and repairing what it found."""
