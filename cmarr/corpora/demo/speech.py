"""A voice: from a transcript to time tracks that voice and face both follow, and to the sound of a synthesiser.

Words are spelled out phone by phone with a small table of graphemes, so what is heard and what is seen
on the lips is the transcript. It is pseudo-speech: close enough to English to hear the rhythm and vowels.

Source: a band-limited pulse train at the pitch, and noise. Filter: seven formants, the tilt of the source
and the friction of consonants, applied frame by frame to the short-time spectrum.
"""

import re
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import signal
from scipy.ndimage import gaussian_filter1d

FRAME_RATE = 200
"""Frames of the tracks per second."""


class Phone(NamedTuple):
    """One speech sound, for an average male vocal tract."""

    seconds: float
    formants: tuple[int, int, int]  # Hz
    voice: float  # amplitude of voicing, 0 to 1
    noise: float  # amplitude of friction, 0 to 1
    friction: int  # Hz, centre of the friction noise
    opening: float  # of the jaw, 0 (lips closed) to 1
    spread: float  # of the lips, -1 (rounded) to 1


VOWELS = {
    "i": Phone(0.095, (290, 2250, 2900), 1.0, 0, 0, 0.25, 1.0),
    "ih": Phone(0.070, (400, 1950, 2550), 0.9, 0, 0, 0.30, 0.7),
    "e": Phone(0.080, (550, 1800, 2500), 1.0, 0, 0, 0.55, 0.5),
    "ae": Phone(0.095, (690, 1650, 2450), 1.0, 0, 0, 0.85, 0.3),
    "a": Phone(0.115, (740, 1120, 2450), 1.0, 0, 0, 1.00, 0.0),
    "uh": Phone(0.070, (610, 1200, 2400), 0.9, 0, 0, 0.55, 0.0),
    "o": Phone(0.110, (470, 850, 2400), 1.0, 0, 0, 0.60, -0.8),
    "u": Phone(0.105, (310, 850, 2250), 0.9, 0, 0, 0.30, -1.0),
    "er": Phone(0.080, (490, 1350, 1750), 0.8, 0, 0, 0.40, -0.2),
}
CONSONANTS = {
    "p": Phone(0.070, (300, 900, 2200), 0.0, 0.25, 1200, 0.0, 0.0),
    "b": Phone(0.060, (250, 900, 2200), 0.25, 0.08, 900, 0.0, 0.0),
    "m": Phone(0.065, (260, 1000, 2200), 0.45, 0, 0, 0.0, 0.0),
    "w": Phone(0.055, (320, 700, 2200), 0.5, 0, 0, 0.15, -1.0),
    "f": Phone(0.080, (320, 1200, 2300), 0.0, 0.30, 5500, 0.08, 0.1),
    "v": Phone(0.055, (300, 1200, 2300), 0.4, 0.12, 5000, 0.08, 0.1),
    "th": Phone(0.055, (320, 1400, 2500), 0.3, 0.15, 5000, 0.20, 0.2),
    "t": Phone(0.065, (320, 1750, 2600), 0.0, 0.45, 4200, 0.15, 0.2),
    "d": Phone(0.055, (280, 1750, 2600), 0.25, 0.15, 3600, 0.15, 0.2),
    "n": Phone(0.060, (270, 1600, 2500), 0.45, 0, 0, 0.18, 0.2),
    "s": Phone(0.090, (320, 1700, 2600), 0.0, 0.75, 6000, 0.12, 0.5),
    "z": Phone(0.070, (300, 1700, 2600), 0.35, 0.40, 6000, 0.12, 0.5),
    "l": Phone(0.055, (380, 1150, 2700), 0.6, 0, 0, 0.28, 0.2),
    "r": Phone(0.055, (370, 1250, 1650), 0.6, 0, 0, 0.25, -0.4),
    "sh": Phone(0.090, (320, 1800, 2500), 0.0, 0.70, 3200, 0.15, -0.5),
    "ch": Phone(0.085, (320, 1800, 2500), 0.0, 0.60, 3400, 0.12, -0.4),
    "k": Phone(0.070, (320, 2000, 2400), 0.0, 0.35, 2200, 0.22, 0.1),
    "g": Phone(0.060, (280, 2000, 2400), 0.25, 0.12, 2000, 0.22, 0.1),
    "h": Phone(0.050, (500, 1500, 2500), 0.1, 0.20, 1800, 0.35, 0.1),
    "y": Phone(0.050, (290, 2150, 2800), 0.6, 0, 0, 0.22, 0.8),
}
PHONES = VOWELS | CONSONANTS
REST = Phone(0.0, (500, 1500, 2500), 0.0, 0.0, 3000, 0.03, 0.0)

