"""PriMD: sizes, what the student takes over and leaves alone, and when it reads its memory."""

import math

import pytest
import torch

from cmarr.data.batch import hide, visibility
from cmarr.methods.asking import training_losses
from cmarr.methods.registry import build_method
from cmarr.task import Task

FOUR = Task(("angry", "happy", "neutral", "sad"))
AUTHORS = {"d": 256, "pool": "mean", "dropout": 0.5}


def test_parameters_at_the_authors_sizes():
    """Counted from the layers' description; the paper prints no number. The student leaves memory and heads alone."""
    dims, d = {"s": 512, "t": 1024, "v": 1024}, 256
    student = build_method("primd", dims, FOUR, AUTHORS)
    network = student.network
    line = d * d + d
    encoders = sum(dim * d + d for dim in dims.values()) + 3 * 4 * line  # and shared and specific parts
    memories = 3 * (64 * d + 2 * (d * 64 + 64) + line + d * 16 + 16)
    heads, joint = 3 * (2 * d * 4 + 4), 4 * d * 2 * d + 2 * d + 2 * d * 4 + 4
    assert sum(p.numel() for p in network.parameters()) == encoders + memories + heads + joint
    learnt = sum(p.numel() for p in student.parameters() if p.requires_grad)
    assert learnt == encoders + memories + joint - 3 * 64 * d
    assert (encoders + memories + heads + joint, learnt) == (2_336_192, 2_280_884)


def test_the_student_begins_as_a_copy_of_its_teacher(small):
    first, method = small.first_stage("primd"), small.method("primd")
    method.start_from(first)
    for key, value in first.network.state_dict().items():
        assert torch.equal(method.network.state_dict()[key], value)


def test_what_is_remembered_stays_as_the_teacher_left_it(small):
    method, batch = small.method("primd"), small.batch(24)
    before = {m: method.network.memory(m).vectors.clone() for m in "svt"}
    small.train(method, batch, small.masks(batch), 3)
    assert all(torch.equal(method.network.memory(m).vectors, kept) for m, kept in before.items())
    asked = [m for m in "svt" if method.network.memory(m).query.weight.grad.any()]
    assert asked == list("svt")


def test_a_complete_row_never_reads_it(small):
    method, batch = small.method("primd").eval(), small.batch(absent=0.0)
    before = method.predict(batch).logits, training_losses(method, batch, visibility("svt", 10))["cost"]
    with torch.no_grad():
        for m in "svt":
            method.network.memory(m).vectors.normal_()
    assert torch.equal(method.predict(batch).logits, before[0])
    assert before[1] == 0
    hidden = hide(batch, visibility("sv", 10))
    once = method.predict(hidden).logits
    with torch.no_grad():
        method.network.memory("t").vectors.normal_()
    assert not torch.equal(method.predict(hidden).logits, once)


@pytest.mark.parametrize("retrieval", ["fixed", "none"])
def test_ablations_of_the_retrieval(small, retrieval):
    method, batch = small.method("primd", retrieval=retrieval), small.batch(absent=0.0)
    cost = training_losses(method, batch, visibility("sv", 10))["cost"]
    assert cost.item() == pytest.approx({"fixed": math.expm1(1), "none": 0.0}[retrieval])
    if retrieval == "none":
        shared, specific = method.eval().network.parts(hide(batch, visibility("sv", 10)))
        z = shared[:, :2].mean(1)
        torch.testing.assert_close(
            method.predict(hide(batch, visibility("sv", 10))).logits, method.network.answer(z, specific)
        )


def test_the_teacher_s_terms_and_their_weights(small):
    batch = small.batch()

    def teacher(**settings):
        torch.manual_seed(0)
        return small.first_stage("primd", **settings).eval()

    first = teacher()
    usual = training_losses(first, batch, visibility("svt", 10))
    assert set(usual) == {"cls", "auxiliary", "align", "hsic", "vq"}
    for key in ("auxiliary", "align", "hsic", "vq"):
        own = getattr(first.settings, f"{key}_weight")
        doubled = training_losses(teacher(**{f"{key}_weight": 2 * own}), batch, visibility("svt", 10))
        for name, loss in usual.items():
            torch.testing.assert_close(doubled[name], loss * (2 if name == key else 1))


def test_the_memory_learns_from_vq_alone(small):
    first, batch = small.first_stage("primd"), small.batch(24)
    for name, loss in training_losses(first, batch, visibility("svt", 24)).items():
        first.zero_grad()
        loss.backward(retain_graph=True)
        grad = first.network.memory("s").vectors.grad
        assert (grad is not None and bool(grad.any())) == (name == "vq")


def test_scores_are_distilled_by_their_squared_distance(small):
    method, batch = small.method("primd", task=small.scores).eval(), small.batch(absent=0.0, regression=True)
    visible = visibility("s", 10)
    wanted = method.first.model.predict(batch).logits
    expected = (method.predict(hide(batch, visible)).logits - wanted).square().mean()
    torch.testing.assert_close(training_losses(method, batch, visible)["distillation"], expected)


def test_how_widely_it_reads_is_watched(small):
    with torch.no_grad():
        found = small.method("primd").eval().diagnostics(small.batch())
    assert list(found) == [f"retrieval_entropy/{m}" for m in "svt"]
    assert all(0 < float(value) <= 2.08 for value in found.values())  # log 8
