"""Video without weights: histograms of oriented gradients of the speaker's face."""

from collections.abc import Iterator, Sequence
from functools import partial

from cmarr.encoders.decoding import clip_features
from cmarr.encoders.faces import FaceSection, FaceSettings
from cmarr.encoders.protocol import libraries
from cmarr.utterance import FeatureSequence, Rejected, Utterance

CELL, BLOCK = 16, 2


class Hog:
    """One row a face (Dalal and Triggs 2005), `rate` faces a second, of the face followed through the clip.

    The box is widened by `margin` of its size on each side and scaled to 64 x 64 gray, equalised; a block holds
    `BLOCK` x `BLOCK` cells of `CELL` pixels each way, nine directions each. A frame without a face gives no row;
    without any face in the clip the video is not available.
    """

    class Settings(FaceSection):
        """histogram of oriented gradients of the face"""

    modality = "v"

    def __init__(self, settings: Settings, *, workers: int = 2, seconds: float = 60.0):
        from cmarr.media.gradients import FaceGradients, width

        self.faces = FaceSettings(settings)
        self.workers, self.seconds = workers, seconds
        self.dim = width(CELL, BLOCK)
        self.reader = partial(FaceGradients, self.faces.reader, CELL, BLOCK)

    def describe(self) -> dict[str, str]:
        """Name, revision, libraries and parameters."""
        return {
            "encoder": "hog",
            "revision": "1",
            "libraries": libraries("opencv-python", "av"),
            "parameters": f"{self.faces} cell={CELL} block={BLOCK}",
        }

    def encode(self, utterances: Sequence[Utterance]) -> Iterator[FeatureSequence | Rejected]:
        """One sequence an utterance: (T, dim), T at most ceil(rate x duration)."""
        return clip_features(utterances, "v", self.reader, self.workers, self.seconds)


ENCODER = Hog
