"""Envs played by any policy."""
