"""What a benchmark ran on: the figures of one machine mean nothing on another."""

import os
import platform
import time
from pathlib import Path
from typing import Any

import torch


def machine() -> dict[str, Any]:
    """Processor, cores, threads, measured arithmetic, device and versions; no name of a machine, no path."""
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "gflops": round(gflops()),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__.split("+")[0],
        "system": platform.system(),
    }


def processor() -> str:
    """The model of the processor, as the system calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()


def gflops(size: int = 2048, repeats: int = 8) -> float:
    """Billions of fp32 operations a second of a matrix product, the best of a few."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - start)
    return 2 * size**3 / min(times) / 1e9


def sentence(found: dict[str, Any]) -> str:
    """One line for the head of a table."""
    gpu = found["gpu"] or "no GPU"
    return (
        f"{found['processor']}, {found['cores']} cores, {found['threads']} threads, {found['gflops']} GFLOP/s (fp32 "
        f"matrix product), {gpu}, Python {found['python']}, torch {found['torch']}"
    )
