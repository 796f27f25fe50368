"""Noise at the asked ratio, frames that show less by the measure; from the seed; nothing at the harmless level."""

import pickle
from math import inf

import numpy as np
import pytest
import soundfile

from cmarr.damage.corruptions import (
    READ_NOISE,
    TALKERS,
    Babble,
    Blur,
    Dark,
    Occlusion,
    WhiteNoise,
    choose_talkers,
)
from cmarr.errors import Unreadable
from cmarr.media.audio import read_audio
from cmarr.media.clips import Clip

RATE = 16_000


@pytest.fixture
def speech() -> np.ndarray:
    time = np.arange(2 * RATE) / RATE
    return (0.1 * np.sin(2 * np.pi * 220 * time) * (time % 0.5 > 0.2)).astype(np.float32)


@pytest.fixture
def voices(tmp_path) -> tuple[Clip, ...]:
    """Three recordings of other lengths than the speech, one of them much louder."""
    clips = []
    for i, (hertz, loudness) in enumerate([(150, 0.02), (300, 0.9), (450, 0.1)]):
        time = np.arange(RATE * (i + 1)) / RATE
        soundfile.write(tmp_path / f"{i}.wav", loudness * np.sin(2 * np.pi * hertz * time), RATE)
        clips.append(Clip(str(tmp_path / f"{i}.wav")))
    return tuple(clips)


def ratio(speech, noisy) -> float:
    """Signal-to-noise ratio in dB."""
    noise = noisy.astype(np.float64) - speech
    return 10 * np.log10(np.sum(speech.astype(np.float64) ** 2) / np.sum(noise**2))


@pytest.mark.parametrize("snr", [20.0, 10.0, 5.0, 0.0, -5.0])
def test_the_ratio_of_speech_to_noise_is_the_one_asked_for(speech, voices, snr):
    assert ratio(speech, WhiteNoise(snr, 0, "u1")(speech, 0.0)) == pytest.approx(snr, abs=0.01)
    babble = Babble(snr, 0, "u1", ("a", "b", "c"), voices)
    assert ratio(speech, babble(speech, 0.0)) == pytest.approx(snr, abs=0.01)


def test_noise_comes_from_seed_and_utterance_and_levels_share_it(speech):
    def noise(snr, seed, id):
        return (WhiteNoise(snr, seed, id)(speech, 0.0) - speech) * 10 ** (snr / 20)

    assert np.array_equal(noise(5.0, 0, "u1"), noise(5.0, 0, "u1"))
    assert np.allclose(noise(5.0, 0, "u1"), noise(-5.0, 0, "u1"), atol=1e-5)
    for other in (noise(5.0, 1, "u1"), noise(5.0, 0, "u2")):
        assert abs(np.corrcoef(noise(5.0, 0, "u1"), other)[0, 1]) < 0.05


def test_babble_is_every_talker_equally_loud(speech, voices):
    noise = Babble(0.0, 0, "u1", ("a", "b", "c"), voices)(speech, 0.0) - speech
    spectrum = np.abs(np.fft.rfft(noise))
    peaks = [spectrum[2 * hertz - 4 : 2 * hertz + 5].max() for hertz in (150, 300, 450)]  # half a hertz a bin
    assert max(peaks) < 1.6 * min(peaks)


def test_a_talker_that_cannot_be_read_is_left_out(speech, voices, tmp_path):
    gone = Clip(str(tmp_path / "gone.wav"))
    assert ratio(speech, Babble(5.0, 0, "u", ("a", "b"), (gone, voices[0]))(speech, 0.0)) == pytest.approx(
        5, abs=0.01
    )
    with pytest.raises(Unreadable, match="none of the utterances a, which make babble"):
        Babble(5.0, 0, "u", ("a",), (gone,))(speech, 0.0)


def test_talkers_are_other_people_whatever_the_order():
    heard = [(f"u{i}", f"speaker{i % 5}") for i in range(40)]
    chosen = choose_talkers("u0", "speaker0", heard, 0)
    assert len(set(chosen)) == TALKERS
    assert not [name for name in chosen if int(name[1:]) % 5 == 0]
    assert chosen == choose_talkers("u0", "speaker0", heard[::-1], 0)
    assert chosen != choose_talkers("u0", "speaker0", heard, 1)
    assert choose_talkers("u0", "me", [("u0", "me"), ("u1", "me")], 0) == ["u1"]  # a corpus of one voice


@pytest.mark.parametrize(
    "damage", [Dark(3.0, 0, "u"), Blur(5.0), Occlusion(0.4, 0, "u"), WhiteNoise(0.0, 0, "u")]
)
def test_a_damage_says_what_it_is_and_travels_to_a_worker(damage):
    again = pickle.loads(pickle.dumps(damage))
    assert again == damage and str(again) == str(damage)
    assert type(damage).__name__ in str(damage)


def test_the_harmless_level_changes_nothing(speech, voices):
    frame = np.random.default_rng(0).integers(0, 256, (120, 160), dtype=np.uint8)
    assert np.array_equal(WhiteNoise(inf, 0, "u")(speech, 0.0), speech)
    assert np.array_equal(Babble(inf, 0, "u", ("a", "b", "c"), voices)(speech, 0.0), speech)
    for damage in (Dark(0.0, 0, "u"), Blur(0.0), Occlusion(0.0, 0, "u")):
        assert np.array_equal(damage(frame, 0.4), frame)


def test_each_stop_halves_the_light_and_the_read_noise_stays():
    frame = np.full((200, 200), 160, np.uint8)
    for stops in (1.0, 3.0, 5.0):
        darker = Dark(stops, 0, "u")(frame, 0.0)
        assert darker.mean() == pytest.approx(160 / 2**stops, abs=0.05)
        expected = np.sqrt(READ_NOISE**2 * (1 - 4**-stops) + 1 / 12)  # and the rounding
        assert darker.std() == pytest.approx(expected, rel=0.05)
    assert not np.array_equal(Dark(3.0, 0, "u")(frame, 0.0), Dark(3.0, 0, "u")(frame, 0.1))


def test_blur_is_a_share_of_the_frames_height_whatever_its_size():
    for side in (100, 400):
        edge = np.zeros((side, side), np.uint8)
        edge[:, side // 2 :] = 255
        profile = Blur(4.0)(edge, 0.0)[0].astype(int)
        rise = np.sum((profile > 0.16 * 255) & (profile < 0.84 * 255))  # two deviations of a Gaussian
        assert rise == pytest.approx(2 * 0.04 * side, abs=2)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_the_rectangle_covers_its_share_in_one_place_throughout(share):
    frame = np.full((120, 160), 90, np.uint8)
    places = set()
    for id in map(str, range(8)):
        covered = Occlusion(share, 0, id)(frame, 0.0)
        assert np.mean(covered == 0) == pytest.approx(share, abs=0.015)
        assert np.array_equal(covered, Occlusion(share, 0, id)(frame, 3.2))
        places.add(tuple(np.argwhere(covered == 0)[0]))
    assert len(places) > 4


def test_the_reader_applies_it_after_everything_else(tmp_path, speech):
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.stack([speech, speech], 1)[::2], RATE // 2, subtype="FLOAT")
    clean = read_audio(Clip(str(path)))
    noisy = read_audio(Clip(str(path), damage=WhiteNoise(10.0, 0, "u")))
    assert np.array_equal(noisy, WhiteNoise(10.0, 0, "u")(clean, 0.0))
