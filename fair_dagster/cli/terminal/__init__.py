"""What the commands share: output, progress, values that people type, signals, errors."""
