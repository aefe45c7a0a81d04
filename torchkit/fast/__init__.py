"""The same results as torch, faster: optional, and tested against it."""
