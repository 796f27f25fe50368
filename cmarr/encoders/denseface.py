"""Video through Denseface: what a network trained on FER+ sees in the speaker's face."""

from collections.abc import Iterator, Sequence

import numpy as np

from cmarr.declaration import AutoCount, Place, setting
from cmarr.encoders.batches import Chunk, Prepared, Ready, in_batches
from cmarr.encoders.decoding import decoded
from cmarr.encoders.face_network import WIDTH, faces_at_once, load_denseface, prepared, weights_file
from cmarr.encoders.faces import FaceSection, FaceSettings
from cmarr.encoders.pretrained import PRECISION, Arithmetic, Precision
from cmarr.encoders.protocol import libraries
from cmarr.files import file_digest
from cmarr.utterance import FeatureSequence, Rejected, Utterance


class DensefaceRows:
    """One row a face (T, 342), `rate` faces a second, of the face followed through the clip.

    The box is widened by `margin` of its size on each side and scaled to 64 x 64 gray. A frame without a face gives no
    row; without any face in the clip the video is not available.
    """

    class Settings(FaceSection):
        """a network trained on FER+; 342 numbers a face"""

        weights: Place = setting(
            "", "safetensors file with its .sha256 beside it; empty = the weights that cmarr brings along"
        )
        precision: Precision = setting("fp32", PRECISION)
        batch_faces: AutoCount = setting(
            "auto",
            "faces that go through the network at once, >= 1; auto = 8 on a CPU, whose caches hold no more, and 256 "
            "on a GPU; changes memory and speed, rows by < 1e-5",
        )

    modality = "v"
    dim = WIDTH

    def __init__(
        self,
        settings: Settings,
        *,
        device: str = "auto",
        workers: int = 2,
        seconds: float = 60.0,
        window: int = 64,
    ):
        self.faces = FaceSettings(settings)
        self.reader = self.faces.reader
        self.arithmetic = Arithmetic(device, settings.precision)
        self.network = self.arithmetic.place(load_denseface(settings.weights))
        self.revision = f"sha256:{file_digest(weights_file(settings.weights))[:16]}"
        at_once = settings.batch_faces
        self.batch_faces = faces_at_once(self.arithmetic.device) if at_once == "auto" else at_once
        self.workers, self.seconds, self.window = workers, seconds, window

    def describe(self) -> dict[str, str]:
        """Name, revision of the weights, libraries and parameters."""
        return {
            "encoder": "denseface",
            "revision": self.revision,
            "libraries": libraries("torch", "opencv-python", "av"),
            "parameters": f"{self.faces} precision={self.arithmetic.precision}",
        }

    def encode(self, utterances: Sequence[Utterance]) -> Iterator[FeatureSequence | Rejected]:
        """One sequence an utterance: (T, 342), T at most ceil(rate x duration)."""
        return in_batches(
            self.prepared(utterances),
            self.rows,
            window=self.window,
            budget=self.batch_faces,
            threads=self.arithmetic.threads(self.workers),
        )

    def prepared(self, utterances: Sequence[Utterance]) -> Iterator[Ready]:
        """The faces of each utterance, found in worker processes."""
        given = decoded(utterances, "v", self.reader, self.workers, self.seconds, self.faces.note)
        for utterance, faces in given:
            if isinstance(faces, Rejected):
                yield faces
                continue
            firsts = range(0, len(faces.patches), self.batch_faces)
            parts = [faces.patches[first : first + self.batch_faces] for first in firsts]
            yield Prepared(
                utterance.id,
                [Chunk(part, len(part), slice(None)) for part in parts],
                faces.times,
                faces.notes,
            )

    def rows(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Patches (T, 64, 64) of several chunks -> features (T, 342) float32 of each."""
        with self.arithmetic():
            faces = prepared(np.concatenate(inputs)).to(self.arithmetic.device)  # (sum T, 1, 64, 64)
            features, _ = self.network(faces)
            rows = features.float().cpu().numpy()  # (sum T, 342)
        return np.split(rows, np.cumsum([len(part) for part in inputs])[:-1])


ENCODER = DensefaceRows
