"""Units of work in processes of this machine, or on a cluster: the same results wherever they run."""
