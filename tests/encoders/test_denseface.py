"""Denseface: the architecture by its numbers, weights that are what they claim, a row a face."""

from pathlib import Path

import numpy as np
import pytest
import torch
from recordings import face, write_video
from safetensors.torch import save_file

from cmarr.encoders.denseface import DensefaceRows
from cmarr.encoders.face_network import (
    EMOTIONS,
    SIDE,
    Denseface,
    faces_at_once,
    load_denseface,
    prepared,
    save_weights,
)
from cmarr.encoders.protocol import is_absence
from cmarr.errors import UserError
from cmarr.files import file_digest
from cmarr.media.clips import Clip
from cmarr.media.faces import SIZE, FaceReader
from cmarr.utterance import Rejected, Utterance

Settings = DensefaceRows.Settings


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


def test_the_network_is_torchvisions_with_another_stem():
    densenet = pytest.importorskip(
        "torchvision.models.densenet", reason="needs torchvision (the extra `dev`)"
    )
    theirs = densenet.DenseNet(12, (16, 16, 16), 24, num_classes=len(EMOTIONS))
    theirs.features.conv0 = torch.nn.Conv2d(1, 24, 3, stride=2, padding=1, bias=False)
    theirs.features.pool0 = torch.nn.Identity()
    ours = load_denseface()
    theirs.load_state_dict(ours.state_dict())
    faces = torch.randn(3, 1, SIDE, SIDE)
    for network in (ours, theirs):
        network.requires_grad_().train()
    answers = ours(faces)[1], theirs(faces)
    assert torch.equal(*answers)
    for answer in answers:
        answer.square().sum().backward()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-5)
    with torch.inference_mode():
        assert torch.equal(ours.eval()(faces)[1], theirs.eval()(faces))


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
    with pytest.raises(
        UserError, match=r"does not hold the weights of a Denseface \(.* is missing\); give a file"
    ):
        load_denseface(path)
    with pytest.raises(UserError, match="is a folder; give the safetensors file"):
        load_denseface(tmp_path)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.zeros(7, 342), r"classifier\.weight has the shape \(7, 342\) instead of \(8, 342\)"),
        (torch.zeros(8, 342, dtype=torch.int32), r"classifier\.weight holds torch\.int32"),
        (torch.full((8, 342), torch.nan), r"classifier\.weight holds values that are not finite"),
        (None, r"classifier\.weight is missing"),
    ],
)
def test_weights_of_another_architecture(tmp_path, value, message):
    tensors = Denseface().state_dict()
    tensors["classifier.weight"] = value
    path = tmp_path / "w.safetensors"
    save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, path)
    (tmp_path / "w.safetensors.sha256").write_text(f"{file_digest(path).upper()}  w.safetensors\n")
    with pytest.raises(UserError, match=message):
        load_denseface(path)


def test_the_encoder_finds_weights_below_the_home_folder(face_weights, monkeypatch):
    monkeypatch.setenv("HOME", str(Path(face_weights).parent))
    assert DensefaceRows(Settings(weights="~/denseface.safetensors"), device="cpu").revision.startswith(
        "sha256:"
    )


def test_features_do_not_depend_on_the_faces_beside_them(face_weights):
    encoder = DensefaceRows(Settings(weights=face_weights), device="cpu")
    faces = np.random.default_rng(0).integers(0, 256, (64, 64, 64)).astype(np.uint8)
    together = encoder.rows([faces[:1], faces[1:40], faces[40:]])
    assert [len(part) for part in together] == [1, 39, 24]
    for place, rows in ((0, together[0]), (63, together[2][-1:])):
        (alone,) = encoder.rows([faces[place : place + 1]])
        np.testing.assert_allclose(rows, alone, atol=1e-5)


def test_a_row_a_face_whatever_the_batch(tmp_path, face_weights):
    videos = [write_video(tmp_path / f"{n}.mp4", [face(x=60 + i) for i in range(n)]) for n in (25, 10, 5)]
    nobody = write_video(tmp_path / "nobody.mp4", [np.full((120, 160), 110, np.uint8)] * 10)
    utterances = [Utterance(str(i), video=path) for i, path in enumerate([*videos, nobody])]
    encoder = DensefaceRows(Settings(weights=face_weights, batch_faces=4), device="cpu")
    sizes, rows = [], encoder.rows
    encoder.rows = lambda inputs: sizes.append(sum(map(len, inputs))) or rows(inputs)
    answers = list(encoder.encode(utterances))
    assert max(sizes) == 4 and sum(sizes) == sum(len(answer.frames) for answer in answers[:3])
    assert isinstance(answers[3], Rejected) and is_absence(answers[3])
    network = load_denseface(face_weights)
    for answer, path in zip(answers, videos, strict=False):
        (faces,) = FaceReader()([Clip(path)])
        expected = torch.cat([network(prepared(patch[None]))[0] for patch in faces.patches])
        np.testing.assert_allclose(answer.frames, expected.detach().numpy(), atol=1e-5)
        np.testing.assert_array_equal(answer.times, faces.times)


def test_as_many_faces_at_once_as_a_cpu_has_room_for(face_weights):
    assert (
        DensefaceRows(Settings(weights=face_weights), device="cpu").batch_faces == 8 < faces_at_once("cuda")
    )
