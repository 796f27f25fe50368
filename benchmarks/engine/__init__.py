"""What the training engine costs, a module a part; docs/speed.md says what came out.

Features are random, with the widths and mean lengths of those that the MMIN family published (speech 60 x 130, video
50 x 342, text 22 x 1024); an utterance is longer or shorter than that by a factor drawn from a log-normal distribution.
"""
