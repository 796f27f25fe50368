"""Every method fitted, calibrated and asked on a CUDA device that is not there: what it answers.

The host may wait for the device here; the two may not meet in one operation.
"""

import pytest
import torch

from cmarr.data.normalise import Normaliser
from cmarr.methods.inference import recoveries, representations, split_logits, spreads
from cmarr.methods.protocol import Calibrated, ClosedForm, Concluded, Grounded, Recovers, Represents
from cmarr.methods.registry import method_class, method_names
from cmarr.modalities import CONDITIONS
from cmarr.training.loop import diagnostics
from tests.fake_device import Device, Mixed
from tests.training.test_step import DIMS, built, random_store


def asked(name: str, device: str) -> dict[str, torch.Tensor]:
    """All that an evaluation asks a method for, after what it learns from a whole split, as arrays of the host."""
    switches = method_class(name).Settings.model_fields.keys() & {"gradient_shares"}  # need a backward pass
    method, modules = built(name, **dict.fromkeys(switches, False))
    store, normaliser = random_store().to(device), Normaliser(DIMS).to(device)
    for module in modules:
        module.to(device)
    whole = normaliser(store.batch(torch.arange(len(store))))
    if isinstance(method, Grounded):
        method.ground(whole)
    if isinstance(method, ClosedForm):
        method.fit(whole, torch.Generator().manual_seed(0))
    if isinstance(method, Concluded):
        method.conclude(whole)
    if isinstance(method, Calibrated):
        method.calibrated(method.calibrate(whole))
    given = method, normaliser, store
    found = dict(split_logits(*given, CONDITIONS))
    found |= {f"spread {m}": own.nan_to_num() for m, own in spreads(*given).items()}
    found |= {name: torch.tensor(value) for name, value in diagnostics(*given).items()}
    if isinstance(method, Represents):
        found |= {f"h {c}": torch.from_numpy(h) for c, h in representations(*given).items()}
    if isinstance(method, Recovers):
        own = recoveries(*given)
        found |= {f"true {m}": torch.from_numpy(x) for m, x in own.truths.items()}
        for (sources, missing), x in own.recovered.items():
            rows = own.rows(sources, missing)
            found[f"{sources} to {missing}"] = torch.from_numpy(x[rows])
    return found


@pytest.mark.parametrize("name", method_names())
def test_what_is_learnt_and_answered_on_a_device_is_that_of_the_host(name):
    expected = asked(name, "cpu")
    with Device(waits=True):
        found = asked(name, "cuda")
    assert found.keys() == expected.keys()
    for key, value in found.items():
        assert value.device.type == "cpu"
        torch.testing.assert_close(value, expected[key], rtol=1e-3, atol=1e-4)


def test_a_prediction_that_mixes_host_and_device_is_noticed(monkeypatch):
    from cmarr.methods.masked import Masked

    fused = Masked.fused
    monkeypatch.setattr(Masked, "fused", lambda method, batch: fused(method, batch) + torch.zeros(8))
    with Device(waits=True), pytest.raises(Mixed):
        asked("masked", "cuda")
