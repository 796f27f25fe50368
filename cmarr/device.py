"""Where tensors live."""

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
        raise UserError(f"device: {setting!r} cannot be used here ({reason}); try auto") from None
    return setting
