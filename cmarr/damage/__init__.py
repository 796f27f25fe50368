"""Damage to the raw signal of test utterances before extraction: noise, word errors, dark, blurred, covered video."""
