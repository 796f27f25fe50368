"""Tiny checkpoints on disk, written once; and tests/media's recordings, under their name."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[1] / "media"))

import checkpoints


@pytest.fixture(scope="session")
def speech_model(tmp_path_factory):
    """Kind (of checkpoints.SPEECH_KINDS) -> folder."""
    root = tmp_path_factory.mktemp("speech")
    return {kind: checkpoints.save_speech(kind, root / kind) for kind in checkpoints.SPEECH_KINDS}


@pytest.fixture(scope="session")
def text_model(tmp_path_factory):
    """Kind (of checkpoints.TEXT_KINDS) -> folder."""
    root = tmp_path_factory.mktemp("text")
    return {kind: checkpoints.save_text(kind, root / kind) for kind in checkpoints.TEXT_KINDS}


@pytest.fixture(scope="session")
def face_weights(tmp_path_factory):
    """A Denseface with random weights."""
    import torch

    from cmarr.encoders.face_network import Denseface, save_weights

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("faces") / "denseface.safetensors"
    save_weights(path, Denseface())
    return str(path)
