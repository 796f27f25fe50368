"""Features as training tensors: the store, batches, masks, normalisation."""
