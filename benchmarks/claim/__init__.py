"""A method of our own against the field, as docs/claim.md has it: `python -m benchmarks.claim`."""
