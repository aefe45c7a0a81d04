"""Tasks for a robot arm in PyBullet: two objects look alike, one of them moves, and only touching tells which."""
