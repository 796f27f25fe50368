"""Encoders: each turns one modality of an utterance into a sequence of feature vectors.

Adding an encoder is one file here, obeying `cmarr.encoders.protocol`, and one line in `registry.ENCODERS`.
"""
