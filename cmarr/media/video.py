"""Video files to gray frames at a chosen rate, each file decoded once for all clips in it."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from cmarr.errors import Unreadable
from cmarr.extras import extra
from cmarr.media.clips import Clip, require_file, require_span
from cmarr.media.containers import decoded_frames, open_media, origin_of, video_tracks

with extra("media"):
    import av
    from av.container import InputContainer

SEEK_FROM = 2.0
"""Seconds: a clip that begins later is reached by seeking to the key frame before it."""


class Shown(NamedTuple):
    """A frame, and how much wider than high its pixels are."""

    frame: av.VideoFrame
    aspect: float


def read_frames(clips: Sequence[Clip], rate: float) -> Iterator[tuple[int, float, np.ndarray]]:
    """Sample the clips of one file: (index of the clip, seconds from its start, gray (H, W) uint8).

    Each clip is cut into windows of 1 / `rate` seconds (`rate` in frames/s) and gives the frame whose
    timestamp is nearest to the middle of the window; a window that holds no frame (a slower or variable
    frame rate) gives none. Frames before `start` or at and after `end` are never looked at.

    A damaged or truncated file gives the frames that can be decoded. Raises Unreadable when the file
    is missing, holds no video, or not one frame can be decoded.
    """
    path = clips[0].path
    require_file(path)
    for clip in clips:
        require_span(clip)
    windows = [_Windows(clip, rate) for clip in clips]
    decoded = 0
    for time, frame in _decode(path, min(c.begin for c in clips), max(c.stop for c in clips)):
        decoded += 1
        for index, window in enumerate(windows):
            for chosen_time, chosen in window.offer(time, frame):
                yield index, chosen_time, _seen(chosen, clips[index], chosen_time)
    if not decoded:
        raise Unreadable(
            f"{path} holds no frame that can be decoded; convert it (MP4 or AVI), or leave its path empty"
        )
    for index, window in enumerate(windows):
        for chosen_time, chosen in window.flush():
            yield index, chosen_time, _seen(chosen, clips[index], chosen_time)


class _Windows:
    """The frame nearest to the middle of each window of a clip, as frames arrive in order of time."""

    def __init__(self, clip: Clip, rate: float):
        self.clip, self.rate = clip, rate
        self.number = -1
        self.distance = 0.0
        self.best: tuple[float, Shown] | None = None

    def offer(self, time: float, frame: Shown) -> list[tuple[float, Shown]]:
        if not self.clip.begin <= time < self.clip.stop:
            return []
        position = (time - self.clip.begin) * self.rate
        # Rounded, so that of two frames equally far from the middle the earlier one wins on every clip.
        number = int(position + 1e-6)
        distance = round(abs(position - number - 0.5), 6)
        finished = self.flush() if number != self.number else []
        if self.best is None or distance < self.distance:
            self.number, self.distance, self.best = number, distance, (time - self.clip.begin, frame)
        return finished

    def flush(self) -> list[tuple[float, Shown]]:
        best, self.best = self.best, None
        return [] if best is None else [best]


def _decode(path: str, begin: float, stop: float) -> Iterator[tuple[float, Shown]]:
    """(seconds in the file, frame) in order of time, from at or before `begin` up to `stop`."""
    try:
        with open_media(path) as container:
            frames = timed_frames(container, path, begin if begin >= SEEK_FROM else None)
            first = next(frames, None)
            sought_too_far = begin >= SEEK_FROM and (first is None or first[0] > begin)
            if first is not None and not sought_too_far:
                yield from _until(first, frames, stop)
                return
        if sought_too_far:
            with open_media(path) as container:
                frames = timed_frames(container, path, None)
                if (first := next(frames, None)) is not None:
                    yield from _until(first, frames, stop)
    except av.error.FFmpegError as error:
        raise Unreadable(
            f"{path} cannot be read as video ({error.strerror}); "
            "convert it (MP4 or AVI), or leave its path empty"
        ) from error


def _until(
    first: tuple[float, Shown], frames: Iterator[tuple[float, Shown]], stop: float
) -> Iterator[tuple[float, Shown]]:
    yield first
    for time, frame in frames:
        if time >= stop:
            return
        yield time, frame


def timed_frames(container: InputContainer, path: str, seek: float | None) -> Iterator[tuple[float, Shown]]:
    """Every frame that is decoded of an open file, with its second; from the key frame before `seek`, if given."""
    tracks = video_tracks(container)
    if not tracks:
        raise Unreadable(f"{path} holds no video track; leave its video path empty")
    stream = tracks[0]
    if stream.codec_context is None:
        raise Unreadable(f"{path} holds video in a format that cannot be decoded; convert it (MP4 or AVI)")
    stream.codec_context.thread_count = 1
    origin = origin_of(container)
    step = 1 / float(stream.average_rate or stream.guessed_rate or 25)
    if seek is not None:
        container.seek(int((seek + origin) * av.time_base))
    told = float(stream.sample_aspect_ratio or 1)
    aspect = told if 1 / WIDEST <= told <= WIDEST else 1.0
    last = None if seek is not None else -step
    for frame in decoded_frames(container, stream):
        time = None if frame.time is None else frame.time - origin
        if last is not None and (time is None or time <= last):
            time = last + step  # some AVI files give no timestamp, or one twice
        if time is not None:  # just after a seek, a frame without a timestamp cannot be placed
            last = time
            yield time, Shown(frame, aspect)


def _seen(frame: Shown, clip: Clip, time: float) -> np.ndarray:
    gray = _gray(frame, clip.crop)
    return gray if clip.damage is None else clip.damage(gray, time)


WIDEST = 4.0
"""How much wider than high, or higher than wide, pixels may be; a header that claims more is damaged."""


def _gray(shown: Shown, crop: str | None) -> np.ndarray:
    frame, aspect = shown
    width = round(frame.width * aspect)
    square = (
        frame if width == frame.width else frame.reformat(width=width, height=frame.height, format="gray")
    )
    image = square.to_ndarray(format="gray")  # (H, W) uint8
    if turns := round(getattr(frame, "rotation", 0) / 90) % 4:
        image = np.rot90(image, turns)  # phones store portrait video lying on its side
    half = image.shape[1] // 2
    if crop == "left":
        image = image[:, :half]
    elif crop == "right":
        image = image[:, -half:]
    return np.ascontiguousarray(image)
