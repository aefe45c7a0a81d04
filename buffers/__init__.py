"""Episodes as data: the batch that everything reads, replay, and datasets on disk."""
