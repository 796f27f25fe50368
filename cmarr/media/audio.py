"""Audio files to mono samples: soundfile for WAV and FLAC, PyAV for everything else. How loud they were recorded."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
from scipy import signal

from cmarr.budgets import size_of
from cmarr.errors import Unreadable
from cmarr.extras import extra
from cmarr.media.clips import RATE, RATES, Clip, Failure, one_by_one, require_file, require_span
from cmarr.media.containers import decoded_frames, open_media, origin_of

with extra("media"):
    import av
    import soundfile

CROSSINGS = 6
"""Zero crossings of a resampling filter's sinc on either side."""

SILENCE = 1e-4
"""A clip whose samples stay this close to their mean (full scale = 1, so -80 dB) counts as silent."""

BLOCK = 1 << 20
"""Samples read at a time."""

WHOLE_NUMBERS = 128.0
"""Samples beyond this multiple of full scale are on the scale of whole numbers: no recorder goes 42 dB beyond it."""

LEAST, FOLD = 2**28, 1000
"""Bytes that any file may unpack to, and times its size beyond that; speech packed as hard as can be has a third."""

CANCELLED = 0.1
"""Where the mean of the channels has less than this share of the first one's level, they are each other's opposite."""


def read_audio(clip: Clip) -> np.ndarray:
    """Samples (N,) float32 of a clip: mono (mean of the channels, or the first where they cancel out), 16 kHz.

    Of several sound tracks the first is read that is not silent.

    Raises Unreadable, in one sentence naming the file, when it is missing, cannot be decoded, holds no
    sound between `start` and `end`, is silent throughout, or holds NaN or infinite samples.
    """
    samples, rate = read_samples(clip)
    if _silent(samples):
        raise Unreadable(
            f"{clip.path} is silent (no sample is further than {SILENCE:g} of full scale from the mean); "
            "check the recording, or leave its path empty"
        )
    samples = resample(samples, rate)
    return samples if clip.damage is None else clip.damage(samples, 0.0)


def read_samples(clip: Clip) -> tuple[np.ndarray, int]:
    """Samples (N,) float32 of a clip as recorded, mono, and their rate in Hz.

    Samples on the scale of whole numbers, as some programs write them as floats, are brought to full scale 1.

    Raises Unreadable as `read_audio` does, silence aside.
    """
    samples, rate, _ = _as_recorded(clip)
    scale = _scale(samples)
    return (samples if scale == 1 else samples / scale), rate


def _as_recorded(clip: Clip) -> tuple[np.ndarray, int, int]:
    """Samples, their rate, and the number of the sound track that they are of."""
    require_file(clip.path)
    require_span(clip)
    samples, rate, track = _decode(clip)
    if not RATES[0] <= rate <= RATES[1]:
        raise Unreadable(f"{clip.path} claims a sampling rate of {rate} Hz; its header is damaged")
    if not len(samples):
        where = f" between {clip.begin:g} s and {clip.stop:g} s" if clip.begin or clip.end else ""
        raise Unreadable(f"{clip.path} holds no sound{where}; check the recording, or leave its path empty")
    if not np.isfinite(samples).all():
        raise Unreadable(f"{clip.path} holds NaN or infinite samples; write it again from its source")
    return samples, rate, track


def _scale(samples: np.ndarray) -> np.float32:
    """What stands for full scale in samples (N,): 1, or that of whole numbers of 16, 24 or 32 bits."""
    peak = float(np.abs(samples).max(initial=0.0))
    fits = (2.0**bits for bits in (15, 23, 31) if peak <= 2.0**bits)
    return np.float32(1 if peak <= WHOLE_NUMBERS else next(fits, peak))


class Samples:
    """Clips -> samples (N,) float32 at 16 kHz, in a worker process."""

    def __call__(self, clips: Sequence[Clip]) -> list[np.ndarray | Failure]:
        """One result a clip."""
        return one_by_one(read_audio, clips)


