"""Folds: which utterances train, choose and test a model. No speaker is on two sides."""
