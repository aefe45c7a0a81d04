"""A run of stage 3, alone or many seeds of one."""
