"""The kinds of damage: which modality, and what a level of it means."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf


@dataclass(frozen=True)
class Kind:
    """One kind, `what` in words. `unit` follows a level in a sentence; at level `harmless` nothing is changed."""

    modality: str
    what: str
    unit: str
    harmless: float = 0.0

    def ordered(self, levels: Sequence[float]) -> list[float]:
        """The levels from the mildest to the worst."""
        return sorted(levels, reverse=self.harmless == inf)


KINDS = {
    "noise": Kind("s", "speech in noise", " dB SNR", inf),
    "word_errors": Kind("t", "transcripts with word errors", " of the words"),
    "dark": Kind("v", "darkened video", " stops less light"),
    "blur": Kind("v", "blurred video", " % of the frame's height"),
    "occlusion": Kind("v", "partly covered video", " of the frame"),
}
"""Name, as a protocol and in params.yaml -> kind."""
