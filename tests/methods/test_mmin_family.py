"""MMIN, IF-MMIN and CIF-MMIN: sizes, losses, and what passes from stage 1 to stage 2."""

import pytest
import torch

from cmarr.data.batch import hide, visibility
from cmarr.methods._mmin import imagination_loss
from cmarr.methods.asking import predictions, training_losses
from cmarr.methods.protocol import Diagnosed, Started
from cmarr.methods.registry import build_method
from cmarr.modalities import MODALITIES
from cmarr.task import Task

FAMILY = ["mmin", "if_mmin", "cif_mmin"]
AUTHORS = {"s": 130, "v": 342, "t": 1024}
"""Feature widths of the authors: ComParE, Denseface, BERT-large."""

FOUR = Task(("angry", "happy", "neutral", "sad"))
NAMED = {
    "mmin": ["cls", "imagination", "cycle"],
    "if_mmin": ["cls", "imagination", "invariance"],
    "cif_mmin": ["cls", "imagination", "invariance"],
}


def quiet(small, name, **settings):
    """A method without dropout, so that a loss can be computed twice."""
    return small.method(name, **settings).eval()


@pytest.mark.parametrize(
    ("name", "count"), [("mmin", 5_444_228), ("if_mmin", 3_782_852), ("cif_mmin", 4_723_652)]
)
def test_parameters_of_the_authors(name, count):
    """5.44 M, 3.78 M and 4.72 M, as published; the frozen teacher is not counted, being another model."""
    method = build_method(name, AUTHORS, FOUR, {})
    method.start_from(build_method(name, AUTHORS, FOUR, {}, first_stage=True))
    assert sum(p.numel() for p in method.parameters()) == count


def test_a_shared_cascade_saves_one(small):
    own, shared = small.method("mmin"), small.method("mmin", shared_cascade=True)
    saved = sum(p.numel() for p in own.parameters()) - sum(p.numel() for p in shared.parameters())
    assert saved == sum(p.numel() for p in own.cascade.parameters())


@pytest.mark.parametrize("name", FAMILY)
class TestStages:
    def test_stage_two_starts_from_the_encoders_of_stage_one(self, small, name):
        first = small.first_stage(name)
        method = small.method(name)
        assert isinstance(method, Started)
        method.start_from(first)
        for key, value in first.encoders.state_dict().items():
            assert torch.equal(method.encoders.state_dict()[key], value)

    def test_the_teacher_is_frozen_and_no_part_of_the_method(self, small, name):
        method, batch = small.method(name), small.batch()
        teacher = method.first.model
        before = {k: v.clone() for k, v in teacher.state_dict().items()}
        own = {id(p) for p in method.parameters()}
        assert not own & {id(p) for p in teacher.parameters()}
        small.train(method, batch, small.masks(batch), 2)
        assert all(torch.equal(v, teacher.state_dict()[k]) for k, v in before.items())
        assert not teacher.training

    def test_training_without_stage_one_says_what_is_missing(self, small, name):
        method = build_method(name, small.dims, small.classes, small.sizes(name))
        batch = small.batch()
        with pytest.raises(RuntimeError, match=f"{name} trains from a stage-1 model"):
            training_losses(method, batch, small.masks(batch))

    def test_stage_one_recognises_under_any_condition(self, small, name):
        first, batch = small.first_stage(name).eval(), small.batch()
        answer = predictions(first, batch, {"st": visibility("st", 10)})["st"]
        noisy = predictions(first, small.with_noise(batch, "v"), {"st": visibility("st", 10)})["st"]
        assert answer.logits.shape == (10, 3)
        assert torch.equal(answer.logits, noisy.logits)

    def test_stage_one_learns(self, small, name):
        batch = small.batch(24, absent=0.0)
        first = small.first_stage(name, dropout=0.0, text_dropout=0.0)
        history = small.train(first, batch, visibility("svt", 24), 25)
        assert history[-1] < 0.8 * history[0]


