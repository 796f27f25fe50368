"""The measure of fairness on features whose answers are known beforehand."""

import numpy as np
import pytest

from cmarr.doctor.fairness import describe, measure
from cmarr.utterance import FeatureSequence, Utterance

CLASSES = ("angry", "happy", "neutral", "sad")
UTTERANCES = [
    Utterance(id=f"u{i}", label=CLASSES[i % 4], session=f"{i % 5}", speaker=f"{i % 10}") for i in range(200)
]
LABELS = np.arange(200) % 4


def sequences(means, rows=slice(None)):
    """Utterances whose features are constant over three frames: pooled, the means and zeros."""
    return [
        FeatureSequence(u.id, np.repeat(m[None], 3, axis=0).astype(np.float32), np.arange(3) * 0.1)
        for u, m in list(zip(UTTERANCES, means, strict=True))[rows]
    ]


def noise(seed, width=6):
    return np.random.default_rng(seed).normal(size=(200, width))


def test_one_bit_in_each_of_two_modalities_is_half_of_four_classes_alone_and_all_together():
    high, low = (LABELS // 2)[:, None] * 8.0, (LABELS % 2)[:, None] * 8.0
    features = {
        "s": sequences(high + noise(1)),
        "v": sequences(low + noise(2)),
        "t": sequences(noise(3)),
    }
    war = measure(UTTERANCES, features).war
    assert war["s"] == pytest.approx(0.5, abs=0.12)
    assert war["v"] == pytest.approx(0.5, abs=0.12)
    assert war["t"] == pytest.approx(0.25, abs=0.1)
    assert war["svt"] > 0.95


def test_a_shared_trait_is_found_and_the_label_is_not_taken_for_one():
    trait = noise(4, 1)
    one_hot = 10 * np.eye(4)[LABELS]
    both = np.concatenate([trait, trait, one_hot], axis=1)
    label_only = np.concatenate([noise(7, 2), one_hot + 0.1 * noise(8, 4)], axis=1)
    features = {
        "s": sequences(both + 0.1 * noise(5)),
        "v": sequences(both + 0.1 * noise(6)),
        "t": sequences(label_only),
    }
    found = measure(UTTERANCES, features)
    assert found.war["t"] == 1.0
    assert found.shared["sv"] > 0.3
    assert found.shared["st"] < 0.05 and found.shared["ts"] < 0.05


def test_a_copy_is_predicted_whole():
    same = noise(9)
    features = {"s": sequences(same), "v": sequences(same), "t": sequences(noise(10))}
    found = measure(UTTERANCES, features)
    assert found.shared["sv"] > 0.98 and found.shared_all["vs"] > 0.98
    assert found.dimensions["v"] in (2, 3), "of six directions of equal variance, half"


def test_absent_features_are_counted_and_do_not_end_up_in_the_figures():
    signal = 8 * np.eye(4)[LABELS]
    features = {
        "s": sequences(signal, slice(0, 150)),
        "v": sequences(signal + noise(11, 4)),
        "t": sequences(noise(12), slice(20, None)),
    }
    found = measure(UTTERANCES, features, face_rate=0.97)
    assert found.absent == {"s": 0.25, "v": 0.0, "t": 0.1}
    assert found.war["s"] == 1.0
    assert found.classes == dict.fromkeys(CLASSES, 50)
    text = describe(found)
    assert "speech       100.0" in text
    assert "Absent: speech 25.0 %, video 0.0 %, text 10.0 %" in text
    assert "finds a face: 97.0 %" in text
