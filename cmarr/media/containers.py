"""Opening a media file so that it can name no other file, and claim no frame that fills the memory."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
        raise av.error.InvalidDataError(error.errno or 0, "it is of no format that is read here") from error
    for stream in container.streams.video:
        if stream.codec_context is not None:
            stream.codec_context.options = {"max_pixels": str(MOST_PIXELS)}
    return container


def video_tracks(container: InputContainer) -> list[Any]:
    """The tracks that show something move: a cover that was attached to a song is none."""
    return [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]


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
