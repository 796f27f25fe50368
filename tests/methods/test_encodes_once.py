"""Seven conditions cost one encoding of each modality, not seven."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from cmarr.data.batch import visibility
from cmarr.methods.asking import predictions
from cmarr.methods.pooled import StandardFeatures
from cmarr.methods.registry import method_names
from cmarr.modalities import CONDITIONS, MODALITIES

ENCODERS = {
    "cmarr": lambda method, m: [method.representations[m]],
    "masked": lambda method, m: [method.projections[m]],
    "cra": lambda method, m: [method.encoders[m]],
    "mmin": lambda method, m: [method.encoders[m]],
    "if_mmin": lambda method, m: [method.encoders[m]],
    "cif_mmin": lambda method, m: [method.encoders[m], method.invariant[m]],
    "dicmor": lambda method, m: [method.encoders[m]],
    "mcur": lambda method, m: [method.recogniser.backbone.encoders[m]],
    "cmad": lambda method, m: [method.recogniser.backbone.encoders[m]],
    "primd": lambda method, m: [method.network.encoders[m]],
    "imder": lambda method, m: [method.encoders[m]],
    "momke": lambda method, m: [method.projections[m]],
    "cyin": lambda method, m: [method.bottlenecks[m]],
}
"""Method of ours -> the networks that read a modality's features."""

POOLED = ("linear", "gbdt", "gaussian", "recovered")
"""Methods without encoders, which read statistics of the features."""


class Counted(dict[str, torch.Tensor]):
    """Features that count how often they are read."""

    reads = 0

    def __getitem__(self, modality: str) -> torch.Tensor:
        self.reads += 1
        return super().__getitem__(modality)


@pytest.mark.parametrize("name", method_names())
def test_seven_conditions_read_the_features_as_often_as_one(small, name):
    method, batch = small.method(name).eval(), small.batch(absent=0.0)
    predict = method.predict

    def reads(*conditions: str) -> int:
        counted = []

        def spied(given):
            counted.append(Counted(given.values))
            return predict(replace(given, values=counted[-1]))

        method.predict = spied
        predictions(method, batch, {c: visibility(c, 10) for c in conditions})
        assert len(counted) == 1
        return counted[0].reads

    assert reads(*CONDITIONS) == reads("svt") > 0


@pytest.mark.parametrize("name", ENCODERS)
def test_each_modality_is_encoded_once(small, name):
    method, batch = small.method(name).eval(), small.batch(absent=0.0)
    read: dict[nn.Module, list[int]] = {}
    for m in MODALITIES:
        for encoder in ENCODERS[name](method, m):
            read[encoder] = []
            encoder.register_forward_hook(lambda module, given, out: read[module].append(len(given[0])))
    with torch.no_grad():
        predictions(method, batch, {c: visibility(c, 10) for c in CONDITIONS})
    for calls in read.values():
        # Beside the features themselves, a single row of zeros may be read: what stands for a missing modality.
        assert len([rows for rows in calls if rows > 1]) == 1
        assert len(calls) <= 3


@pytest.mark.parametrize("name", POOLED)
def test_features_are_pooled_once(small, name, monkeypatch):
    method, batch, calls = small.method(name), small.batch(), []
    standard = StandardFeatures.standard
    monkeypatch.setattr(
        StandardFeatures, "standard", lambda self, given, m: calls.append(m) or standard(self, given, m)
    )
    predictions(method, batch, {c: visibility(c, 10) for c in CONDITIONS})
    assert sorted(calls) == sorted(MODALITIES)
