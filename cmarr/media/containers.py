"""Opening a media file so that it can name no other file and claim no frame that fills the memory; what is where in it.

All times are seconds from the beginning of the file, which is where the first of its tracks begins.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cmarr.extras import extra

with extra("media"):
    import av
    from av.container import InputContainer
    from av.stream import Disposition


FORMATS = (
    "3g2,3gp,aac,ac3,aiff,amr,ape,asf,au,avi,caf,dv,flac,flv,gif,h264,hevc,ivf,m4a,m4v,matroska,mov,mp3,mp4,mpc,mpc8,"
    "mpeg,mpegts,mpegvideo,mxf,nut,ogg,rm,tta,voc,w64,wav,webm,wv"
)
"""Containers that hold their own content. Playlists and lists of files (hls, dash, concat, sdp, image2), which
FFmpeg would follow to other files or into the network whatever the name of the file, are not among them."""

MOST_PIXELS = 2**26
"""Pixels of a frame (8192 x 8192) above which the decoder gives up."""


def open_media(path: str | Path) -> InputContainer:
    """Open a file for decoding; a name such as 'concat:a|b' or 'http:...' is the name of a file here.

    Raises av.error.FFmpegError where FFmpeg does.
    """
    options = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
    try:
        container = av.open(str(Path(path).absolute()), metadata_errors="ignore", container_options=options)
    except av.error.ArgumentError as error:  # what the list above refuses, too
        raise av.error.InvalidDataError(error.errno or 0, _no_recording(path)) from error
    for stream in container.streams.video:
        if stream.codec_context is not None:
            stream.codec_context.options = {"max_pixels": str(MOST_PIXELS)}
    return container


def _no_recording(path: str | Path) -> str:
    with Path(path).open("rb") as file:
        head = file.read(12)
    if head.startswith((b"\xff\xd8\xff", b"\x89PNG", b"BM")) or head[8:] == b"WEBP":
        return "it is a picture, and only what moves or sounds is read"
    return "it is of no format that is read here"


def video_tracks(container: InputContainer) -> list[Any]:
    """The tracks that show something move: a cover that was attached to a song is none, whatever it is called.

    Many programs put it into a video track of its own, of one frame. Without sound, such a frame is what there is.
    """
    tracks = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    return [s for s in tracks if not _still(container, s)] if container.streams.audio else tracks


def _still(container: InputContainer, track: Any) -> bool:
    """Whether a track holds a single frame: by its header, or, where that does not say, because no other comes."""
    told = track.frames or track.metadata.get("NUMBER_OF_FRAMES")
    if told and container.format.name not in DELAYED:
        return str(told) == "1"
    length = _LENGTH.fullmatch(track.metadata.get("DURATION", ""))
    if length is None or not track.average_rate:
        return _alone(container.name, track.index)
    hours, minutes, seconds = map(float, length.groups())
    return (3600 * hours + 60 * minutes + seconds) * float(track.average_rate) < 1.5


def _alone(path: str, index: int) -> bool:
    """Whether a single packet of a track is in a file, or in as much of it as is gone through."""
    found = read = 0
    with open_media(path) as container:  # anew, for the other is where its reader wants it
        try:
            for packet in container.demux():
                found += packet.stream.index == index and packet.size > 0
                read += packet.size
                if found > 1 or read > SCANNED:
                    break
        except av.error.FFmpegError:  # damaged from here on
            pass
    return found == 1


_LENGTH = re.compile(r"(\d+):(\d+):([\d.]+)")
"""The length of a track as Matroska's tags tell it."""


def decoded_frames(container: InputContainer, stream: Any) -> Iterator[Any]:
    """The frames of a stream; a damaged packet is passed over, a damaged container ends the file."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.error.FFmpegError):
            return
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            continue
        yield from frames


ESTIMATED = frozenset(
    {"aac", "ac3", "amr", "dts", "eac3", "h264", "hevc", "mp3", "mpegvideo", "mpeg", "mpegts"}
)
"""Formats whose headers hold no lengths: what FFmpeg says then is a guess from the first packets."""

DELAYED = frozenset({"avi"})
"""Formats whose headers count a track's delay in its length, and tell nothing of it otherwise."""

SHORT = 16 * 2**20
"""Bytes up to which such a file is gone through."""

SCANNED = 64 * 2**20
"""Bytes up to which a file is gone through to measure its tracks; of a larger one with a length, the end is."""

TAIL = 15.0
"""Seconds of that end."""


@dataclass(frozen=True)
class Span:
    """Where a track lies in its file, and how many packets it has there; 0: not counted."""

    begin: float
    end: float
    packets: int = 0


def origin_of(container: InputContainer) -> float:
    """The time stamp, s, at which a file begins."""
    return (container.start_time or 0) / av.time_base


def spans_of(container: InputContainer, tracks: Sequence[Any], size: int) -> dict[int, Span]:
    """Index of a track -> where it lies: what the headers say, measured by its packets where they do not.

    Nothing is decoded. size: bytes of the file. Tracks without a packet are left out. The container is at another
    place, or at its end, afterwards.
    """
    told = {t.index: _told(t, origin_of(container)) for t in tracks}
    name = container.format.name
    doubtful = name in ESTIMATED or (name in DELAYED and size <= SHORT)
    if not doubtful and None not in told.values():
        return {index: span for index, span in told.items() if span is not None}
    length = container.duration / av.time_base if container.duration else None
    if length is not None and size > SCANNED:
        container.seek(int((origin_of(container) + max(length - TAIL, 0.0)) * av.time_base))
        found = _packets(container, tracks)
        begins = {t.index: _begin(t, origin_of(container)) for t in tracks}
        return {index: Span(begins[index], span.end) for index, span in found.items()}
    return _packets(container, tracks)


def _told(track: Any, origin: float) -> Span | None:
    if track.start_time is None or not track.duration:
        return None
    begin = _begin(track, origin)
    return Span(
        begin, float(track.start_time * track.time_base) - origin + float(track.duration * track.time_base)
    )


def _begin(track: Any, origin: float) -> float:
    return max(float((track.start_time or 0) * track.time_base) - origin, 0.0)


def _packets(container: InputContainer, tracks: Sequence[Any]) -> dict[int, Span]:
    """From the first packet of each track to the end of its last, from where the file is being read."""
    origin = origin_of(container)
    begins: dict[int, float] = {}
    ends: dict[int, float] = {}
    counts: dict[int, int] = {}
    try:
        for packet in container.demux(list(tracks)):
            stamp = packet.pts if packet.pts is not None else packet.dts
            if stamp is None or not packet.size:
                continue
            index, unit = packet.stream.index, float(packet.time_base)
            begin = stamp * unit - origin
            begins[index] = min(begins.get(index, begin), begin)
            ends[index] = max(ends.get(index, begin), begin + (packet.duration or 0) * unit)
            counts[index] = counts.get(index, 0) + 1
    except av.error.FFmpegError:  # damaged from here on
        pass
    return {i: Span(max(round(begins[i], 6), 0.0) + 0.0, round(ends[i], 6), counts[i]) for i in begins}
