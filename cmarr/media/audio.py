"""Audio files to mono samples: soundfile for WAV and FLAC, PyAV for everything else. How loud they were recorded."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile

from cmarr.errors import Unreadable
from cmarr.media.clips import Clip, Failure, one_by_one, require_file, require_span
from cmarr.media.containers import decoded_frames, open_media

RATE = 16_000
"""Sampling rate, Hz, that every speech encoder is given."""

SILENCE = 1e-4
"""A clip whose samples stay this close to their mean (full scale = 1, so -80 dB) counts as silent."""

BLOCK = 1 << 20
"""Samples read at a time."""

RATES = (1_000, 400_000)
"""Sampling rates, Hz, that a file may claim; outside, its header is damaged."""


def read_audio(clip: Clip) -> np.ndarray:
    """Samples (N,) float32 of a clip: mono (mean of the channels), 16 kHz, full scale 1.

    Raises Unreadable, in one sentence naming the file, when it is missing, cannot be decoded, holds no
    sound between `start` and `end`, is silent throughout, or holds NaN or infinite samples.
    """
    samples, rate = read_samples(clip)
    peak = float(np.abs(samples - samples.mean(dtype=np.float64)).max())
    if peak < SILENCE:
        raise Unreadable(
            f"{clip.path} is silent (no sample is further than {SILENCE:g} of full scale from the mean); "
            "check the recording, or leave its path empty"
        )
    samples = resample(samples, rate)
    return samples if clip.damage is None else clip.damage(samples, 0.0)


def read_samples(clip: Clip) -> tuple[np.ndarray, int]:
    """Samples (N,) float32 of a clip as recorded, mono, and their rate in Hz.

    Raises Unreadable as `read_audio` does, silence aside.
    """
    require_file(clip.path)
    require_span(clip)
    samples, rate = _decode(clip)
    if not RATES[0] <= rate <= RATES[1]:
        raise Unreadable(f"{clip.path} claims a sampling rate of {rate} Hz; its header is damaged")
    if not len(samples):
        where = f" between {clip.begin:g} s and {clip.stop:g} s" if clip.begin or clip.end else ""
        raise Unreadable(f"{clip.path} holds no sound{where}; check the recording, or leave its path empty")
    if not np.isfinite(samples).all():
        raise Unreadable(f"{clip.path} holds NaN or infinite samples; write it again from its source")
    return samples, rate


class Samples:
    """Clips -> samples (N,) float32 at 16 kHz, in a worker process."""

    def __call__(self, clips: Sequence[Clip]) -> list[np.ndarray | Failure]:
        """One result a clip."""
        return one_by_one(read_audio, clips)


def resample(samples: np.ndarray, rate: int) -> np.ndarray:
    """Samples (N,) at `rate` Hz to 16 kHz, band-limited (torchaudio's windowed sinc)."""
    if rate == RATE:
        return samples
    import torch
    from torchaudio.functional import resample as sinc

    # The filter bank has as many rows as the reduced ratio's denominator. Rates that share no large
    # factor with 16 kHz are approximated (at most 1 ms drift in a minute) instead of filling the memory.
    ratio = Fraction(rate, RATE).limit_denominator(1000)
    return np.asarray(sinc(torch.from_numpy(samples), ratio.numerator, ratio.denominator))


def _decode(clip: Clip) -> tuple[np.ndarray, int]:
    # By content, not by extension: files that lie about their format are common.
    with Path(clip.path).open("rb") as opened:
        head = opened.read(12)
    if head[:4] == b"fLaC" or (head[:4] == b"RIFF" and head[8:] == b"WAVE"):
        try:
            return _with_soundfile(clip)
        except soundfile.LibsndfileError:
            pass  # FFmpeg reads some WAV codecs and damaged files that libsndfile refuses
    try:
        return _with_ffmpeg(clip)
    except av.error.FFmpegError as error:
        raise Unreadable(
            f"{clip.path} cannot be read as audio ({error.strerror}); "
            "convert it to WAV or FLAC, or leave its path empty"
        ) from error


def _with_soundfile(clip: Clip) -> tuple[np.ndarray, int]:
    with soundfile.SoundFile(clip.path) as file:
        rate = file.samplerate
        first = min(round(clip.begin * rate), file.frames)
        last = file.frames if clip.end is None else min(round(clip.end * rate), file.frames)
        file.seek(first)
        # In blocks, because a damaged header may claim more samples than fit into the memory.
        parts = [np.zeros(0, np.float32)]
        while wanted := min(last - first - sum(map(len, parts)), BLOCK):
            block = file.read(wanted, dtype="float32", always_2d=True)  # (N, channels)
            parts.append(block.mean(axis=1, dtype=np.float32))
            if len(block) < wanted:
                break
        return np.concatenate(parts), rate


def _with_ffmpeg(clip: Clip) -> tuple[np.ndarray, int]:
    with open_media(clip.path) as container:
        if not container.streams.audio:
            raise Unreadable(f"{clip.path} holds no audio track; leave its audio path empty")
        stream = container.streams.audio[0]
        if stream.codec_context is None:
            raise Unreadable(f"{clip.path} holds sound in a format that cannot be decoded; convert it to WAV")
        origin = (container.start_time or 0) / av.time_base
        if clip.begin > 1:
            # Compressed audio needs a little run-up before the first sample is right.
            container.seek(int((clip.begin - 1 + origin) * av.time_base))
        planar = av.AudioResampler(format="fltp")
        blocks: list[np.ndarray] = []
        rate, beginning, time = RATE, 0.0, 0.0
        for frame in decoded_frames(container, stream):
            if not blocks:
                rate = frame.sample_rate
                time = beginning = max(frame.time - origin, 0.0) if frame.time is not None else 0.0
            if time >= clip.stop:
                break
            time += frame.samples / rate
            blocks += [block.to_ndarray().mean(axis=0, dtype=np.float32) for block in planar.resample(frame)]
    if not blocks:
        return np.zeros(0, np.float32), rate
    samples = np.concatenate(blocks)
    first = max(round((clip.begin - beginning) * rate), 0)
    last = None if clip.end is None else max(round((clip.end - beginning) * rate), first)
    return samples[first:last], rate


CEILING = 0.985
"""Share of full scale, or of the loudest sample, that a clipped sample comes close to."""

RUN = 3
"""Neighbouring samples at one value, of either sign, that make a flat top: music and speech have none."""


@dataclass(frozen=True)
class Levels:
    """Seconds that could be decoded, and the share of the samples that lies on flat tops."""

    seconds: float
    clipped: float


class LevelReader:
    """Clips -> Levels, in a worker process."""

    def __call__(self, clips: Sequence[Clip]) -> list[Levels | Failure]:
        """One result a clip."""
        return one_by_one(levels, clips)


def levels(clip: Clip) -> Levels:
    """Look at the samples as recorded, before any resampling. Raises Unreadable where there are none."""
    samples, rate = read_samples(clip)
    return Levels(len(samples) / rate, clipped_share(samples))


def clipped_share(samples: np.ndarray) -> float:
    """Share of the samples (N,) that lie in runs of `RUN` or more equal ones near the loudest of all."""
    loudest = float(np.abs(samples).max(initial=0.0))
    if loudest < 0.1:  # nothing that quiet was cut off by a converter
        return 0.0
    flat = (np.abs(samples[1:] - samples[:-1]) < 1e-3 * loudest) & (np.abs(samples[1:]) > CEILING * loudest)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat.astype(np.int8), [0]])))
    runs = edges[1::2] - edges[::2] + 1  # samples, one more than the equal pairs
    return float(runs[runs >= RUN].sum() / max(len(samples), 1))
