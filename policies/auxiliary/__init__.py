"""Auxiliary losses: one object, one method `loss(views, batch) -> (T+1, B)`."""