@pytest.mark.parametrize("name", FAMILY)
class TestLosses:
    def test_their_names(self, small, name):
        batch = small.batch()
        assert list(training_losses(small.method(name), batch, small.masks(batch))) == NAMED[name]

    @pytest.mark.parametrize("term", [1, 2])
    def test_each_weight_scales_its_term(self, small, name, term):
        batch = small.batch()
        key, visible = f"{NAMED[name][term]}_weight", small.masks(batch)
        once = training_losses(quiet(small, name, **{key: 1.0}), batch, visible)
        thrice = training_losses(quiet(small, name, **{key: 3.0}), batch, visible)
        for loss in once:
            torch.testing.assert_close(thrice[loss], once[loss] * (3 if loss == NAMED[name][term] else 1))

    def test_complete_utterances_have_nothing_to_imagine(self, small, name):
        batch = small.batch(absent=0.0)
        losses = training_losses(quiet(small, name), batch, visibility("svt", 10))
        assert losses["imagination"].item() == 0.0

    def test_what_is_hidden_is_a_target_and_nothing_else(self, small, name):
        batch, visible = small.batch(absent=0.0), visibility("st", 10)
        clean = training_losses(quiet(small, name), batch, visible)
        noisy = training_losses(quiet(small, name), small.with_noise(batch, "v"), visible)
        assert torch.equal(clean["cls"], noisy["cls"])
        assert not torch.equal(clean["imagination"], noisy["imagination"])

    def test_a_gradient_reaches_every_parameter(self, small, name):
        method, batch = small.method(name), small.batch(24)
        sum(training_losses(method, batch, small.masks(batch)).values()).backward()
        still = {n.split(".")[0] for n, p in method.named_parameters() if not p.grad.abs().sum() > 0}
        assert not still


def test_mmin_imagines_what_the_teacher_makes_of_the_reverse_mask(small):
    method, batch = quiet(small, "mmin"), small.batch(absent=0.0)
    visible = visibility("st", 10)
    losses = training_losses(method, batch, visible)
    h = method.encoders(hide(batch, visible))
    imagined, latents = method.cascade(h.flatten(1))
    teacher = method.first.model.encoders
    target = teacher(hide(batch, ~visible))  # video is there, speech and text are missing
    torch.testing.assert_close(losses["imagination"], 4 * (imagined.view_as(h) - target).square().mean())
    back, _ = method.way_back(imagined)
    torch.testing.assert_close(losses["cycle"], 2 * (back.view_as(h) - h).square().mean())
    answer = predictions(method, batch, {"st": visible})["st"].logits
    torch.testing.assert_close(answer, method.classifier(latents))


def test_if_mmin_asks_the_invariant_feature_to_stay(small):
    method, batch = quiet(small, "if_mmin"), small.batch(absent=0.0)
    visible = visibility("st", 10)
    losses = training_losses(method, batch, visible)
    h = method.encoders(hide(batch, visible))
    first = method.first.model
    complete = first.shared(first.encoders(batch))
    torch.testing.assert_close(
        losses["invariance"], 100 * (method.shared(h) - complete).square().mean(), rtol=1e-4, atol=1e-6
    )
    imagined, _ = method.cascade(h.flatten(1), method.shared(h).flatten(1))
    target = first.encoders(hide(batch, ~visible))
    torch.testing.assert_close(losses["imagination"], (imagined.view_as(h) - target).square().mean())


def test_cif_mmin_classifies_what_it_knows_and_what_it_imagines(small):
    method, batch = quiet(small, "cif_mmin"), small.batch(absent=0.0)
    visible = visibility("st", 10)
    losses = training_losses(method, batch, visible)
    h = method.encoders(hide(batch, visible))
    invariant = method.invariant(hide(batch, visible))
    imagined, _ = method.cascade(h.flatten(1), invariant.flatten(1))
    answer = predictions(method, batch, {"st": visible})["st"].logits
    torch.testing.assert_close(answer, method.classifier(h.flatten(1) + imagined))
    first = method.first.model
    kept = first.invariant(batch)
    torch.testing.assert_close(losses["invariance"], 100 * imagination_loss(invariant, kept, batch.available))
    target = first.encoders(hide(batch, ~visible))
    torch.testing.assert_close(losses["imagination"], 8 * (imagined.view_as(h) - target).square().mean())


