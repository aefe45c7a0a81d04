"""Agents from parts: embedders, memory, heads, losses, families, rollouts and training."""
