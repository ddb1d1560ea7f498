"""What was made from what. Pure."""
