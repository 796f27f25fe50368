"""`normalise: speaker`: what is usual of a speaker is taken away, from frames and from statistics over them."""

import numpy as np
import pytest
import torch

from cmarr.data.batch import Batch, visibility
from cmarr.data.load import hear, load_store
from cmarr.data.normalise import Normaliser
from cmarr.data.speakers import Heard, shrunk, typical
from cmarr.data.statistics import STATISTICS
from cmarr.errors import UserError
from cmarr.features.shards import FeatureTable
from cmarr.folds.hygiene import require_balanced_speakers
from cmarr.methods.asking import predictions
from cmarr.methods.pooled import Pooling, StandardFeatures
from cmarr.methods.protocol import ClosedForm
from cmarr.methods.registry import build_method
from cmarr.task import Task
from cmarr.utterance import Utterance

TASK = Task(("calm", "tense"))
DIM = 3


def corpus(clips: int = 6, speakers: int = 4, seed: int = 0, voices: float = 5.0):
    """Clips of speakers who differ in place and scale; speech and text."""
    generator = np.random.default_rng(seed)
    utterances, frames = {}, {"s": [], "t": []}
    for speaker in range(speakers):
        place, scale = voices * generator.normal(size=DIM), np.exp(generator.normal(size=DIM) * (voices > 0))
        for clip in range(clips):
            name = f"{speaker}-{clip}"
            utterances[name] = Utterance(name, label=TASK.classes[clip % 2], speaker=f"speaker {speaker}")
            for m in frames:
                length = int(generator.integers(4, 9))
                raw = generator.normal(size=(length, DIM)) * (1 + clip % 2) + clip % 2
                frames[m].append(place + scale * raw)
    tables = {
        m: FeatureTable(
            list(utterances), np.concatenate(own).astype(np.float32), np.cumsum([0, *map(len, own)])
        )
        for m, own in frames.items()
    }
    return utterances, tables


def normalised(utterances, tables, ids=None, trained_on=None) -> tuple[Normaliser, Batch]:
    heard = hear(utterances, tables)
    train = load_store(trained_on or list(utterances), utterances, tables, TASK, heard)
    normaliser = Normaliser({"s": DIM, "t": DIM}, by_speaker=True)
    normaliser.fit(train.frames(), train.heard, train.speakers)
    store = load_store(ids or list(utterances), utterances, tables, TASK, heard)
    return normaliser, normaliser(store.batch(torch.arange(len(store))))


def test_moments_by_hand():
    values = np.array([[1.0], [3.0], [5.0], [10.0], [10.0]], np.float32)
    table = FeatureTable(
        ["a", "b", "c", "stranger"], np.concatenate([values, values]), np.array([0, 2, 3, 5, 10])
    )
    found = Heard({"a": "x", "b": "x", "c": "y"}, {"s": table}).moments("s")
    assert found.count.tolist() == [2, 1]
    assert found.frames[..., 0].tolist() == [[3.0, pytest.approx(8 / 3)], [10.0, 0.0]]
    mean, deviation = STATISTICS.index("mean"), STATISTICS.index("deviation")
    assert found.pooled[0, :, mean, 0].tolist() == [3.5, 2.25]  # of 2 and 5
    assert found.pooled[0, :, deviation, 0].tolist() == [0.5, 0.25]  # of 1 and 0
    assert found.pooled[0, 0, STATISTICS.index("change"), 0] == 1.0


def test_one_utterance_of_the_typical_speaker_counts_with_everyone_s():
    utterances, tables = corpus()
    moments = hear(utterances, tables).moments("s")
    frames, pooled = typical(moments, torch.tensor([0, 0, 2]))
    assert torch.equal(frames, moments.frames[[0, 2]].mean(0))
    found = shrunk(moments, frames, pooled)
    torch.testing.assert_close(found.frames[1], (6 * moments.frames[1] + frames) / 7)
    torch.testing.assert_close(found.pooled[3], (6 * moments.pooled[3] + pooled) / 7)


def test_the_voice_of_a_speaker_does_not_show_in_speech_and_does_in_text():
    utterances, tables = corpus(clips=200)
    _, batch = normalised(utterances, tables)
    for m, gone in (("s", True), ("t", False)):
        parts = batch.values[m].split(batch.lengths[m].tolist())
        means = [torch.cat(parts[200 * n : 200 * n + 200]).mean(0) for n in range(4)]
        assert (torch.stack(means).std(0).max() < 0.1) == gone


def test_statistics_are_standard_within_each_speaker():
    utterances, tables = corpus(clips=200)
    _, batch = normalised(utterances, tables)
    features = StandardFeatures({"s": DIM, "t": DIM}, Pooling())
    features.fit(batch)
    rows = features.standard(batch, "s")  # (800, 8 D)
    for own in rows.split(200):
        assert own.mean(0).numpy() == pytest.approx(0, abs=0.1)
        assert own.std(0).numpy() == pytest.approx(1, abs=0.1)


