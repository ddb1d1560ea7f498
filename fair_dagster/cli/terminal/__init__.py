"""What commands print on a terminal and read from it."""