def resample(samples: np.ndarray, rate: int) -> np.ndarray:
    """Samples (N,) at `rate` Hz to 16 kHz, band-limited: a sinc of 6 zero crossings a side in a Hann window.

    It passes what lies below 99 % of half the lower rate. ceil(N * 16000 / rate) samples come out.
    """
    if rate == RATE:
        return samples
    # The filter has as many phases as the reduced ratio's denominator. Rates that share no large
    # factor with 16 kHz are approximated (at most 1 ms drift in a minute) instead of filling the memory.
    down, up = Fraction(rate, RATE).limit_denominator(1000).as_integer_ratio()
    if down == up:
        return samples
    taps, delay = _sinc(down, up)
    count = -(-len(samples) * up // down)
    found = signal.upfirdn(taps, samples.astype(np.float32, copy=False), up, down)[delay : delay + count]
    return np.pad(found, (0, count - len(found)))


@cache
def _sinc(down: int, up: int) -> tuple[np.ndarray, int]:
    """The filter (K,) float32 on the grid that both rates share, and how many samples that come out it is late."""
    passed = 0.99 * min(down, up)
    reach = int(CROSSINGS * down * up / passed)
    delay = -(-reach // down)
    at = np.arange(-delay * down, reach + 1) * (passed / (down * up))  # (K,) in zero crossings
    window = np.cos(np.clip(at, -CROSSINGS, CROSSINGS) * np.pi / (2 * CROSSINGS)) ** 2
    return (np.sinc(at) * window * (passed / down)).astype(np.float32), delay


def _decode(clip: Clip) -> tuple[np.ndarray, int, int]:
    # By content, not by extension: files that lie about their format are common.
    with Path(clip.path).open("rb") as opened:
        head = opened.read(12)
    if head[:4] == b"fLaC" or (head[:4] == b"RIFF" and head[8:] == b"WAVE"):
        # FFmpeg reads some WAV codecs and damaged files that libsndfile refuses, or takes for empty: one whose recorder
        # was killed before it wrote the length.
        with contextlib.suppress(soundfile.LibsndfileError):
            if (found := _with_soundfile(clip)) is not None:
                return *found, 0
    try:
        return _with_ffmpeg(clip)
    except av.error.FFmpegError as error:
        raise Unreadable(
            f"{clip.path} cannot be read as audio ({error.strerror}); "
            "convert it to WAV or FLAC, or leave its path empty"
        ) from error


class _Mono:
    """Channels to one, block by block: their mean, or the first of them where they cancel out."""

    def __init__(self, path: str) -> None:
        self.path, self.size, self.unpacked = path, size_of(path), 0
        self.means, self.firsts = [np.zeros(0, np.float32)], [np.zeros(0, np.float32)]

    def add(self, block: np.ndarray, axis: int) -> None:
        """block: 2-d, its channels along `axis`. Raises Unreadable where the file holds far more than sound takes."""
        self.unpacked += 4 * block.size
        if self.unpacked > max(LEAST, FOLD * self.size):
            raise Unreadable(
                f"{self.path} unpacks from {self.size / 1e6:.2g} MB to over {self.unpacked / 1e6:.0f} MB, more than "
                "sound does; it is damaged, or made to fill the memory: fetch it again from its source"
            )
        self.means.append(block.mean(axis=axis, dtype=np.float32))
        if block.shape[axis] > 1:
            self.firsts.append(block.take(0, axis=axis).astype(np.float32))

    def samples(self) -> np.ndarray:
        """(N,) float32."""
        mean, first = np.concatenate(self.means), np.concatenate(self.firsts)
        if len(first) == len(mean) and np.vdot(mean, mean) < CANCELLED**2 * np.vdot(first, first):
            return first
        return mean


def _silent(samples: np.ndarray) -> bool:
    return float(np.abs(samples - samples.mean(dtype=np.float64)).max()) < SILENCE


def _with_soundfile(clip: Clip) -> tuple[np.ndarray, int] | None:
    """None where the file says that it holds nothing."""
    with soundfile.SoundFile(clip.path) as file:
        rate = file.samplerate
        if not file.frames:
            return None
        first = min(round(clip.begin * rate), file.frames)
        last = file.frames if clip.end is None else min(round(clip.end * rate), file.frames)
        file.seek(first)
        # In blocks, because a damaged header may claim more samples than fit into the memory.
        mono, left = _Mono(clip.path), last - first
        while wanted := min(left, BLOCK):
            block = file.read(wanted, dtype="float32", always_2d=True)  # (N, channels)
            mono.add(block, axis=1)
            left -= len(block)
            if len(block) < wanted:
                break
        return mono.samples(), rate


def _with_ffmpeg(clip: Clip) -> tuple[np.ndarray, int, int]:
    """The first track with sound; the first of all where there is none."""
    with open_media(clip.path) as container:
        tracks = len(container.streams.audio)
    if not tracks:
        raise Unreadable(f"{clip.path} holds no audio track; leave its audio path empty")
    first = None
    for number in range(tracks):
        samples, rate = _track(clip, number)
        if len(samples) and not _silent(samples):
            return samples, rate, number
        first = first or (samples, rate, number)
    assert first is not None
    return first


def _track(clip: Clip, number: int) -> tuple[np.ndarray, int]:
    with open_media(clip.path) as container:
        stream = container.streams.audio[number]
        if stream.codec_context is None:
            raise Unreadable(f"{clip.path} holds sound in a format that cannot be decoded; convert it to WAV")
        origin = origin_of(container)
        if clip.begin > 1:
            # Compressed audio needs a little run-up before the first sample is right.
            container.seek(int((clip.begin - 1 + origin) * av.time_base))
        planar = av.AudioResampler(format="fltp")
        mono = _Mono(clip.path)
        beginning = time = 0.0
        rate: int | None = None
        for frame in decoded_frames(container, stream):
            if rate is None:
                rate = frame.sample_rate
                time = beginning = max(frame.time - origin, 0.0) if frame.time is not None else 0.0
            if time >= clip.stop:
                break
            time += frame.samples / rate
            for block in planar.resample(frame):
                mono.add(block.to_ndarray(), axis=0)
    if rate is None:
        return np.zeros(0, np.float32), RATE
    samples = mono.samples()
    first = max(round((clip.begin - beginning) * rate), 0)
    last = None if clip.end is None else max(round((clip.end - beginning) * rate), first)
    return samples[first:last], rate


CEILING = 0.985
"""Share of full scale, or of the loudest sample, that a clipped sample comes close to."""

RUN = 3
"""Neighbouring samples at one value, of either sign, that make a flat top: music and speech have none."""


@dataclass(frozen=True)
class Levels:
    """Seconds that could be decoded, the share of the samples on flat tops, the loudest sample as it was recorded.

    track: the number of the sound track that was read
    """

    seconds: float
    clipped: float
    peak: float = field(default=0.0, compare=False)
    track: int = field(default=0, compare=False)


class LevelReader:
    """Clips -> Levels, in a worker process."""

    def __call__(self, clips: Sequence[Clip]) -> list[Levels | Failure]:
        """One result a clip."""
        return one_by_one(levels, clips)


def levels(clip: Clip) -> Levels:
    """Look at the samples as recorded, before any resampling. Raises Unreadable where there are none."""
    samples, rate, track = _as_recorded(clip)
    peak = float(np.abs(samples).max())
    return Levels(len(samples) / rate, clipped_share(samples / _scale(samples)), peak, track)


def clipped_share(samples: np.ndarray) -> float:
    """Share of the samples (N,) that lie in runs of `RUN` or more equal ones near the loudest of all."""
    loudest = float(np.abs(samples).max(initial=0.0))
    if loudest < 0.1:  # nothing that quiet was cut off by a converter
        return 0.0
    flat = (np.abs(samples[1:] - samples[:-1]) < 1e-3 * loudest) & (np.abs(samples[1:]) > CEILING * loudest)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat.astype(np.int8), [0]])))
    runs = edges[1::2] - edges[::2] + 1  # samples, one more than the equal pairs
    return float(runs[runs >= RUN].sum() / max(len(samples), 1))