def test_another_place_and_scale_of_a_voice_changes_nothing_but_for_the_typical_speaker():
    """All that a microphone adds to or multiplies the features of a speaker by is gone from statistics over time."""
    utterances, tables = corpus(clips=400)
    moved = tables["s"].values.copy()
    own = slice(tables["s"].offsets[0], tables["s"].offsets[400])
    moved[own] = 3 * moved[own] + 40
    other = tables | {"s": FeatureTable(tables["s"].ids, moved, tables["s"].offsets)}
    rest = [name for name in utterances if not name.startswith("0-")]
    found = []
    for given in (tables, other):
        _, batch = normalised(utterances, given, trained_on=rest)
        features = StandardFeatures({"s": DIM, "t": DIM}, Pooling())
        features.fit(batch)
        found.append(features.standard(batch, "s")[:400])
    assert (found[0] - found[1]).abs().mean() < 0.1


def test_labels_are_not_looked_at():
    utterances, tables = corpus()
    turned = {
        name: Utterance(name, label=TASK.classes[name.endswith(("0", "2", "4"))], speaker=u.speaker)
        for name, u in utterances.items()
    }
    one, two = normalised(utterances, tables)[1], normalised(turned, tables)[1]
    assert torch.equal(one.values["s"], two.values["s"])
    assert not torch.equal(one.labels, two.labels)


def test_what_else_is_in_a_batch_does_not_matter():
    utterances, tables = corpus()
    _, whole = normalised(utterances, tables)
    _, part = normalised(utterances, tables, ids=["1-3"])
    first = int(whole.lengths["s"][:9].sum())
    assert torch.equal(part.values["s"], whole.values["s"][first : first + len(part.values["s"])])


def test_the_typical_speaker_is_a_training_speaker_and_is_kept_with_the_weights():
    utterances, tables = corpus()
    train = [name for name in utterances if not name.startswith("3-")]
    normaliser, _ = normalised(utterances, tables, trained_on=train)
    wanted = hear(utterances, tables).moments("s").frames[:3].mean(0)
    assert torch.equal(normaliser.state_dict()["typical_frames_s"], wanted)
    assert "typical_frames_t" not in normaliser.state_dict()
    assert (normaliser.how, Normaliser({"s": 3}).how) == ("speaker", "corpus")


@pytest.mark.parametrize("name", ["linear", "gaussian", "recovered", "gbdt", "masked"])
def test_a_method_predicts_as_it_is_shown_under_every_condition(name):
    """Asked about several conditions at once, or about some utterances alone, it knows who speaks in each of them."""
    utterances, tables = corpus(clips=8)
    _, batch = normalised(utterances, tables)
    method = build_method(name, {"s": DIM, "t": DIM}, TASK, {"rounds": 5} if name == "gbdt" else {}).eval()
    if isinstance(method, ClosedForm):
        method.fit(batch, torch.Generator())
    _, part = normalised(utterances, tables, ids=["1-3", "2-4"])
    with torch.no_grad():
        found = predictions(method, batch, {c: visibility(c, len(batch)) for c in ("s", "t", "st")})
        alone = predictions(method, part, {"s": visibility("s", 2)})["s"].logits
    rows = [list(utterances).index(id) for id in ("1-3", "2-4")]
    torch.testing.assert_close(found["s"].logits[rows], alone, atol=1e-4, rtol=1e-4)


def told(labels_of: dict[str, str], **more) -> list[Utterance]:
    return [
        Utterance(f"{name}{n}", label=label, speaker=name, **more)
        for name, labels in labels_of.items()
        for n, label in enumerate(labels)
    ]


def test_it_is_refused_where_speakers_hold_one_class():
    single = told({"x": "aaa", "y": "bbb", "z": "ab"})
    with pytest.raises(UserError, match="2 of 3 speakers hold a single class"):
        require_balanced_speakers("speaker", single)
    require_balanced_speakers("corpus", single)
    require_balanced_speakers("speaker", told({"x": "ab", "y": "aab", "z": "bbb"}))
    with pytest.raises(UserError, match="does not say"):
        require_balanced_speakers("speaker", [Utterance(str(n), label="ab"[n % 2]) for n in range(9)])


def test_of_scores_it_needs_both_sides_of_zero():
    def scores(of):
        return [
            Utterance(f"{name}{n}", score=score, speaker=name)
            for name, own in of.items()
            for n, score in enumerate(own)
        ]

    require_balanced_speakers("speaker", scores({"x": (-1.0, 2.0), "y": (1.0, -3.0)}))
    with pytest.raises(UserError, match="single class"):
        require_balanced_speakers("speaker", scores({"x": (1.0, 2.0), "y": (-1.0, -3.0)}))
