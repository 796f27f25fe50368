"""Mask sets: what each protocol hides from which test utterance, drawn once, saved, shared by all methods."""
