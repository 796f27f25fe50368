"""Where the chance in a damage comes from."""

import numpy as np


def generator(seed: int, *names: str) -> np.random.Generator:
    """A source of draws of its own for every seed and names (kind, utterance, ...).

    What happens to an utterance therefore depends on no other one, nor on the order or number of workers; and a
    kind draws the same at all its levels, so that they differ by degree alone.
    """
    return np.random.default_rng([seed, *"\n".join(names).encode()])
