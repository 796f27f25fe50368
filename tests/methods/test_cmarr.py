"""CM-ARR as a whole: what each loss sees, natural absence, and what each switch changes."""

from dataclasses import replace

import pytest
import torch

from cmarr.data.batch import visibility
from cmarr.errors import UserError
from cmarr.methods.asking import fused, predictions, training_losses
from cmarr.modalities import INCOMPLETE, MODALITIES
from cmarr.settings.declared import method_section


def losses(method, batch, visible, seed: int = 3):
    torch.manual_seed(seed)  # dropout
    return training_losses(method, batch, visible)


READERS = [
    {},
    {"averaging": "precision"},
    {"query": "recovered"},
    {"flow_input": "features"},
    {"resample_first": True},
    {"recovery": "mean"},
    {"recovery": "zeros"},
    {"nll_weight": 0.1, "entropy_weight": 0.1},
    {"fusion": "pooled", "same_utterance": True},
    {"sugr": "variance", "mcbcl_combination": 0.1, "mcbcl_category": 0.1},
]
"""Switches that read representations, uncertainties or masks where the others do not."""


def noise_where(batch, hidden):
    """The same batch, the frames of the cells (B, 3) that are hidden replaced by large noise."""
    noisy = batch
    for i, m in enumerate(MODALITIES):
        rows = torch.repeat_interleave(hidden[:, i], batch.lengths[m])
        generator = torch.Generator().manual_seed(i)
        noise = 50 * torch.randn(batch.values[m].shape, generator=generator)
        values = {**noisy.values, m: torch.where(rows[:, None], noise, batch.values[m])}
        noisy = replace(noisy, values=values)
    return noisy


