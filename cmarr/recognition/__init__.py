"""A trained model at work: clips that nobody has seen in, probabilities out."""
