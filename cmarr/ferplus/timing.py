"""How long Denseface takes for a face on this machine's CPU."""

import statistics
import time

import torch

from cmarr.encoders.face_network import SIDE, Denseface

REPEATS = 9


def milliseconds(network: Denseface, batch: int, threads: int = 1) -> float:
    """Median milliseconds a face in fp32, `batch` faces at once, with `threads` threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    faces = torch.zeros(batch, 1, SIDE, SIDE)
    try:
        with torch.inference_mode():
            network(faces)  # the first time is spent on preparations
            return 1000 * statistics.median(_seconds(network, faces) for _ in range(REPEATS)) / batch
    finally:
        torch.set_num_threads(before)


def _seconds(network: Denseface, faces: torch.Tensor) -> float:
    began = time.perf_counter()
    network(faces)
    return time.perf_counter() - began
