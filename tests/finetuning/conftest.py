"""Tiny pretrained networks, and batches of what they read: the fixtures `folder`, `encoders` and `inputs`."""

import sys
from copy import deepcopy
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).parents[1] / "encoders"))

import checkpoints

from cmarr.data.batch import Batch
from cmarr.encoders.networks import to_frames
from cmarr.encoders.trainable import from_checkpoint, learning

torch.set_num_threads(1)

SPEECH = {
    "revision": "",
    "layers": "last",
    "pool": 1,
    "precision": "fp32",
    "longest": 60.0,
    "batch_seconds": 10.0,
}
TEXT = {"revision": "", "layers": "last", "precision": "fp32", "batch_pieces": 512}
READING = {"wav2vec2": SPEECH, "bert": TEXT}
"""The sections of params.yaml, but for the model."""


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Kind (of checkpoints.SPEECH_KINDS or TEXT_KINDS) -> a folder that holds such a network."""
    made = {}

    def find(kind):
        if kind not in made:
            save = checkpoints.save_speech if kind in checkpoints.SPEECH_KINDS else checkpoints.save_text
            made[kind] = save(kind, tmp_path_factory.mktemp("network") / kind)
        return made[kind]

    return find


@pytest.fixture(scope="session")
def trainable(folder):
    """(encoder, kind, its settings) -> the network, ready to learn, and its description."""
    loaded = {}

    def make(name, kind="", freeze_front_end=True, checkpointing=False, **settings):
        own = {**READING[name], "model": folder(kind or name), **settings}
        key = name, str(own)
        if key not in loaded:
            loaded[key] = from_checkpoint(name, own)
        network, description = deepcopy(loaded[key])
        learning(network, freeze_front_end=freeze_front_end, checkpointing=checkpointing)
        return network, description

    return make


@pytest.fixture
def encoders(trainable):
    """Modality -> tiny wav2vec 2.0 and BERT."""

    def make(**how):
        return {"s": trainable("wav2vec2", **how)[0], "t": trainable("bert", **how)[0]}

    return make


def sounds(*lengths: int, seed: int = 0) -> list[torch.Tensor]:
    """Noise of so many samples each, as frames (T, 320) float32."""
    generator = torch.Generator().manual_seed(seed)
    noise = [0.1 * torch.randn(n, generator=generator) for n in lengths]
    return [torch.from_numpy(to_frames(samples.numpy())).float() for samples in noise]


def texts(*lengths: int, seed: int = 0) -> list[torch.Tensor]:
    """Numbers of random word pieces, (T, 1) float32."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(5, 60, (n, 1), generator=generator).float() for n in lengths]


@pytest.fixture
def inputs():
    """A batch of six utterances: speech as samples, text as word pieces, faces as features; some are absent."""

    def make(seed: int = 0) -> Batch:
        sound, text = sounds(2400, 0, 800, 1601, 720, 3000, seed=seed), texts(3, 5, 0, 1, 9, 4, seed=seed)
        generator = torch.Generator().manual_seed(seed)
        faces = [torch.randn(n, 5, generator=generator) for n in (2, 1, 3, 0, 1, 2)]
        values = {"s": torch.cat(sound), "v": torch.cat(faces), "t": torch.cat(text)}
        lengths = {
            m: torch.tensor([len(own) for own in given])
            for m, given in (("s", sound), ("v", faces), ("t", text))
        }
        available = torch.stack([lengths[m] > 0 for m in "svt"], 1)
        return Batch(values, lengths, available, torch.tensor([0, 1, 2, 0, 1, 2]))

    return make