class TestObjective:
    def test_four_terms(self, small):
        batch = small.batch()
        terms = training_losses(small.method("cmarr"), batch, small.masks(batch))
        assert list(terms) == ["udcl", "spcl", "rec", "cls"]

    @pytest.mark.parametrize(("key", "term"), [("alpha", "udcl"), ("beta", "spcl"), ("lambda_", "rec")])
    def test_each_weight_scales_its_term_and_no_other(self, small, key, term):
        batch = small.batch()
        visible = small.masks(batch)
        once = losses(small.method("cmarr", **{key: 1.0}), batch, visible)
        twice = losses(small.method("cmarr", **{key: 2.0}), batch, visible)
        for name in once:
            torch.testing.assert_close(twice[name], once[name] * (2 if name == term else 1))

    @pytest.mark.parametrize(("key", "term"), [("alpha", "udcl"), ("beta", "spcl"), ("lambda_", "rec")])
    def test_a_weight_of_zero_drops_the_term(self, small, key, term):
        batch = small.batch()
        assert term not in losses(small.method("cmarr", **{key: 0.0}), batch, small.masks(batch))

    def test_a_gradient_reaches_every_parameter(self, small):
        method, batch = small.method("cmarr", d=32), small.batch(24)
        small.train(method, batch, small.masks(batch), 3)  # away from the flows' start as the identity
        method.zero_grad()
        sum(losses(method, batch, small.masks(batch)).values()).backward()
        still = [n for n, p in method.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
        assert not still

    def test_scores_are_contrasted_by_their_signs(self, small):
        batch = small.batch(16, regression=True)
        opposite = replace(batch, labels=batch.labels * torch.tensor([-1.0, 1.0]).repeat(8))
        found = [
            losses(small.method("cmarr", task=small.scores), given, small.masks(batch))["spcl"]
            for given in (batch, replace(batch, labels=3 * batch.labels), opposite)
        ]
        assert found[0] > 0
        assert torch.equal(found[0], found[1])
        assert not torch.isclose(found[0], found[2])

    def test_alignment_learns_to_retrieve(self, small):
        method, batch = small.method("cmarr", beta=0.0, lambda_=0.0), small.batch(16, absent=0.0)
        visible = visibility("svt", 16)
        before = losses(method, batch, visible)["udcl"].item()
        small.train(method, batch, visible, 30, lr=1e-2)
        assert losses(method, batch, visible)["udcl"].item() < 0.5 * before

    def test_recovery_learns_what_the_modalities_share(self, small):
        method = small.method("cmarr", alpha=0.0, beta=0.0, dropout=0.0)
        batch = small.batch(16, absent=0.0)
        visible = small.masks(batch)
        before = losses(method, batch, visible)["rec"].item()
        small.train(method, batch, visible, 40, lr=1e-2)
        assert losses(method, batch, visible)["rec"].item() < 0.7 * before


class TestMasks:
    @pytest.mark.parametrize("condition", INCOMPLETE)
    def test_hidden_modalities_touch_only_contrast_and_target(self, small, condition):
        """From the very first batch on, which starts ActNorm: recognition and SPCL do not move."""
        batch, visible = small.batch(absent=0.0), visibility(condition, 10)
        noisy = batch
        for m in set(MODALITIES) - set(condition):
            noisy = small.with_noise(noisy, m)
        clean_method, noisy_method = small.method("cmarr"), small.method("cmarr")
        clean, moved = losses(clean_method, batch, visible), losses(noisy_method, noisy, visible)
        assert torch.equal(clean["cls"], moved["cls"])
        assert torch.equal(clean["spcl"], moved["spcl"])
        assert not torch.equal(clean["udcl"], moved["udcl"])
        assert not torch.equal(clean["rec"], moved["rec"])
        for key, value in clean_method.recovery.flows.state_dict().items():
            assert torch.equal(value, noisy_method.recovery.flows.state_dict()[key])

    @pytest.mark.parametrize("settings", READERS, ids=str)
    def test_nothing_leaks_whatever_is_switched_on(self, small, settings):
        """Every utterance under a condition of its own; what its mask hides becomes noise."""
        batch = small.batch(24, absent=0.1)
        visible = small.masks(batch)
        noisy = noise_where(batch, ~visible)
        for mode in (True, False):
            clean, moved = (
                losses(small.method("cmarr", **settings).train(mode), given, visible)
                for given in (batch, noisy)
            )
            for name in clean.keys() & {"udcl", "entropy"}:  # in training all that exist are aligned
                assert not torch.equal(clean[name], moved[name]), name
            for name in clean.keys() - {"udcl", "rec", "entropy"}:
                assert torch.equal(clean[name], moved[name]), name
        method = small.method("cmarr", **settings)
        small.train(method, batch, visible, 2)
        for mode in (True, False):
            answers = []
            for given in (batch, noisy):
                torch.manual_seed(1)
                answers.append(predictions(method.train(mode), given, {"x": visible})["x"])
            assert torch.equal(answers[0].logits, answers[1].logits)
            for m in MODALITIES:
                assert torch.equal(answers[0].recovered[m], answers[1].recovered[m])
        vectors = [fused(method.eval(), given, {"x": visible})["x"] for given in (batch, noisy)]
        assert torch.equal(*vectors)

    def test_a_hidden_modality_gets_a_gradient_from_the_contrast_alone(self, small):
        method, batch = small.method("cmarr"), small.batch(absent=0.0)
        terms = losses(method, batch, visibility("sv", 10))
        (terms["spcl"] + terms["rec"] + terms["cls"]).backward(retain_graph=True)
        text = list(method.representations["t"].parameters())
        assert not any(p.grad is not None and p.grad.any() for p in text)
        terms["udcl"].backward()
        assert any(p.grad is not None and p.grad.any() for p in text)

    def test_complete_data_recover_nothing(self, small):
        batch = small.batch(absent=0.0)
        method = small.method("cmarr")
        assert losses(method, batch, visibility("svt", 10))["rec"].item() == 0.0
        answer = predictions(method, batch, {"svt": visibility("svt", 10)})["svt"]
        assert not any(rows.any() for rows in answer.recovered_rows.values())


class TestNaturalAbsence:
    def test_rec_asks_for_no_truth_that_does_not_exist(self, small):
        """Hiding what is absent anyway changes no loss."""
        batch = small.batch()
        visible = visibility("svt", 10)
        hidden = batch.available.clone()
        first = losses(small.method("cmarr"), batch, visible)
        second = losses(small.method("cmarr"), batch, hidden)
        assert first["rec"].item() == 0.0
        assert all(torch.equal(first[name], second[name]) for name in first)

    def test_an_absent_modality_enters_no_contrast(self, small):
        """The absent modality's own weights get a gradient from recognition and fusion alone."""
        method = small.method("cmarr")
        batch = small.without(small.batch(absent=0.0), "v")
        terms = losses(method, batch, small.masks(batch))
        (terms["udcl"] + terms["spcl"] + terms["rec"]).backward()
        assert not any(p.grad is not None and p.grad.any() for p in method.representations["v"].parameters())
        reconstruction = method.recovery.reconstructions["v"].parameters()
        assert not any(p.grad is not None and p.grad.any() for p in reconstruction)

    def test_an_absent_modality_is_recovered_for_the_answer(self, small):
        method = small.method("cmarr").eval()
        batch = small.batch()
        answer = predictions(method, batch, {"svt": visibility("svt", 10)})["svt"]
        for i, m in enumerate(MODALITIES):
            wanted = ~batch.available[:, i] & batch.available.any(1)
            assert torch.equal(answer.recovered_rows[m], wanted)
            assert answer.recovered[m].shape == (10, 4, 8)
            assert not answer.recovered[m][~wanted].any()

    def test_a_batch_in_which_speech_never_exists_leaves_its_flow_waiting(self, small):
        method = small.method("cmarr")
        batch = small.without(small.batch(absent=0.0), "s")
        losses(method, batch, visibility("svt", 10))
        assert not method.recovery.flows["s"].initialised
        assert method.recovery.flows["t"].initialised


class TestRepresentations:
    def test_recovered_and_true_are_comparable(self, small):
        method, batch = small.method("cmarr").eval(), small.batch()
        visible = visibility("s", 10)
        loss = training_losses(method, batch, visible)["rec"]
        truths = method.truths(batch)
        answer = predictions(method, batch, {"s": visible})["s"]
        masked = batch.available & ~visible & (batch.available & visible).any(1, keepdim=True)
        errors = []
        for i, m in enumerate(MODALITIES):
            assert truths[m].shape == answer.recovered[m].shape
            assert not truths[m][batch.lengths[m] == 0].any()
            errors.append((answer.recovered[m] - truths[m])[masked[:, i]].flatten())
        torch.testing.assert_close(loss, 10 * torch.cat(errors).square().mean())  # lambda = 10

    def test_diagnostics_of_what_is_available(self, small):
        method, batch = small.method("cmarr"), small.without(small.batch(absent=0.0), "v")
        losses(method, batch, visibility("svt", 10))
        watched = method.diagnostics(batch)
        kinds = ("sigma", "deviation", "bits", "inverse_error")
        shares = {f"gradient/{loss}" for loss in ("udcl", "spcl", "rec", "cls")}
        pairs = {"similarity_spread", "retrieval"}
        assert set(watched) - shares - pairs == {f"{kind}/{m}" for kind in kinds for m in "st"}
        assert all(value.isfinite() for value in watched.values())
        complete = method.diagnostics(small.batch(absent=0.0))
        assert complete["similarity_spread"] > 0

    @pytest.mark.parametrize(
        ("settings", "knows"),
        [
            ({}, True),
            ({"alpha": 0.0}, False),  # X comes from mu alone
            ({"flow_input": "features"}, True),
            ({"flow_input": "features", "alpha": 0.0}, False),
            ({"flow_input": "features", "alpha": 0.0, "averaging": "precision"}, True),
            ({"flow_input": "features", "alpha": 0.0, "entropy_weight": 0.1}, True),
            ({"contrast": "point"}, False),
            ({"contrast": "point", "averaging": "precision"}, True),
            ({"alpha": 0.0, "averaging": "precision", "recovery": "zeros"}, False),
        ],
    )
    def test_a_sigma_that_no_loss_reaches_is_not_told(self, small, settings, knows):
        method, batch = small.method("cmarr", **settings), small.batch()
        small.train(method, batch, small.masks(batch), 2)  # away from the start, which lets little through
        method.zero_grad()
        sum(losses(method, batch, small.masks(batch)).values()).backward()
        gaussians = [p.grad for n, p in method.named_parameters() if ".uncertainty.log_sigma" in n]
        assert any(grad is not None and bool(grad.any()) for grad in gaussians) == knows
        assert set(method.spreads(batch)) == (set(MODALITIES) if knows else set())

    def test_with_one_modality_nothing_trains_sigma(self, small):
        assert small.method("cmarr", {"s": 6}).spreads(small.batch(dims={"s": 6})) == {}

    def test_looking_changes_nothing(self, small):
        """Neither weights nor buffers nor the random numbers of training, also before the first step."""
        method, batch = small.method("cmarr").eval(), small.batch(absent=0.0)
        before = {name: value.clone() for name, value in method.state_dict().items()}
        torch.manual_seed(1)
        expected = torch.rand(1)
        torch.manual_seed(1)
        method.diagnostics(batch)
        assert torch.equal(torch.rand(1), expected)
        assert all(torch.equal(value, before[name]) for name, value in method.state_dict().items())
        assert all(p.grad is None for p in method.parameters())

    def test_gradient_shares_add_up_and_follow_the_weights(self, small):
        batch = small.batch(absent=0.0)
        shares = {}
        for alpha in (1.0, 10.0):
            watched = small.method("cmarr", alpha=alpha).eval().diagnostics(batch)
            shares[alpha] = {name: v for name, v in watched.items() if name.startswith("gradient/")}
            assert sum(shares[alpha].values()).item() == pytest.approx(1.0)
        odds = {a: (s["gradient/udcl"] / (1 - s["gradient/udcl"])).item() for a, s in shares.items()}
        assert odds[10.0] == pytest.approx(10 * odds[1.0], rel=1e-3)
        assert "gradient/udcl" not in small.method("cmarr", alpha=0.0).eval().diagnostics(batch)
        usual = small.method("cmarr").eval().diagnostics(batch)
        quiet = small.method("cmarr", gradient_shares=False).eval().diagnostics(batch)
        assert set(usual) - set(quiet) == set(shares[1.0])

    @pytest.mark.parametrize("broken", [1e4, float("nan")])
    def test_a_diverging_inverse_is_named(self, small, broken):
        method, batch = small.method("cmarr"), small.batch(absent=0.0)
        losses(method, batch, small.masks(batch))
        method.diagnostics(batch)
        with torch.no_grad():  # a mixing matrix that fp32 cannot invert
            method.recovery.flows["v"].triangles[0].fill_(broken).fill_diagonal_(0.0)
        with pytest.raises(
            UserError, match=r"inverse of the flow of video diverges: .* off by .*lower train\.lr"
        ):
            method.diagnostics(batch)

    def test_one_step_for_each_utterance(self, small):
        """Corpora of one vector a modality: L = 1."""
        method, batch = small.method("cmarr", length=1), small.batch(longest=1)
        history = small.train(method, batch, small.masks(batch), 5)
        assert torch.tensor(history).isfinite().all()
        assert method.truths(batch)["t"].shape == (10, 1, 8)

    def test_flows_invert_after_training(self, small):
        method, batch = small.method("cmarr", flow_steps=4), small.batch(16, absent=0.0)
        small.train(method, batch, small.masks(batch), 30, lr=5e-3)
        for m, x in method.eval().truths(batch).items():
            assert method.recovery.inverse_error(m, x) < 1e-4


EVERYTHING = {"udcl", "spcl", "rec", "cls"}
RECOVERY = {"spcl", "rec", "cls"}  # what sees recovered representations
SWITCHES = [
    # alignment
    ("contrast", "point", {"udcl"}),
    ("sigma", "variance", {"udcl"}),
    ("similarity_scale", "fixed", {"udcl"}),
    ("directions", "mean", {"udcl"}),
    ("entropy_weight", 0.01, {"entropy"}),
    # reconstruction
    ("flow_input", "features", RECOVERY),
    ("resample_first", True, EVERYTHING),
    ("normalise", False, RECOVERY),
    ("mixing", "permutation", RECOVERY),
    ("recovery", "mean", RECOVERY),
    ("recovery", "zeros", RECOVERY),
    ("averaging", "precision", RECOVERY),
    ("reconstruction", "frobenius_sum", {"rec"}),
    ("nll_weight", 0.1, {"nll"}),
    ("flow_steps", 3, RECOVERY),
    ("blocks", 2, RECOVERY),
    # refinement
    ("temperature", 0.5, {"spcl"}),
    ("same_utterance", True, {"spcl"}),
    ("fusion", "two_blocks", {"cls"}),
    ("fusion", "pooled", {"cls"}),
    ("query", "recovered", {"cls"}),
    ("dropout", 0.5, {"cls"}),
    # MCUR's parts
    ("mcbcl_combination", 0.1, {"mcbcl"}),
    ("mcbcl_category", 0.1, {"mcbcl"}),
    ("sugr", "variance", {"sugr"}),
    ("sugr", "entropy", {"cls"}),
]


def with_weights_of(method, other):
    """The method with every weight that the other has in the same shape: another switch draws other numbers."""
    given = other.state_dict()
    own = method.state_dict()
    shared = {n: v for n, v in given.items() if n in own and own[n].shape == v.shape}
    shared = {
        n: v for n, v in shared.items() if not n.startswith("distribution_contrast.")
    }  # its scale is a switch
    method.load_state_dict(own | shared)
    return method


class TestSwitches:
    @pytest.mark.parametrize(("switch", "value", "changed"), SWITCHES)
    def test_a_switch_changes_the_terms_it_names_and_no_other(self, small, switch, value, changed):
        batch = small.batch()
        visible = small.masks(batch)
        moved = small.method("cmarr")
        small.train(moved, batch, visible, 2)  # away from the flows' start as the identity
        started = ("initialised", "log_scale", "shift", "started")
        state = {n: v for n, v in moved.state_dict().items() if not n.endswith(started)}
        usual, other = small.method("cmarr"), small.method("cmarr", **{switch: value})
        usual.load_state_dict(usual.state_dict() | state)
        with_weights_of(other, usual)
        before, after = losses(usual, batch, visible), losses(other, batch, visible)
        differ = {n for n in before.keys() & after.keys() if not torch.allclose(before[n], after[n])}
        assert differ | (before.keys() ^ after.keys()) == changed

    def test_every_switch_of_the_settings_is_tried(self):
        sizes = {"d", "length", "heads", "coupling_hidden"}  # of everything: nothing is left to compare
        elsewhere = {"train", "tau", "entropy_floor", "staged", "gradient_shares"}
        elsewhere |= {"mcbcl_temperature", "sugr_direction", "sugr_warm_up"}
        elsewhere |= {
            "zero_start",
            "draws",
        }  # of weights, which are the same here; and tests/methods/test_anchored.py
        tried = {switch for switch, _, _ in SWITCHES}
        assert tried | sizes | elsewhere == set(method_section("cmarr").model_fields)

    def test_a_start_at_zero_answers_as_if_nothing_were_recovered(self, small):
        batch = small.batch()
        visible = {"t": visibility("t", 10)}
        recovering = small.method("cmarr", zero_start=True).eval()
        plain = with_weights_of(small.method("cmarr", recovery="zeros"), recovering).eval()
        here, there = (predictions(method, batch, visible)["t"] for method in (recovering, plain))
        torch.testing.assert_close(here.logits, there.logits)
        assert here.recovered_rows["s"].any()
        small.train(recovering, batch, small.masks(batch), 3)
        later = predictions(recovering.eval(), batch, visible)["t"]
        assert later.recovered["s"].any()

    def test_the_temperature_starts_where_it_is_told(self, small):
        # With a learned scale only the ratio a / tau counts, and its start is fitted to the batch.
        batch = small.batch()
        cold = losses(small.method("cmarr", similarity_scale="fixed", tau=0.07), batch, small.masks(batch))
        warm = losses(small.method("cmarr", similarity_scale="fixed", tau=0.7), batch, small.masks(batch))
        assert not torch.isclose(cold["udcl"], warm["udcl"])
        assert torch.equal(cold["cls"], warm["cls"])

    @pytest.mark.parametrize(
        "settings",
        [
            {"flow_input": "features"},
            {"mixing": "permutation"},
            {"recovery": "mean"},
            {"recovery": "zeros"},
            {"fusion": "two_blocks"},
            {"fusion": "pooled"},
            {"nll_weight": 0.1},
            {"zero_start": True},
            {"entropy_weight": 0.01},
            {"coupling_hidden": 3},
        ],
        ids=str,
    )
    def test_every_variant_trains_and_answers(self, small, settings):
        method, batch = small.method("cmarr", **settings), small.batch()
        history = small.train(method, batch, small.masks(batch), 4)
        assert torch.tensor(history).isfinite().all()
        assert predictions(method.eval(), batch, {"s": visibility("s", 10)})["s"].logits.isfinite().all()

    def test_zeros_recover_nothing_and_have_no_reconstruction_loss(self, small):
        method, batch = small.method("cmarr", recovery="zeros"), small.batch()
        terms = losses(method, batch, small.masks(batch))
        assert list(terms) == ["udcl", "spcl", "cls"]

    def test_where_nothing_is_recovered_what_is_hidden_takes_no_part_in_the_contrast(self, small):
        batch = small.batch(absent=0.0)
        hidden = losses(small.method("cmarr", recovery="zeros"), batch, visibility("st", 10))
        absent = losses(
            small.method("cmarr", recovery="zeros"), small.without(batch, "v"), visibility("svt", 10)
        )
        torch.testing.assert_close(hidden["spcl"], absent["spcl"])

    def test_the_likelihood_term_does_not_move_what_it_looks_at(self, small):
        method, batch = small.method("cmarr", nll_weight=1.0), small.batch()
        losses(method, batch, small.masks(batch))["nll"].backward()
        moved = {n.split(".")[0] for n, p in method.named_parameters() if p.grad is not None and p.grad.any()}
        assert moved == {"recovery"}

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"heads": 3}, "heads must be even and divide d = 8"),
            ({"d": 9}, "heads must be even and divide d = 9"),
            ({"length": 0}, "length.* 1"),
        ],
    )
    def test_sizes_that_do_not_fit_are_refused_by_key(self, small, settings, message):
        with pytest.raises(UserError, match=rf"method\.cmarr.*{message}"):
            small.method("cmarr", **settings)


def test_autocast_keeps_losses_in_full_precision(small):
    method, batch = small.method("cmarr"), small.batch()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = training_losses(method, batch, small.masks(batch))
    assert all(term.dtype == torch.float32 and term.isfinite() for term in terms.values())
    sum(terms.values()).backward()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_the_answers_are_those_of_the_cpu(small):
    method, batch = small.method("cmarr").eval(), small.batch()
    here = predictions(method, batch, {"s": visibility("s", 10)})["s"].logits
    there = replace(
        batch,
        values={m: v.cuda() for m, v in batch.values.items()},
        lengths={m: n.cuda() for m, n in batch.lengths.items()},
        available=batch.available.cuda(),
        labels=batch.labels.cuda(),
    )
    answer = predictions(method.cuda(), there, {"s": visibility("s", 10, "cuda")})["s"].logits
    torch.testing.assert_close(answer.cpu(), here, atol=1e-3, rtol=1e-3)
