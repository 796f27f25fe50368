"""Eq 6-8: latents averaged, inverted, reconstructed, and only where they have to be."""

import pytest
import torch

from cmarr.layers.recovery import Recovery

MODALITIES = ("s", "v", "t")


def recovery(**settings) -> Recovery:
    torch.manual_seed(0)
    made = Recovery(MODALITIES, d=4, flow_steps=2, coupling_hidden=4, mixing="lu", blocks=1, **settings)
    with torch.no_grad():
        for p in made.flows.parameters():
            p.add_(0.3 * torch.randn_like(p))
        for name, p in made.reconstructions.named_parameters():
            if name.endswith("attention.0.bias"):
                p.fill_(1.0)  # the single squeezed unit of so few channels must not start dead
    return made


def inputs(rows: int = 7, length: int = 3) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {m: torch.randn(rows, length, 4, generator=generator) for m in MODALITIES}


def pattern(*rows: str) -> torch.Tensor:
    return torch.tensor([[m in row for m in MODALITIES] for row in rows])[None]


SEVEN = pattern("t", "s", "v", "vt", "sv", "st", "svt")
ONE = {m: torch.ones(7, 3, 1) for m in MODALITIES}


def through(module: Recovery, m: str, x: torch.Tensor, inverse: bool = False) -> torch.Tensor:
    flow = module.flows[m]
    return (flow.inverse if inverse else flow)(x.flatten(0, 1))[0].view_as(x)


def test_usable_modalities_stay_what_they_are():
    x = inputs()
    completed = recovery()(x, SEVEN, ONE)
    for i, m in enumerate(MODALITIES):
        kept = SEVEN[0, :, i]
        assert torch.equal(completed.x[m][0, kept], x[m][kept])
        assert torch.equal(completed.recovered[0, :, i], ~kept)


def test_one_usable_modality_lends_its_latent():
    module, x = recovery(), inputs()
    completed = module(x, SEVEN, ONE)
    latent = through(module, "s", x["s"][1:2])  # row 1: only speech
    expected = module.reconstructions["t"](through(module, "t", latent, inverse=True))
    torch.testing.assert_close(completed.x["t"][0, 1:2], expected, atol=1e-5, rtol=1e-5)


def test_two_usable_modalities_lend_the_mean_of_their_latents():
    module, x = recovery(), inputs()
    completed = module(x, SEVEN, ONE)
    latent = (through(module, "s", x["s"][4:5]) + through(module, "v", x["v"][4:5])) / 2  # Eq 7
    expected = module.reconstructions["t"](through(module, "t", latent, inverse=True))
    torch.testing.assert_close(completed.x["t"][0, 4:5], expected, atol=1e-5, rtol=1e-5)


def test_precision_weighs_the_latents():
    module, x = recovery(averaging="precision"), inputs()
    precision = {**ONE, "s": 3 * ONE["s"]}
    completed = module(x, SEVEN, precision)
    latent = 0.75 * through(module, "s", x["s"][4:5]) + 0.25 * through(module, "v", x["v"][4:5])
    expected = module.reconstructions["t"](through(module, "t", latent, inverse=True))
    torch.testing.assert_close(completed.x["t"][0, 4:5], expected, atol=1e-5, rtol=1e-5)


def test_without_flows_the_usable_representations_are_averaged():
    module, x = recovery(through="mean"), inputs()
    assert not module.flows
    expected = module.reconstructions["t"]((x["s"][4:5] + x["v"][4:5]) / 2)
    torch.testing.assert_close(module(x, SEVEN, ONE).x["t"][0, 4:5], expected, atol=1e-5, rtol=1e-5)


def test_zeros_recover_nothing():
    module, x = recovery(through="zeros"), inputs()
    completed = module(x, SEVEN, ONE)
    assert not list(module.parameters())
    assert not completed.recovered.any()
    assert not completed.x["s"][0, 0].any()  # row 0: only text


def test_nothing_usable_recovers_nothing():
    completed = recovery()(inputs(2), pattern("", "t"), ONE)
    assert completed.recovered[0].tolist() == [[False] * 3, [True, True, False]]
    assert not any(completed.x[m][0, 0].any() for m in MODALITIES)


def test_several_patterns_at_once():
    module, x = recovery(), inputs(2)
    both = torch.cat([pattern("t", "st"), pattern("sv", "svt")])
    together = module(x, both, ONE)
    for p in range(2):
        alone = module(x, both[p : p + 1], ONE)
        for m in MODALITIES:
            torch.testing.assert_close(together.x[m][p], alone.x[m][0], atol=1e-5, rtol=1e-5)


def test_actnorm_starts_from_usable_rows_alone():
    x = inputs()
    noisy = {m: torch.where(SEVEN[0, :, i, None, None], x[m], 1e3) for i, m in enumerate(MODALITIES)}
    module, other = recovery(), recovery()
    module.start(x, SEVEN[0])
    other.start(noisy, SEVEN[0])
    for m in MODALITIES:
        assert module.flows[m].initialised
        assert torch.equal(module.flows[m].log_scale, other.flows[m].log_scale)
    rows = x["s"][SEVEN[0, :, 0]].flatten(0, 1)
    first = rows * module.flows["s"].log_scale[0].exp() + module.flows["s"].shift[0]
    torch.testing.assert_close(first.mean(0), torch.zeros(4), atol=1e-5, rtol=0)


def test_flows_stay_in_full_precision_under_autocast():
    module, x = recovery(), inputs()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert module.inverse_error("s", x["s"].bfloat16()) < 1e-4
        assert module.latent("s", x["s"].bfloat16()).dtype == torch.float32
        assert module(x, SEVEN, ONE).x["t"].dtype == torch.float32


@pytest.mark.parametrize("through_", ["flow", "mean"])
def test_gradients_reach_flows_and_blocks(through_):
    module, x = recovery(through=through_), inputs()
    sum(c.square().sum() for c in module(x, SEVEN, ONE).x.values()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())
