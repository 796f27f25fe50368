"""eGeMAPS by openSMILE: one row an utterance, or descriptors in time."""

import numpy as np
import pytest
import soundfile
from recordings import tone

from cmarr.encoders import egemaps
from cmarr.encoders.registry import build_encoder
from cmarr.errors import UserError
from cmarr.media.clips import Clip, Failure
from cmarr.media.egemaps import EgemapsRows

opensmile = pytest.importorskip("opensmile", reason="needs the extra `opensmile`")


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A voice-like tone of a second between two of silence, and a click of 60 ms."""
    root, pitch = tmp_path_factory.mktemp("voices"), 220.0
    voice = sum(tone(pitch * k, 1.0) / k for k in range(1, 9)) * 0.2
    silence = 1e-4 * np.random.default_rng(0).normal(size=16000)
    soundfile.write(root / "voice.wav", np.concatenate([silence, voice, silence]), 16000)
    soundfile.write(root / "click.wav", voice[:960], 16000)
    return [Clip(str(root / f"{name}.wav")) for name in ("voice", "click")]


def encoded(clips, level="functionals", pool=5, trim=25.0):
    """As a worker process does it: (frames, times), or a Failure."""
    return EgemapsRows(level, pool, trim)(clips)


def test_functionals_are_those_of_opensmile_on_what_is_spoken(clips):
    (voice, times), click = encoded(clips)
    assert voice.shape == (1, 88)
    assert times.tolist() == pytest.approx([1.5], abs=0.02)
    assert isinstance(click, Failure)
    assert "and eGeMAPS needs 100" in click.reason
    samples, _ = soundfile.read(clips[0].path, dtype="float32")
    smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals)
    whole = smile.process_signal(samples, 16000).to_numpy()
    assert encoded(clips, trim=0.0)[0][0] == pytest.approx(whole, rel=1e-5)
    assert voice != pytest.approx(whole, rel=1e-5)
    pitch = voice[0, smile.feature_names.index("F0semitoneFrom27.5Hz_sma3nz_amean")]
    assert 27.5 * 2 ** (pitch / 12) == pytest.approx(220, rel=0.03)


def test_descriptors_keep_their_time(clips):
    [(fine, times)], [(coarse, later)] = (encoded(clips[:1], "lld", pool) for pool in (1, 5))
    assert fine.shape[1] == 25
    assert np.diff(times)[:-1] == pytest.approx(0.01, abs=1e-3)
    assert 0.95 <= times[0] < times[-1] <= 2.05  # of the whole clip
    assert len(coarse) == len(later) == -(-len(fine) // 5)
    assert coarse[0] == pytest.approx(fine[:5].mean(0), rel=1e-4)
    assert later[-1] == pytest.approx(times[5 * (len(later) - 1) :].mean())


def test_without_the_package_a_sentence_says_what_to_do(monkeypatch):
    monkeypatch.setattr(egemaps, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs the package opensmile, .*pip install"):
        build_encoder("egemaps")
