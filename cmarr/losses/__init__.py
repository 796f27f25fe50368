"""The losses, each in one place with its equation; every one is masked by what is true for each sample."""
