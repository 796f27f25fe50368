"""One file an analysis of a study: what it measures, its tables, its figures and its sentences."""
