"""Where published artifacts live: checksummed copies under keys. What is published when is decided elsewhere."""
