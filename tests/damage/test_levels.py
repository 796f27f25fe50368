"""Every level through the ordinary extraction: test utterances only, the same bytes however it is done."""

import json
from math import inf

import numpy as np
import pytest
import soundfile
from recordings import face, tone, write_video

from cmarr.corpora.manifest import read_manifest, write_manifest
from cmarr.damage.corruptions import damaged
from cmarr.damage.kinds import KINDS
from cmarr.damage.levels import extract_levels
from cmarr.damage.tables import level_folder, read_levels
from cmarr.encoders.hashing import Hashing
from cmarr.encoders.logmel import LogMel
from cmarr.features.shards import read_features, read_metadata, shard_path
from cmarr.folds.files import Fold
from cmarr.media.audio import read_audio
from cmarr.media.clips import Failure, clip_of
from cmarr.media.faces import SIZE, FaceReader
from cmarr.utterance import FeatureSequence, Rejected, Utterance

TRAIN, TEST = ["u0", "u1", "u2"], ["u3", "u4"]
FOLDS = [Fold(1, TRAIN, [], TEST)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> list[Utterance]:
    """Five utterances of three people, the last one without video."""
    folder = tmp_path_factory.mktemp("clips")
    utterances = []
    for i in range(5):
        soundfile.write(folder / f"{i}.wav", tone(200 + 50 * i, 0.4), 16_000)
        write_video(folder / f"{i}.mp4", [face(x=60 + i)] * 6)
        utterances.append(
            Utterance(
                f"u{i}",
                text=f"the train number {i} is late",
                audio=str(folder / f"{i}.wav"),
                video=str(folder / f"{i}.mp4") if i < 4 else None,
                speaker=f"s{i % 3}",
            )
        )
    return utterances


def bytes_below(folder) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


class Loudness:
    """Speech as the level of each 50 ms, read in this process; remembers what it was asked for."""

    modality, dim = "s", 1

    def __init__(self):
        self.asked = []

    def describe(self):
        return {"encoder": "loudness"}

    def encode(self, utterances):
        for utterance in utterances:
            self.asked.append(utterance.id)
            samples = read_audio(clip_of(utterance, "s"))
            frames = np.abs(samples[: len(samples) // 800 * 800]).reshape(-1, 800).mean(1, keepdims=True)
            yield FeatureSequence(utterance.id, frames.astype(np.float32), np.arange(len(frames)) / 20)


class Patches:
    """Video as the pixels of the face, looked for in this process."""

    modality, dim = "v", SIZE * SIZE

    def describe(self):
        return {"encoder": "patches"}

    def encode(self, utterances):
        reader = FaceReader()
        for utterance in utterances:
            (seen,) = reader([clip_of(utterance, "v")])
            if isinstance(seen, Failure):
                yield Rejected(utterance.id, "v", "extract", seen.reason)
            else:
                frames = seen.patches.reshape(len(seen.patches), -1).astype(np.float32)
                yield FeatureSequence(utterance.id, frames, seen.times)


def test_no_training_utterance_is_ever_damaged_or_read(corpus, tmp_path):
    encoder = Loudness()
    extract_levels(corpus, FOLDS, "noise", [5.0], encoder, tmp_path, seed=0)
    assert encoder.asked == TEST
    assert read_features(level_folder(tmp_path, 5.0)).ids == TEST
    assert all(u.damage is None for u in corpus)


def test_the_same_bytes_whatever_the_order_the_company_and_the_workers(corpus, tmp_path):
    for workers in (1, 2):  # processes that decode, damage and compute
        encoder = LogMel(LogMel.Settings(bands=4), workers=workers)
        extract_levels(corpus, FOLDS, "noise", [10.0], encoder, tmp_path / f"{workers}", seed=0)
    assert bytes_below(tmp_path / "1") == bytes_below(tmp_path / "2")

    for name, utterances in (("all", corpus), ("back", corpus[::-1]), ("alone", [corpus[i] for i in (3, 4)])):
        extract_levels(utterances, FOLDS, "noise", [10.0, 0.0], Loudness(), tmp_path / name, seed=0)
    assert bytes_below(tmp_path / "all") == bytes_below(tmp_path / "alone")
    forward, backward = (read_features(tmp_path / name / "10") for name in ("all", "back"))
    assert forward.ids == backward.ids[::-1] == TEST
    assert np.array_equal(forward.values[: forward.offsets[1]], backward.values[backward.offsets[1] :])


@pytest.mark.parametrize(
    ("kind", "level"),
    [("noise", 5.0), ("word_errors", 0.9), ("dark", 1.0), ("blur", 2.0), ("occlusion", 0.1)],
)
def test_the_harmless_level_gives_the_clean_features_and_another_one_does_not(corpus, kind, level):
    encoder = {"s": Loudness(), "v": Patches(), "t": Hashing(Hashing.Settings(dim=16))}[KINDS[kind].modality]
    harmless, harmful = (
        damaged(corpus[3], kind, x, seed=0, words=("again",)) for x in (KINDS[kind].harmless, level)
    )
    unchanged, changed, clean = (next(iter(encoder.encode([u]))) for u in (harmless, harmful, corpus[3]))
    assert np.array_equal(unchanged.frames, clean.frames)
    assert isinstance(changed, Rejected) or not np.array_equal(changed.frames, clean.frames)


def test_a_kind_changes_its_modality_alone_and_an_absent_one_stays_absent(corpus):
    for kind, of in KINDS.items():
        hurt = damaged(corpus[4], kind, of.ordered([0.5, 0.3])[-1], seed=0, words=("again",))
        changed = hurt.text != corpus[4].text, hurt.damage is not None
        assert changed == {"s": (False, True), "t": (True, False), "v": (False, False)}[of.modality]


def test_word_errors_are_counted_and_take_their_words_from_training(corpus, tmp_path):
    extract_levels(
        corpus, FOLDS, "word_errors", [0.2, 0.5], Hashing(Hashing.Settings(dim=16)), tmp_path, seed=1
    )
    told = read_levels(tmp_path)["levels"]
    assert [row["level"] for row in told] == [0.2, 0.5]
    assert 0 < told[0]["realised"] <= told[1]["realised"] <= 0.6
    words = " ".join(
        damaged(u, "word_errors", 0.5, seed=1, words=("again",)).text for u in corpus[3:]
    ).split()
    assert set(words) <= {"the", "train", "number", "3", "4", "is", "late", "again"} and "again" in words


def test_a_face_that_is_covered_makes_the_video_unavailable(corpus, tmp_path):
    extract_levels(corpus, FOLDS, "occlusion", [0.9], Patches(), tmp_path, seed=0, max_rejected=0.0)
    (told,) = read_levels(tmp_path)["levels"]
    assert (told["utterances"], told["encoded"]) == (1, 0)
    assert read_features(level_folder(tmp_path, 0.9)) is None


def test_a_shard_says_what_was_done_and_another_seed_is_made_anew(corpus, tmp_path):
    def run(seed, sound="white"):
        (summary,) = extract_levels(
            corpus, FOLDS, "noise", [-5.0], Loudness(), tmp_path, seed=seed, sound=sound
        )
        return summary.reused

    assert [run(0), run(0), run(1), run(1, "babble"), run(1, "babble")] == [0, 1, 0, 0, 1]
    metadata = read_metadata(shard_path(tmp_path / "-5", 0))
    assert metadata["damage"] == "noise -5 dB SNR, seed 1" and metadata["encoder"] == "loudness"
    assert json.loads((tmp_path / "levels.json").read_text())["sound"] == "babble"


def test_a_manifest_never_holds_damage(corpus, tmp_path):
    hurt = [damaged(u, "noise", 5.0, seed=0) for u in corpus]
    write_manifest(tmp_path / "hurt.parquet", hurt)
    write_manifest(tmp_path / "clean.parquet", corpus)
    assert (tmp_path / "hurt.parquet").read_bytes() == (tmp_path / "clean.parquet").read_bytes()
    assert read_manifest(tmp_path / "hurt.parquet") == corpus


def test_levels_are_ordered_from_mild_to_worse():
    assert KINDS["noise"].ordered([0.0, inf, -5.0, 20.0]) == [inf, 20.0, 0.0, -5.0]
    assert KINDS["blur"].ordered([4.0, 0.0, 8.0]) == [0.0, 4.0, 8.0]
