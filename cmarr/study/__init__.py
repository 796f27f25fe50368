"""A study in a few lines of Python: the functions that the stages call, without a project around them."""
