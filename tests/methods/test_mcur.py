"""MCUR as a whole: what each loss sees, who teaches, and what each switch changes."""

import pytest
import torch

from cmarr.data.batch import hide, visibility
from cmarr.data.masks import draw_visible, second_draw
from cmarr.errors import UserError
from cmarr.methods.asking import fused, predictions, training_losses
from cmarr.methods.protocol import Represents, Started, WarmedUp
from cmarr.modalities import CONDITIONS, INCOMPLETE, MODALITIES
from cmarr.settings.declared import method_section

TEACHERS = ("pretrained", "self", "average", "none")


def losses(method, batch, visible, seed: int = 3):
    torch.manual_seed(seed)  # dropout
    return training_losses(method, batch, visible)


def moved(small, **settings):
    """A method a few steps away from its start, where a teacher's h would be nobody's."""
    method, batch = small.method("mcur", **settings), small.batch(seed=8)
    small.train(method, batch, small.masks(batch), 3)
    return method


class TestObjective:
    @pytest.mark.parametrize("teacher", TEACHERS)
    def test_its_terms(self, small, teacher):
        batch = small.batch()
        taught = ["feature", "logit"] * (teacher != "none")
        terms = losses(small.method("mcur", teacher=teacher), batch, small.masks(batch))
        assert list(terms) == ["cls", "sugr", "mcbcl", *taught]

    @pytest.mark.parametrize(
        ("key", "term"), [("feature_weight", "feature"), ("logit_weight", "logit"), ("similarity_weight", "similarity")]
    )  # fmt: skip
    def test_each_weight_scales_its_term_and_no_other(self, small, key, term):
        batch, visible = small.batch(), small.masks(small.batch())
        once, twice, never = (
            losses(small.method("mcur", **{key: weight}), batch, visible) for weight in (0.5, 1.0, 0.0)
        )
        assert once.keys() == twice.keys() == never.keys() | {term}
        for name in once:
            torch.testing.assert_close(twice[name], once[name] * (2 if name == term else 1))

    @pytest.mark.parametrize("settings", [{}, {"sugr": "gap"}, {"sugr": "entropy"}, {"sugr_direction": "up"}])
    def test_a_gradient_reaches_every_weight_of_the_student(self, small, settings):
        method, batch = moved(small, missing="learned", mcbcl_projection=4, **settings), small.batch(24)
        method.zero_grad()
        sum(losses(method, batch, small.masks(batch)).values()).backward()
        still = [n for n, p in method.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
        # keys have no bias that a softmax would feel, and what nothing is missing from has no blank
        assert not [n for n in still if "norm_frames.bias" not in n]

    @pytest.mark.parametrize("regression", [False, True])
    @pytest.mark.parametrize("teacher", TEACHERS)
    def test_one_step_lowers_its_loss(self, small, teacher, regression):
        task = small.scores if regression else small.classes
        method = small.method("mcur", teacher=teacher, dropout=0.0, task=task)
        batch = small.batch(24, regression=regression)
        before, after = small.train(method, batch, small.masks(batch), 2, lr=1e-3)
        assert after < before

    def test_scores_of_exactly_zero_are_a_category_of_their_own(self, small):
        batch = small.batch(12, absent=0.0, regression=True)
        batch.labels.zero_()
        method = small.method("mcur", task=small.scores, teacher="none", views=1)
        terms = losses(method, batch, visibility("st", 12))
        assert all(loss.isfinite() for loss in terms.values())
        assert terms["mcbcl"].item() > 0  # all twelve are of one category
        mixed = batch.labels.clone()
        mixed[::2] = 1.0
        other = type(batch)(batch.values, batch.lengths, batch.available, mixed)
        assert losses(method, other, visibility("st", 12))["mcbcl"] != terms["mcbcl"]


class TestMasks:
    @pytest.mark.parametrize("condition", INCOMPLETE)
    @pytest.mark.parametrize("teacher", ["pretrained", "none"])
    def test_what_is_hidden_is_seen_by_the_teacher_alone(self, small, teacher, condition):
        batch, visible = small.batch(absent=0.0), visibility(condition, 10)
        noisy = batch
        for m in set(MODALITIES) - set(condition):
            noisy = small.with_noise(noisy, m)
        method = small.method("mcur", teacher=teacher).eval()
        clean, other = (losses(method, b, visible) for b in (batch, noisy))
        for term in ("cls", "mcbcl", "sugr"):
            assert torch.equal(clean[term], other[term])
        if teacher != "none":
            assert not torch.equal(clean["feature"], other["feature"])
            assert not torch.equal(clean["logit"], other["logit"])

    def test_a_hidden_modality_gets_no_gradient(self, small):
        method, batch = small.method("mcur", missing="learned"), small.batch(absent=0.0)
        sum(losses(method, batch, visibility("sv", 10)).values()).backward()
        encoders = method.recogniser.backbone.encoders
        assert not any(p.grad is not None and p.grad.any() for p in encoders["t"].parameters())
        assert any(p.grad.any() for p in encoders["s"].parameters())

    def test_the_second_mask_is_another_row_s_and_leaves_something(self):
        available = torch.tensor([[True, True, True], [True, False, True], [False, False, True], [True] * 3])
        visible = torch.tensor(
            [[True, False, False], [False, False, True], [False, False, True], [False] * 3]
        )
        wanted = torch.tensor([[False, False, True], [True, False, False], [False, False, True], [False] * 3])
        # row 1 passes over row 2, which draws what it has drawn itself; row 2 would get row 0's speech, which it has
        # not; row 3 may use nothing and stays so
        assert torch.equal(second_draw(visible, available), wanted)

    def test_a_second_mask_is_the_first_only_where_nothing_else_can_be_drawn(self):
        """One utterance in ten that has all its modalities would get its first mask again from the next draw alone."""
        generator = torch.Generator().manual_seed(0)
        available = torch.rand(64, 3, generator=generator) >= 0.2
        visible = draw_visible(available, generator)
        second = second_draw(visible, available)
        same = ((visible & available) == (second & available)).all(1)
        assert torch.equal(same, available.sum(1) <= 1)
        assert (second & available)[available.any(1)].any(1).all()

    def test_two_views_are_two_masks(self, small):
        batch = small.batch(absent=0.0)
        visible = torch.tensor([[True, False, False], [False, False, True]] * 5)
        method = small.method("mcur", dropout=0.0, teacher="none", sugr="none")
        swapped = losses(method, batch, visible.roll(1, 0))
        both = losses(method, batch, visible)
        torch.testing.assert_close(both["cls"], swapped["cls"])  # two masks, either way round
        single = small.method("mcur", dropout=0.0, teacher="none", sugr="none", views=1)
        apart = [losses(single, batch, seen)["cls"] for seen in (visible, visible.roll(1, 0))]
        torch.testing.assert_close(both["cls"], sum(apart) / 2)

    @pytest.mark.parametrize("teacher", TEACHERS)
    def test_a_row_with_nothing_usable_changes_no_term(self, small, teacher):
        method, batch = moved(small, teacher=teacher, similarity_weight=1.0).eval(), small.batch(absent=0.0)
        visible = small.masks(batch)
        visible[3] = False
        others = torch.tensor([r for r in range(10) if r != 3])
        whole = training_losses(method, batch, visible)
        rest = training_losses(method, small.take(batch, others), visible[others])
        for name in whole:
            torch.testing.assert_close(whole[name], rest[name], atol=1e-5, rtol=1e-4)


class TestTeacher:
    def test_a_pretrained_one_is_frozen_and_not_saved_with_the_student(self, small):
        method, batch = small.method("mcur"), small.batch()
        assert isinstance(method, Started)
        teacher = method.first.model
        before = {n: v.clone() for n, v in teacher.state_dict().items()}
        small.train(method, batch, small.masks(batch), 2)
        assert all(torch.equal(v, before[n]) for n, v in teacher.state_dict().items())
        assert not [n for n in method.state_dict() if not n.startswith(("recogniser.", "sugr."))]

    def test_the_student_starts_fresh_unless_told_otherwise(self, small):
        fresh, same = small.method("mcur"), small.method("mcur", start="teacher")
        for method, equal in ((fresh, False), (same, True)):
            weights, taught = method.recogniser.state_dict(), method.first.model.recogniser.state_dict()
            assert all(torch.equal(weights[n], taught[n]) for n in weights) is equal

    def test_without_it_training_says_what_is_missing(self, small):
        from cmarr.methods.mcur import MCUR

        method = MCUR(small.dims, small.classes, MCUR.Settings(**small.sizes("mcur")))
        with pytest.raises(RuntimeError, match="trains from a stage-1 model"):
            training_losses(method, small.batch(), small.masks(small.batch()))
        alone = MCUR(small.dims, small.classes, MCUR.Settings(**small.sizes("mcur"), teacher="self"))
        training_losses(alone, small.batch(), small.masks(small.batch()))

    def test_an_average_follows_the_student_slowly_at_first_fast(self, small):
        method, batch = small.method("mcur", teacher="average", decay=0.5), small.batch()
        visible = small.masks(batch)
        small.train(method, batch, visible, 1)
        start = {n: p.clone() for n, p in method.average.module.named_parameters()}
        now = {n: p.detach().clone() for n, p in method.recogniser.named_parameters()}
        losses(method, batch, visible)  # the first step copied; the second keeps (1 + 1) / (10 + 1)
        for name, mean in method.average.module.named_parameters():
            torch.testing.assert_close(mean, start[name] * 2 / 11 + now[name] * 9 / 11)
        assert not any(p.requires_grad for p in method.average.parameters())
        kept = {n: v.clone() for n, v in method.average.state_dict().items()}
        method.eval()
        losses(method, batch, visible)
        assert all(torch.equal(v, kept[n]) for n, v in method.average.state_dict().items())

    def test_the_complete_view_teaches_and_learns_to_recognise(self, small):
        """Taught by itself where nothing is hidden, a sample has nothing to learn from its teacher."""
        method, batch = small.method("mcur", teacher="self", dropout=0.0), small.batch(absent=0.0)
        terms = losses(method, batch, visibility("svt", 10))
        assert terms["feature"].item() == 0.0
        assert terms["logit"].item() == pytest.approx(0.0, abs=1e-5)
        partly = losses(method, batch, visibility("s", 10))
        partly["cls"].backward()
        text = method.recogniser.backbone.encoders["t"].parameters()
        assert any(p.grad.any() for p in text)

    @pytest.mark.parametrize("views", [1, 2])
    def test_the_complete_view_learns_nothing_from_itself(self, small, views):
        """The terms are means over the masked views: its own distance of zero would make them smaller."""
        batch = small.batch(absent=0.0)
        visible = small.masks(batch)
        settings = {"feature_weight": 1.0, "sugr": "none", "dropout": 0.0}
        method = moved(small, teacher="self", views=views, **settings).eval()
        masks = [visible, second_draw(visible, batch.available)][:views]
        named = {str(i): mask for i, mask in enumerate(masks)} | {"complete": visibility("svt", 10)}
        h = {name: method.fused(hide(batch, mask)) for name, mask in named.items()}
        apart = [((h[str(i)] - h["complete"]) ** 2).mean(1) for i in range(views)]
        torch.testing.assert_close(losses(method, batch, visible)["feature"], torch.stack(apart).mean())

    def test_its_influence_grows_with_the_warm_up_if_it_only_learns(self, small):
        batch, visible = small.batch(), small.masks(small.batch())
        for teacher, shares in (("average", (0.0, 0.5, 1.0)), ("pretrained", (1.0, 1.0, 1.0))):
            method = moved(small, teacher=teacher, warm_up=4, dropout=0.0, sugr="none").eval()
            assert isinstance(method, WarmedUp)
            whole = losses(method, batch, visible)["logit"]
            for epoch, share in zip((1, 3, 5), shares, strict=True):
                method.begin_epoch(epoch, 30)
                torch.testing.assert_close(losses(method, batch, visible)["logit"], share * whole)


class TestUncertainty:
    def test_in_the_warm_up_every_sample_counts_alike(self, small):
        batch, visible = small.batch(), small.masks(small.batch())
        method = small.method("mcur", sugr="entropy", warm_up=2, dropout=0.0)
        plain = losses(small.method("mcur", sugr="none", dropout=0.0), batch, visible)
        method.begin_epoch(2, 30)
        assert all(torch.equal(loss, plain[name]) for name, loss in losses(method, batch, visible).items())
        method.begin_epoch(3, 30)
        after = losses(method, batch, visible)
        assert all(not torch.equal(after[name], plain[name]) for name in plain)

    def test_it_may_weigh_recognition_alone(self, small):
        batch, visible = small.batch(), small.masks(small.batch())
        settings = {"sugr": "entropy", "sugr_terms": "recognition", "dropout": 0.0}
        plain = losses(small.method("mcur", sugr="none", dropout=0.0), batch, visible)
        own = losses(small.method("mcur", **settings), batch, visible)
        assert {name for name in plain if not torch.equal(own[name], plain[name])} == {"cls"}

    def test_down_and_up_are_opposites(self, small):
        """Beside a teacher that is equally unsure of all, what the student answers worst counts least, or most."""
        batch, visible = small.batch(), small.masks(small.batch())
        values = {}
        for direction in ("down", "up"):
            method = small.method("mcur", sugr="gap", sugr_direction=direction, dropout=0.0)
            for weight in method.first.model.recogniser.classify.parameters():
                weight.data.zero_()
            values[direction] = losses(method, batch, visible)["cls"]
        plain = losses(small.method("mcur", sugr="none", dropout=0.0), batch, visible)["cls"]
        assert values["down"] < plain < values["up"]

    def test_a_gap_needs_a_teacher(self, small):
        with pytest.raises(UserError, match=r"method\.mcur.*sugr: gap .*teacher is none"):
            small.method("mcur", sugr="gap", teacher="none")

    def test_entropy_of_a_score_is_refused(self, small):
        with pytest.raises(UserError, match="entropy needs class probabilities"):
            small.method("mcur", sugr="entropy", task=small.scores)


SWITCHES = [
    {"missing": "learned"},
    {"views": 1},
    {"feature": "cosine"},
    {"similarity_weight": 0.5},
    {"mcbcl_projection": 4},
    {"mcbcl_same_utterance": False},
    {"mcbcl_temperature": 0.5},
    {"logit_temperature": 1.0},
    {"decay": 0.1, "teacher": "average"},
    {"score_classes": "rounded"},
    {"resampler_layers": 2},
]


class TestSwitches:
    @pytest.mark.parametrize("settings", SWITCHES, ids=str)
    def test_each_changes_what_is_minimised_and_trains(self, small, settings):
        regression = "score_classes" in settings
        batch, visible = small.batch(regression=regression), small.masks(small.batch())
        task = small.scores if regression else small.classes
        usual = {"teacher": settings.get("teacher", "pretrained"), "dropout": 0.0, "task": task}
        histories = [
            small.train(small.method("mcur", **(usual | own)), batch, visible, 4) for own in ({}, settings)
        ]
        assert histories[0] != histories[1]
        assert torch.tensor(histories).isfinite().all()

    def test_every_switch_of_the_settings_is_tried(self):
        tried = {name for settings in SWITCHES for name in settings} | {
            "d",
            "latents",
            "depth",
            "heads",
            "dropout",
        }
        above = {"start", "feature_weight", "logit_weight", "mcbcl_combination", "mcbcl_category", "warm_up"}
        above |= {"sugr", "sugr_direction", "sugr_terms", "first_stage", "train"}
        assert tried | above == set(method_section("mcur").model_fields)

    @pytest.mark.parametrize(
        ("settings", "message"),
        [({"heads": 3}, "heads"), ({"d": 9}, "heads must .* d = 9"), ({"views": 3}, "equal to 2")],
    )
    def test_what_does_not_fit_is_refused_by_key(self, small, settings, message):
        with pytest.raises(UserError, match=rf"method\.mcur.*{message}"):
            small.method("mcur", **settings)


@pytest.mark.parametrize("name", ["mcur", "cmarr", "masked"])
def test_the_fused_vector_is_what_the_answer_is_read_from(small, name):
    method, batch = small.method(name).eval(), small.batch()
    assert isinstance(method, Represents)
    views = {c: visibility(c, 10) for c in CONDITIONS}
    classify = method.recogniser.classify if name == "mcur" else method.fusion.classify
    for condition, h in fused(method, batch, views).items():
        logits = predictions(method, batch, {condition: views[condition]})[condition].logits
        usable = (batch.available & views[condition]).any(1)  # else there is nothing to read an answer from
        torch.testing.assert_close(classify(h)[usable], logits[usable], atol=1e-5, rtol=1e-5)


def test_a_cmarr_with_both_parts_answers_and_looks_at_itself(small):
    both = {"mcbcl_combination": 0.1, "mcbcl_category": 0.1, "sugr": "variance", "sugr_warm_up": 1}
    method, batch = small.method("cmarr", **both), small.batch()
    method.begin_epoch(1, 30)
    cold = losses(method, batch, small.masks(batch))
    assert {"mcbcl", "sugr"} <= cold.keys()
    method.begin_epoch(2, 30)
    history = small.train(method, batch, small.masks(batch), 4)
    assert torch.tensor(history).isfinite().all()
    assert {"gradient/mcbcl", "gradient/sugr"} <= method.eval().diagnostics(batch).keys()


def test_cmarr_warms_its_weights_up_for_as_many_epochs_as_it_says(small):
    batch = small.batch()
    visible = small.masks(batch)
    plain = losses(small.method("cmarr", dropout=0.0), batch, visible)["cls"]
    method = small.method("cmarr", sugr="entropy", sugr_warm_up=2, dropout=0.0)
    for epoch, warm in ((1, False), (2, False), (3, True)):
        method.begin_epoch(epoch, 30)
        assert torch.equal(losses(method, batch, visible)["cls"], plain) is not warm
