"""A family of agents a file, as its paper reads, and what families share."""
