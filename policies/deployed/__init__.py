"""Finished policies: kept, exported, looked into."""
