"""Small recordings for the tests: tones, a drawn face, and the files that hold them."""

from fractions import Fraction

import av
import cv2
import numpy as np


def tone(hertz, seconds, rate=16_000):
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def loudest(samples, rate=16_000):
    """The frequency (Hz) with the most energy."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return np.argmax(spectrum) * rate / len(samples)


def face(width=160, height=120, x=80, y=60, radius=40):
    """A gray drawing (H, W) of a face that the detectors find, its middle at (x, y)."""
    image = np.full((height, width), 110, np.uint8)

    def oval(dx, dy, across, down, shade):
        middle = (int(x + dx * radius), int(y + dy * radius))
        cv2.ellipse(image, middle, (int(across * radius), int(down * radius)), 0, 0, 360, shade, -1)

    oval(0, -0.25, 0.9, 1, 50)  # hair
    oval(0, 0, 0.75, 1, 200)
    for side in (-1, 1):
        oval(0.32 * side, -0.2, 0.2, 0.11, 60)
        oval(0.32 * side, -0.42, 0.26, 0.06, 80)
        oval(0.32 * side, -0.2, 0.19, 0.1, 225)
        oval(0.32 * side, -0.2, 0.09, 0.1, 40)
    oval(0, 0.15, 0.1, 0.2, 170)
    oval(0, 0.32, 0.16, 0.05, 120)
    oval(0, 0.55, 0.3, 0.1, 90)
    return cv2.GaussianBlur(image, (0, 0), 1.2)


def write_video(path, images, rate=25, times=None, codec="libx264"):
    """Write gray images (H, W); `times` (seconds) for a variable frame rate."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = images[0].shape
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000 if times else rate)
        for i, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="gray")
            frame.pts = round(1000 * times[i]) if times else i
            frame.time_base = stream.codec_context.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return str(path)


def write_compressed(path, samples, rate, codec):
    """Write mono samples (N,) through a lossy audio codec."""
    with av.open(str(path), "w", format="mp4" if codec == "aac" else "mp3") as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None].astype(np.float32), format="fltp", layout="mono")
        frame.sample_rate = rate
        fifo = av.AudioFifo()
        fifo.write(frame)
        for block in fifo.read_many(1024, partial=True):
            container.mux(stream.encode(block))
        container.mux(stream.encode(None))
    return str(path)
