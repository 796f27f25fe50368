"""A corpus of arrays that a linear method can learn."""

import numpy as np
import pytest

CLASSES = ("calm", "glad", "tense")


def arrays(rows=90, seed=0):
    """Labels, speech (N, 6), text (lists of frames, every fourth None) and speakers."""
    generator = np.random.default_rng(seed)
    centres = {name: 2 * generator.normal(size=6) for name in CLASSES}
    labels = [CLASSES[i % 3] for i in range(rows)]
    speech = np.stack([centres[name] + generator.normal(size=6) for name in labels])
    text = [
        None if i % 4 == 0 else np.stack([centres[name][:4] + generator.normal(size=4)] * 2)
        for i, name in enumerate(labels)
    ]
    return {
        "labels": labels,
        "speech": speech,
        "text": text,
        "speakers": [f"s{i // 3 % 10}" for i in range(rows)],
    }


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """The arrays as a corpus."""
    import cmarr

    return cmarr.Corpus.from_arrays(**arrays(), folder=tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="session")
def model(corpus):
    """`gaussian` on it."""
    import cmarr

    return cmarr.train(corpus)
