"""Corpora: each reader ends in the same manifest, one row an utterance."""
