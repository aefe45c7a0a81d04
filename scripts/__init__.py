"""Tools over run folders and configs."""
