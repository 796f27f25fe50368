"""Encoders: each turns one modality of an utterance into a sequence of feature vectors.

Adding an encoder is one file here, obeying `cmarr.encoders.protocol`, and its last line, `ENCODER = <the class>`.
"""
