"""A voice: a source-filter synthesiser driven by the articulation tracks.

Source: a band-limited pulse train at the pitch, and noise. Filter: seven formants, the tilt of the source
and the friction of consonants, applied frame by frame to the short-time spectrum.
"""

from dataclasses import dataclass

import numpy as np
from scipy import signal

from cmarr.corpora.demo.articulation import FRAME_RATE, Tracks

SAMPLE_RATE = 16_000
"""Hz."""


@dataclass(frozen=True)
class Voice:
    """How one utterance is voiced."""

    pitch: float  # Hz, at the middle of the utterance
    pitch_range: float  # semitones between a stressed syllable and the baseline
    final: float  # semitones by which the last third of a second rises (a question) or falls
    tract: float  # factor on the formants; shorter tract, higher formants
    level: float  # dB relative to the level of an ordinary voice
    tilt: float  # dB an octave above 500 Hz, negative
    breath: float  # dB of aspiration relative to voicing
    chest: float  # dB of gain below 400 Hz
    room: float  # dB of the noise of room and microphone


def synthesise(tracks: Tracks, voice: Voice, rng: np.random.Generator) -> np.ndarray:
    """Samples (N,) in [-1, 1] at `SAMPLE_RATE`, as long as the tracks."""
    n = round(tracks.seconds * SAMPLE_RATE)
    at = np.arange(n) / SAMPLE_RATE * FRAME_RATE
    frames = np.arange(len(tracks.voice))
    window, hop = 512, 128

    def samples(track: np.ndarray) -> np.ndarray:
        return np.interp(at, frames, track)

    f0 = samples(_pitch(tracks, voice, rng))
    pulses = _pulse_train(f0)
    breath = rng.standard_normal(n)
    voiced = samples(tracks.voice) * (pulses + 10 ** (voice.breath / 20) * breath)
    rubbed = samples(tracks.noise) * rng.standard_normal(n)
    hz, times, spectrum = signal.stft(voiced, SAMPLE_RATE, nperseg=window, noverlap=window - hop)
    *_, friction = signal.stft(rubbed, SAMPLE_RATE, nperseg=window, noverlap=window - hop)
    centre = np.interp(times * FRAME_RATE, frames, tracks.friction)  # (T,)
    formants = np.stack(
        [np.interp(times * FRAME_RATE, frames, tracks.formants[:, i]) for i in range(3)], axis=1
    )
    spectrum = spectrum * _envelope(hz, formants * voice.tract, voice)
    bump = np.exp(-0.5 * (np.log2((hz[:, None] + 50) / centre[None]) / 0.45) ** 2)  # (F, T)
    loud = 10 ** ((voice.tilt + 10) / 20)
    _, wave = signal.istft(
        spectrum + 0.35 * loud * friction * bump, SAMPLE_RATE, nperseg=window, noverlap=window - hop
    )
    wave = 0.035 * 10 ** (voice.level / 20) * wave[:n]
    wave = wave + 10 ** (voice.room / 20) * rng.standard_normal(n)
    return 0.98 * np.tanh(wave / 0.98)  # a shout saturates softly instead of clipping


def _pitch(tracks: Tracks, voice: Voice, rng: np.random.Generator) -> np.ndarray:
    """Pitch in Hz at every frame: declination, accents, a final rise or fall, a slow wander."""
    n = len(tracks.voice)
    place = np.linspace(0, 1, n)
    left = (n - np.arange(n)) / FRAME_RATE  # seconds
    wander = signal.lfilter([0.05], [1, -0.95], rng.standard_normal(n))
    semitones = (
        2.0 * (0.5 - place)
        + voice.pitch_range * tracks.accent
        + voice.final * np.clip(1 - left / 0.45, 0, 1)
        + 0.8 * wander
    )
    return voice.pitch * 2 ** (semitones / 12)


def _pulse_train(f0: np.ndarray) -> np.ndarray:
    """Unit-power sum of all harmonics below the Nyquist frequency of a varying pitch (N,) in Hz."""
    phase = np.pi * np.cumsum(f0) / SAMPLE_RATE
    harmonics = int(0.47 * SAMPLE_RATE / f0.max())
    below = np.sin(phase)
    near = np.abs(below) < 1e-6
    ratio = np.sin((2 * harmonics + 1) * phase) / np.where(near, 1.0, below)
    total = np.where(near, 2 * harmonics + 1, ratio) - 1
    return total / np.sqrt(2 * harmonics)


def _envelope(hz: np.ndarray, formants: np.ndarray, voice: Voice) -> np.ndarray:
    """Gain (F, T) of vocal tract, source tilt and chest resonance for formants (T, 3) in Hz."""
    gain = np.ones((len(hz), len(formants)))
    higher = [np.full(len(formants), f * voice.tract) for f in (3500.0, 4500.0, 5600.0, 6700.0)]
    for centre, width in zip([*formants.T, *higher], (80, 100, 140, 220, 280, 350, 420), strict=True):
        square = (hz[:, None] / centre[None]) ** 2
        gain = gain / np.sqrt((1 - square) ** 2 + square * (width / centre[None]) ** 2)
    # The product of the resonances falls by itself; lips radiate it back up.
    lift = (hz + 100) / 600
    tilt = voice.tilt * np.log2(np.maximum(hz, 500) / 500)
    chest = voice.chest / (1 + (hz / 400) ** 4)
    return np.clip(gain, 0, 30) * (lift * 10 ** ((tilt + chest) / 20))[:, None]