def test_if_mmin_s_stage_one_makes_the_modalities_alike(small):
    first, batch = small.first_stage("if_mmin", dropout=0.0, text_dropout=0.0), small.batch(24, absent=0.0)
    visible = visibility("svt", 24)
    before = training_losses(first, batch, visible)["discrepancy"].item()
    small.train(first, batch, visible, 30)
    assert training_losses(first, batch, visible)["discrepancy"].item() < 0.5 * before


def test_cif_mmin_s_stage_one_weighs_its_pairs(small):
    """0.25 L(t, v) + 0.25 L(t, s) + 0.5 L(v, s): without text only the half of the last is left."""
    from cmarr.methods.cif_mmin import instance_contrast

    first, batch = small.first_stage("cif_mmin").eval(), small.batch(absent=0.0)
    visible = visibility("sv", 10)
    loss = training_losses(first, batch, visible)["contrast"]
    invariant = first.invariant(hide(batch, visible))
    heads = [
        torch.nn.functional.normalize(first.heads[m](invariant[:, i]), dim=-1)
        for i, m in enumerate(MODALITIES)
    ]
    everyone = torch.ones(10, dtype=torch.bool)
    torch.testing.assert_close(loss, 0.5 * instance_contrast(heads[0], heads[1], everyone))


def test_cif_mmin_s_invariant_encoders_do_not_collapse(small):
    """A published rerun has its invariance loss at 0.0000 from the first epoch on: constants would give that."""
    torch.manual_seed(0)
    first = small.first_stage("cif_mmin", dropout=0.0, text_dropout=0.0)
    batch = small.batch(24, absent=0.0)
    small.train(first, batch, visibility("svt", 24), 15)
    assert isinstance(first, Diagnosed)
    assert all(spread > 0.05 for spread in first.diagnostics(batch).values())
    method = small.method("cif_mmin", dropout=0.0, text_dropout=0.0)
    method.start_from(first)
    losses = training_losses(method, batch, small.masks(batch))
    assert losses["invariance"].item() > 0.1
    small.train(method, batch, small.masks(batch), 15)
    assert all(spread > 0.05 for spread in method.diagnostics(batch).values())


def test_cif_mmin_s_invariant_text_may_be_the_last_word(small):
    """What the encoder tells of an utterance is its state behind the last word, whatever the padding."""
    batch = small.batch(absent=0.0)
    last, most = (quiet(small, "cif_mmin", invariant_text=own).invariant["t"] for own in ("last", "max"))
    last.load_state_dict(most.state_dict())
    found = last(batch.values["t"], batch.lengths["t"])
    for frames, vector in zip(batch.values["t"].split(batch.lengths["t"].tolist()), found, strict=True):
        torch.testing.assert_close(vector, last.lstm(frames[None])[1][0][0, 0])
    assert not torch.equal(found, most(batch.values["t"], batch.lengths["t"]))


def test_cif_mmin_s_scale_is_e_and_may_be_learnt(small):
    batch, all_of_it = small.batch(absent=0.0), visibility("svt", 10)
    fixed, learnt = (small.first_stage("cif_mmin", learned_scale=own) for own in (False, True))
    learnt.load_state_dict(fixed.state_dict(), strict=False)
    one, two = (training_losses(m.eval(), batch, all_of_it)["contrast"] for m in (fixed, learnt))
    torch.testing.assert_close(one, two)
    two.backward()
    assert learnt.log_scale.grad.abs() > 0 and "log_scale" not in dict(fixed.named_parameters())
