"""Exact and certified solutions of finite POMDPs."""
