"""The state of an unfinished training, so that a killed one goes on to the same bits."""

from pathlib import Path
from typing import Any

import torch

from cmarr.files import atomic


class Checkpoint:
    """One file that holds the newest complete state; written atomically, loaded without running code."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def load(self) -> dict[str, Any] | None:
        """The newest state, or None when there is none."""
        if not self.path.is_file():
            return None
        return torch.load(self.path, map_location="cpu", weights_only=True)

    def save(self, state: dict[str, Any]) -> None:
        """Replace the state."""
        with atomic(self.path) as temporary:
            torch.save(state, temporary)

    def clear(self) -> None:
        """Remove the state of a training that has ended."""
        self.path.unlink(missing_ok=True)
