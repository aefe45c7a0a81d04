"""Intrinsic rewards: one object, one method `reward(views, batch) -> (T, B)`."""
