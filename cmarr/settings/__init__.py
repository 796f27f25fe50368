"""params.yaml and a preset become one frozen, validated settings object."""
