"""Every encoder that runs a network, on a CUDA device that is not there: it meets nothing of the host.

Here the host waits for the rows, and for nothing else.
"""

import numpy as np
import pytest
import torch

from cmarr.encoders.pretrained import Arithmetic
from cmarr.encoders.registry import takes_device
from cmarr.encoders.trainable import from_checkpoint
from cmarr.plugins import ENCODERS, names
from tests.encoders.test_encoders import build  # noqa: F401
from tests.fake_device import Device
from tests.finetuning.conftest import READING, sounds, texts

GENERATOR = np.random.default_rng(0)
INPUTS = {
    "s": [GENERATOR.normal(size=n).astype(np.float32) for n in (6000, 4000)],
    "v": [GENERATOR.integers(0, 256, (n, 64, 64), dtype=np.uint8) for n in (2, 1)],
    "t": [GENERATOR.integers(5, 60, n) for n in (7, 4)],
}
"""Modality -> what a network reads of two utterances: samples, faces, numbers of word pieces."""


def rows(encoder) -> list[np.ndarray]:
    """Of the inputs of its modality."""
    network = encoder.rows if callable(getattr(encoder, "rows", None)) else encoder.network
    return network(INPUTS[encoder.modality])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", [name for name in names(ENCODERS) if takes_device(name)])
def test_rows_on_a_device_are_those_of_the_host(name, precision, build):  # noqa: F811
    expected = rows(build(name, precision=precision, device="cpu"))
    with Device(waits=True) as device:
        found = rows(build(name, precision=precision, device="cuda"))
    assert device.products
    if precision == "fp32":
        assert set(device.products) == {torch.float32}
        for own, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(own, other, rtol=1e-4, atol=1e-5)
    else:
        assert torch.bfloat16 in device.products
        assert [own.shape for own in found] == [own.shape for own in expected]


def test_what_lies_on_the_host_is_noticed(build, monkeypatch):  # noqa: F811
    monkeypatch.setattr(Arithmetic, "place", lambda self, network: network)
    with Device(waits=True), pytest.raises(AssertionError):
        rows(build("bert", device="cuda"))


@pytest.mark.parametrize(("name", "given"), [("wav2vec2", sounds(2400, 801)), ("bert", texts(3, 5))])
def test_a_network_that_is_trained_gives_the_rows_of_the_host_on_a_device(
    name, given, speech_model, text_model
):
    model = {"wav2vec2": speech_model["wav2vec2"], "bert": text_model["bert"]}[name]
    network, _ = from_checkpoint(name, READING[name] | {"model": model})
    network.eval()
    inputs = torch.cat(given), torch.tensor([len(own) for own in given])
    expected, lengths = network(*inputs)
    with Device(waits=True):
        found, counts = network.to("cuda")(*(x.to("cuda") for x in inputs))
        assert counts.cpu().equal(lengths)
    torch.testing.assert_close(found.value, expected.detach(), rtol=1e-4, atol=1e-5)
