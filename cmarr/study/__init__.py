"""A study in a few lines of Python: the functions that the stages of the pipeline call, without a project around them."""
