"""Denseface: the architecture by its numbers, weights that are what they claim, a row a face."""

import numpy as np
import pytest
import torch
from recordings import face, write_video

from cmarr.corpora.manifest import Rejected, Utterance
from cmarr.encoders.denseface import DensefaceRows
from cmarr.encoders.face_network import EMOTIONS, SIDE, Denseface, load_denseface, prepared, save_weights
from cmarr.encoders.protocol import is_absence
from cmarr.errors import UserError
from cmarr.media.clips import Clip
from cmarr.media.faces import SIZE, FaceReader


def test_channels_and_sizes_are_those_of_the_published_network():
    network = Denseface().eval()
    seen = []
    for name, part in network.features.named_children():
        part.register_forward_hook(lambda _, __, out, name=name: seen.append((name, *out.shape[1:3])))
    features, logits = network(torch.zeros(2, 1, 64, 64))
    shapes = {name: shape for name, *shape in seen}
    assert shapes["relu0"] == [24, 32]
    assert shapes["denseblock1"] == [216, 32] and shapes["transition1"] == [108, 16]
    assert shapes["denseblock2"] == [300, 16] and shapes["transition2"] == [150, 8]
    assert shapes["norm5"] == [342, 8]
    assert features.shape == (2, 342) and logits.shape == (2, len(EMOTIONS)) == (2, 8)
    convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(convolutions) + 1 == 100  # and one linear layer: L = 100


def test_faces_are_cut_at_the_size_the_network_takes():
    assert SIDE == SIZE


def test_probabilities_sum_to_one_and_faces_run_from_minus_one_to_one():
    patches = np.stack([np.zeros((64, 64), np.uint8), np.full((64, 64), 255, np.uint8)])
    faces = prepared(patches)
    assert faces.shape == (2, 1, 64, 64) and faces.min() == -1 and faces.max() == 1
    torch.testing.assert_close(Denseface().eval().probabilities(faces).sum(1), torch.ones(2))


def test_weights_come_back(face_weights):
    torch.manual_seed(0)
    faces = torch.rand(3, 1, 64, 64)
    torch.manual_seed(0)
    expected = Denseface().eval()
    torch.testing.assert_close(load_denseface(face_weights)(faces), expected(faces))


def test_weights_that_are_not_there():
    with pytest.raises(UserError, match=r"weights: /nowhere\.safetensors does not exist; give"):
        load_denseface("/nowhere.safetensors")


def test_without_shipped_weights_the_file_to_give_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr("cmarr.encoders.face_network.SHIPPED", tmp_path / "denseface.safetensors")
    with pytest.raises(UserError, match="give the safetensors file of a trained Denseface, or set"):
        load_denseface()


def test_weights_are_checked_against_their_checksum(tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(path, Denseface())
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1  # one bit of one weight
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"does not have the SHA-256 that w\.safetensors\.sha256 names"):
        load_denseface(str(path))
    (tmp_path / "w.safetensors.sha256").unlink()
    with pytest.raises(UserError, match=r"w\.safetensors\.sha256 is missing"):
        load_denseface(str(path))


def test_weights_of_something_else(tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(path, torch.nn.Linear(3, 4))
    with pytest.raises(UserError, match="does not hold the weights of a Denseface"):
        load_denseface(str(path))


def test_a_row_a_face_whatever_the_batch(tmp_path, face_weights):
    videos = [write_video(tmp_path / f"{n}.mp4", [face(x=60 + i) for i in range(n)]) for n in (25, 10, 5)]
    nobody = write_video(tmp_path / "nobody.mp4", [np.full((120, 160), 110, np.uint8)] * 10)
    utterances = [Utterance(str(i), video=path) for i, path in enumerate([*videos, nobody])]
    answers = list(DensefaceRows(face_weights, device="cpu", batch_faces=4).encode(utterances))
    assert isinstance(answers[3], Rejected) and is_absence(answers[3])
    network = load_denseface(face_weights)
    for answer, path in zip(answers, videos, strict=False):
        (faces,) = FaceReader()([Clip(path)])
        expected = torch.cat([network(prepared(patch[None]))[0] for patch in faces.patches])
        np.testing.assert_allclose(answer.frames, expected.detach().numpy(), atol=1e-5)
        np.testing.assert_array_equal(answer.times, faces.times)
