"""What the people of the demo corpus say, and how voice and face follow it."""

from collections import Counter
from dataclasses import replace

import cv2
import numpy as np
import pytest

from cmarr.corpora.demo import content, face, generate
from cmarr.corpora.demo.content import EMOTIONS, plan
from cmarr.corpora.demo.speech import SAMPLE_RATE, articulate, spell, synthesise
from cmarr.media.detectors import Haar


@pytest.fixture(scope="module")
def takes():
    return plan(seed=0, sessions=5, utterances=240)


@pytest.fixture(scope="module")
def take(takes):
    return takes[0]


def rng():
    return np.random.default_rng(0)


def level(take):
    """Power of the voiced take in dB."""
    wave = synthesise(generate.tracks(take), generate.voice(take), rng())
    return 10 * np.log10(np.mean(wave**2))


def test_ten_speakers_share_the_utterances_and_the_emotions(takes):
    speakers = Counter(t.speaker.id for t in takes)
    assert len(takes) == 240 and set(speakers.values()) == {24} and len(speakers) == 10
    assert Counter((t.speaker.session, t.speaker.sex) for t in takes) == {
        (f"{s:02d}", sex): 24 for s in range(1, 6) for sex in "fm"
    }
    assert Counter(t.emotion for t in takes) == {"angry": 50, "happy": 70, "neutral": 70, "sad": 50}


@pytest.mark.parametrize("utterances", [16, 40, 43, 240])
def test_a_twentieth_of_each_modality_is_absent_and_never_all_three(utterances):
    takes = plan(seed=1, sessions=2, utterances=utterances)
    lacking = Counter(letter for t in takes for letter in t.absent)
    assert set(lacking.values()) == {round(0.05 * utterances)} and set(lacking) == {"s", "v", "t"}
    assert max(len(t.absent) for t in takes) < 3
    assert {t.emotion for t in takes} == set(EMOTIONS)


def test_ids_are_unique_and_a_seed_gives_the_same_plan(takes):
    assert len({t.id for t in takes}) == 240
    assert plan(seed=0, sessions=5, utterances=240) == takes
    assert plan(seed=1, sessions=5, utterances=240) != takes


def test_the_blur_of_each_modality_is_centred_on_the_emotion(takes):
    for letter, (arousal, valence) in content.BLUR.items():
        off = np.array([np.subtract(t.affect[letter], content.AFFECT[t.emotion]) for t in takes])
        np.testing.assert_allclose(off.mean(axis=0), 0, atol=0.3)
        np.testing.assert_allclose(off.std(axis=0), [arousal, valence], rtol=0.15)


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("boat,", ["b", "o", "t"]),
        ("home", ["h", "o", "m"]),
        ("see", ["s", "i"]),
        ("They!", ["th", "e", "ih"]),
        ("you", ["y", "u"]),
        ("my", ["m", "a", "ih"]),
        ("passed", ["p", "ae", "s", "e", "d"]),
        ("...", []),
    ],
)
def test_words_are_spelled_out(word, phones):
    assert spell(word) == phones


def test_lips_round_for_blue_and_spread_for_tea_and_shut_for_m():
    assert articulate("blue", 1, 0.1).spread.min() < -0.4
    assert articulate("tea", 1, 0.1).spread.max() > 0.4
    opening = articulate("mama", 1, 0.1).opening
    vowels = [i for i in range(1, len(opening) - 1) if opening[i - 1] < opening[i] >= opening[i + 1]]
    assert len(vowels) == 2, "the jaw opens once a syllable"


def test_haste_shortens_the_utterance_and_leisure_lengthens_its_pauses(take):
    hasty, leisurely = (generate.tracks(replace(take, pace=p)).seconds for p in (1.5, -1.5))
    assert hasty < 0.7 * leisurely


def test_arousal_is_loud_and_high(take):
    calm, stirred = (replace(take, affect=take.affect | {"s": (arousal, 0.0)}) for arousal in (-1.0, 1.0))
    assert level(stirred) > level(calm) + 4
    assert generate.voice(stirred).pitch > generate.voice(calm).pitch


def test_the_voice_has_its_pitch_and_does_not_clip(take):
    tracks = generate.tracks(take)
    voice = replace(generate.voice(take), pitch=150.0, pitch_range=0.0, final=0.0, level=10.0, breath=-60.0)
    wave = synthesise(tracks, voice, rng())
    assert len(wave) == round(tracks.seconds * SAMPLE_RATE)
    assert np.abs(wave).max() < 0.99
    middle = wave[len(wave) // 3 :][:4096]
    repeats = np.correlate(middle, middle, "full")[4096:]
    period = 60 + int(np.argmax(repeats[60:200]))
    assert SAMPLE_RATE / (period + 1) == pytest.approx(150, rel=0.15)


def test_a_smile_lifts_the_corners_of_the_mouth_and_nothing_else_changes():
    calm = face.Expression(0.2, 0, 0, 0, 1, 0, 0, 0, (0, 0))
    portrait = face.Portrait(face.looks((0, 2, 3), "f", (150, 150, 150)))
    changed = np.argwhere((portrait.frame(calm) != portrait.frame(replace(calm, smile=0.8))).any(axis=2))
    assert len(changed) > 50
    assert changed[:, 0].min() > face.SIZE * 0.6, "only below the nose"
    np.testing.assert_array_equal(portrait.frame(calm), portrait.frame(calm))


def test_a_face_is_found_from_the_front_and_not_from_behind():
    looks = face.looks((0, 2, 3), "m", (150, 150, 150))
    calm = face.Expression(0.2, 0, 0, 0, 1, 0, 0, 0, (0, 0))
    front, behind = (
        cv2.cvtColor(face.Portrait(looks, facing).frame(calm), cv2.COLOR_RGB2GRAY) for facing in (True, False)
    )
    assert len(Haar()(front, 40, face.SIZE)) == 1
    assert len(Haar()(behind, 24, face.SIZE)) == 0


def test_doubt_tilts_the_head_and_the_jaw_follows_the_words(take):
    tracks = generate.tracks(take)
    sure, doubtful = (generate.expressions(replace(take, doubt=d), tracks, rng()) for d in (-1.0, 1.0))
    assert len(sure) == int(tracks.seconds * 25)
    assert np.mean([e.roll for e in doubtful]) > np.mean([e.roll for e in sure]) + 4
    jaw = np.interp((np.arange(len(sure)) + 0.5) / 25, np.arange(len(tracks.opening)) / 200, tracks.opening)
    assert np.corrcoef(jaw, [e.opening for e in sure])[0, 1] > 0.95