GRAPHEMES: dict[str, tuple[str, ...]] = {
    "eigh": ("e", "ih"), "ough": ("o",), "igh": ("a", "ih"), "tch": ("ch",),
    "ee": ("i",), "ea": ("i",), "ie": ("i",), "oo": ("u",), "ue": ("u",), "ew": ("y", "u"), "ou": ("u",),
    "ow": ("o",), "oa": ("o",), "ai": ("e", "ih"), "ay": ("e", "ih"), "ey": ("e", "ih"), "oy": ("o", "ih"),
    "au": ("o",), "aw": ("o",), "ar": ("a", "a"), "or": ("o", "r"), "er": ("er",), "ur": ("er",),
    "ir": ("er",), "al": ("o", "l"), "sh": ("sh",), "ch": ("ch",), "th": ("th",), "ph": ("f",),
    "wh": ("w",), "ck": ("k",), "ng": ("n", "g"), "qu": ("k", "w"), "kn": ("n",), "dg": ("ch",),
    "a": ("ae",), "e": ("e",), "i": ("ih",), "o": ("o",), "u": ("uh",), "y": ("i",), "b": ("b",),
    "c": ("k",), "d": ("d",), "f": ("f",), "g": ("g",), "h": ("h",), "j": ("ch",), "k": ("k",), "l": ("l",),
    "m": ("m",), "n": ("n",), "p": ("p",), "r": ("r",), "s": ("s",), "t": ("t",), "v": ("v",), "w": ("w",),
    "x": ("k", "s"), "z": ("z",),
}  # fmt: skip


def spell(word: str) -> list[str]:
    """Names of the phones of one word, by the longest matching graphemes; other characters are silent."""
    letters = re.sub(r"[^a-z]", "", word.lower())
    if re.search(r"[aeiouy].*[^aeiou]e$", letters):
        letters = letters[:-1]  # the silent e of "home"
    letters = re.sub(r"([^aeio])\1", r"\1", letters)
    if re.fullmatch(r"[^aeiouy]*y", letters):
        letters = letters[:-1] + "igh"  # "my", "by"
    elif letters.startswith("y"):
        return ["y", *spell(letters[1:])]
    phones: list[str] = []
    at = 0
    while at < len(letters):
        size = next(n for n in (4, 3, 2, 1) if letters[at : at + n] in GRAPHEMES)
        phones += GRAPHEMES[letters[at : at + size]]
        at += size
    return phones


@dataclass(frozen=True)
class Tracks:
    """Articulation over time, each array (T,) at `FRAME_RATE`, formants (T, 3) in Hz."""

    voice: np.ndarray
    noise: np.ndarray
    friction: np.ndarray
    formants: np.ndarray
    opening: np.ndarray
    spread: np.ndarray
    accent: np.ndarray  # 0 to 1, high on stressed vowels

    @property
    def seconds(self) -> float:
        """Length of the utterance."""
        return len(self.voice) / FRAME_RATE


def articulate(text: str, tempo: float, pause: float) -> Tracks:
    """Tracks of a sentence.

    `tempo` scales the speed of the phones (1 is about five syllables a second); `pause` is the length of
    the silence at a comma, in seconds. A tenth of a second of silence stands at both ends.
    """
    phones: list[tuple[Phone, float, float]] = [(REST, 0.1, 0.0)]
    for word in text.split():
        names = spell(word)
        stressed = next((i for i, name in enumerate(names) if name in VOWELS), -1)
        for i, name in enumerate(names):
            accent = float(i == stressed and len(names) > 3)
            phones.append((PHONES[name], PHONES[name].seconds * (1 + 0.3 * accent) / tempo, accent))
        phones.append((REST, pause if word.endswith((",", ".", "!", "?")) else 0.02 / tempo, 0.0))
    phones.append((REST, 0.1, 0.0))
    ends = np.round(np.cumsum([seconds for _, seconds, _ in phones]) * FRAME_RATE).astype(int)
    counts = np.diff(ends, prepend=0)

    def track(values: list[float], smoothing: float) -> np.ndarray:
        steps = np.repeat(np.array(values, float), counts)
        return np.asarray(gaussian_filter1d(steps, smoothing * FRAME_RATE, mode="nearest"))

    return Tracks(
        voice=track([p.voice for p, _, _ in phones], 0.010),
        noise=track([p.noise for p, _, _ in phones], 0.007),
        friction=track([p.friction or 3000 for p, _, _ in phones], 0.010),
        formants=np.stack([track([p.formants[i] for p, _, _ in phones], 0.018) for i in range(3)], axis=1),
        opening=track([p.opening for p, _, _ in phones], 0.030),
        spread=track([p.spread for p, _, _ in phones], 0.080),
        accent=track([a for _, _, a in phones], 0.040),
    )


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
        return np.asarray(np.interp(at, frames, track))

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
    return np.asarray(0.98 * np.tanh(wave / 0.98))  # a shout saturates softly instead of clipping


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
    return np.asarray(voice.pitch * 2 ** (semitones / 12))


def _pulse_train(f0: np.ndarray) -> np.ndarray:
    """Unit-power sum of all harmonics below the Nyquist frequency of a varying pitch (N,) in Hz."""
    phase = np.pi * np.cumsum(f0) / SAMPLE_RATE
    harmonics = int(0.47 * SAMPLE_RATE / f0.max())
    below = np.sin(phase)
    near = np.abs(below) < 1e-6
    ratio = np.sin((2 * harmonics + 1) * phase) / np.where(near, 1.0, below)
    total = np.where(near, 2 * harmonics + 1, ratio) - 1
    return np.asarray(total / np.sqrt(2 * harmonics))


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
    return np.asarray(np.clip(gain, 0, 30) * (lift * 10 ** ((tilt + chest) / 20))[:, None])
