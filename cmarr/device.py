"""Where tensors live, and what is compiled for there."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import torch

from cmarr.errors import UserError


def choose_device(setting: str) -> str:
    """'auto' -> the GPU if there is one; anything else as given.

    Raises UserError for a device that this machine does not have.
    """
    if setting == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=setting)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].split(". ")[0][:120]
        if reason.startswith("Expected one of"):  # every device that PyTorch was ever built for
            reason = "it is the name of none"
        raise UserError(f"device: {setting!r} cannot be used here ({reason}); try auto") from None
    return setting


def memory_limit(setting: str | float, device: str, sharing: int) -> int:
    """Bytes of features that each of `sharing` trainings on one device may hold; `setting` in GiB.

    'auto' is a quarter of what is free: gathering and training need room beside it.
    """
    if setting != "auto":
        return int(float(setting) * 2**30)
    free = _free_on_host()
    if device.startswith("cuda"):
        free = min(free, torch.cuda.mem_get_info(device)[0])
    return free // (4 * sharing)


def _free_on_host() -> int:
    """What the system could give without taking it from another process."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F, key: str, *, dynamic: bool) -> F:
    """`torch.compile(function, dynamic=dynamic)`; the compiler is only called when the function first is.

    Raises, then, UserError that names the setting `key`, where there is no compiler or it fails.
    """
    from torch._dynamo.exc import BackendCompilerFailed  # a second that only those who compile need spend

    inner = torch.compile(function, dynamic=dynamic)

    def call(*arguments: Any, **named: Any) -> Any:
        try:
            return inner(*arguments, **named)
        except BackendCompilerFailed as error:
            reason = str(error).splitlines()[0].removesuffix(".")
            raise UserError(
                f"{key}: torch.compile failed ({reason}); install a C++ compiler, or name it in the environment "
                f"variable CXX, or set {key}=false"
            ) from error

    return cast(F, call)
