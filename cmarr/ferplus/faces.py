"""The faces of one part of FER+, in memory."""

from dataclasses import dataclass

import numpy as np

from cmarr.errors import UserError
from cmarr.ferplus.votes import is_face

FER_SIDE = 48
"""Height and width of a face of FER2013, pixels."""

PARTS = ("train", "valid", "test")
"""FER2013's Training, PublicTest and PrivateTest."""


@dataclass(frozen=True)
class FaceSet:
    """Faces decoded once: `names` (N), `images` (N, 48, 48) uint8 gray, `votes` (N, 10) of `COLUMNS`."""

    names: tuple[str, ...]
    images: np.ndarray
    votes: np.ndarray

    def __len__(self) -> int:
        return len(self.names)

    def only(self, chosen: np.ndarray) -> "FaceSet":
        """The faces that a mask (N,) or an array of indices names."""
        rows = np.arange(len(self))[chosen]
        return FaceSet(tuple(self.names[row] for row in rows), self.images[rows], self.votes[rows])

    def real(self) -> "FaceSet":
        """Without what somebody took for no face; raises UserError where nothing is left."""
        chosen = is_face(self.votes)
        if not chosen.any():
            raise UserError(
                f"ferplus.root: of {len(self)} faces, from {self.names[0]} on, none has votes for an emotion and none "
                "for 'no face' (NF); fetch FER+ again"
            )
        return self.only(chosen)
