"""Which frames and tokens of a sequence a protocol drops: each by itself, or in bursts.

Sequences stand one after another; `lengths` (R,) are theirs, N is their sum. The same uniform numbers serve every
rate, so that what a low rate drops a high one drops, too (in bursts: nearly).
"""

import numpy as np


def keep_alone(uniform: np.ndarray, rate: float) -> np.ndarray:
    """Each step is dropped with probability `rate`, whatever happens to its neighbours; (N,) -> (N,) bool."""
    return uniform >= rate


def keep_in_bursts(uniform: np.ndarray, lengths: np.ndarray, rate: float, burst: float) -> np.ndarray:
    """Steps are dropped in runs: the two-state Markov chain of lossy channels (Gilbert 1960).

    uniform: (N,) in [0, 1). rate: share of dropped steps that is expected. burst: mean length of a run, as a
    share of the sequence, never below one step. Where so many runs do not fit they become longer.
    Returns (N,) bool, True where a step is kept.
    """
    if rate <= 0:
        return np.ones(len(uniform), bool)
    ends = 1 / np.maximum(1.0, burst * lengths)  # (R,) probability that a run ends with this step
    begins = ends * rate / (1 - rate)
    crowded = begins > 1
    ends, begins = np.where(crowded, (1 - rate) / rate, ends), np.minimum(begins, 1.0)
    starts = np.cumsum(lengths) - lengths
    kept = np.ones(len(uniform), bool)
    dropping = np.zeros(len(lengths), bool)
    for step in range(int(lengths.max(initial=0))):
        going = lengths > step
        drawn = np.zeros(len(lengths))
        drawn[going] = uniform[starts[going] + step]
        again = np.where(dropping, drawn < 1 - ends, drawn < begins)
        dropping = going & (drawn < rate if step == 0 else again)
        kept[starts[going] + step] = ~dropping[going]
    return kept
