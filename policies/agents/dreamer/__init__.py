"""Dreamer: a world model is learned from what was played, and acting from what it dreams."""
