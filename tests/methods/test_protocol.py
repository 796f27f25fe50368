"""What every method promises, whatever it does inside."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from cmarr.data.batch import visibility
from cmarr.data.labelled import UNLABELLED
from cmarr.methods.asking import looks_at_hidden, predictions, training_losses
from cmarr.methods.model import with_privileges
from cmarr.methods.protocol import Calibrated, ClosedForm
from cmarr.methods.registry import build_method, method_class, method_names
from cmarr.modalities import CONDITIONS, INCOMPLETE, MODALITIES

METHODS = method_names()
TRAINED = [name for name in METHODS if hasattr(method_class(name), "training_losses")]


def all_conditions(rows: int) -> dict[str, torch.Tensor]:
    return {c: visibility(c, rows) for c in CONDITIONS}


@pytest.mark.parametrize("name", METHODS)
class TestAnswers:
    def test_every_condition_gets_finite_logits_of_the_right_shape(self, small, name):
        batch = small.batch()
        answers = predictions(small.method(name).eval(), batch, all_conditions(10))
        assert list(answers) == list(CONDITIONS)
        for answer in answers.values():
            assert answer.logits.shape == (10, 3)
            assert answer.logits.isfinite().all()

    def test_a_score_is_one_number(self, small, name):
        batch = small.batch(regression=True)
        answer = predictions(
            small.method(name, task=small.scores).eval(), batch, {"svt": visibility("svt", 10)}
        )["svt"]
        assert answer.logits.shape == (10, 1)
        assert answer.logits.isfinite().all()

    @pytest.mark.parametrize("mode", [True, False], ids=["training", "evaluation"])
    def test_poison_in_what_is_hidden_does_not_matter(self, small, name, mode):
        method, batch = small.method(name).train(mode), small.batch()
        for condition in INCOMPLETE:
            visible = {condition: visibility(condition, 10)}
            torch.manual_seed(1)
            answer = predictions(method, batch, visible)[condition]
            torch.manual_seed(1)
            other = predictions(method, small.poisoned(batch, visible[condition]), visible)[condition]
            assert answer.logits.isfinite().all()
            assert torch.equal(answer.logits, other.logits)
            for m in answer.recovered:
                assert torch.equal(answer.recovered[m], other.recovered[m])

    @pytest.mark.parametrize("modality", MODALITIES)
    def test_hidden_and_absent_are_the_same_to_an_answer(self, small, name, modality):
        method, batch = small.method(name).eval(), small.batch()
        condition = "".join(m for m in MODALITIES if m != modality)
        hidden = predictions(method, batch, {"x": visibility(condition, 10)})["x"].logits
        absent = predictions(method, small.without(batch, modality), {"x": visibility("svt", 10)})["x"].logits
        torch.testing.assert_close(hidden, absent, atol=1e-5, rtol=1e-5)

    def test_conditions_answered_together_or_alone_agree(self, small, name):
        method, batch = small.method(name).eval(), small.batch()
        together = predictions(method, batch, all_conditions(10))
        for condition in CONDITIONS:
            alone = predictions(method, batch, {condition: visibility(condition, 10)})[condition]
            torch.testing.assert_close(together[condition].logits, alone.logits, atol=1e-5, rtol=1e-5)

    def test_an_answer_depends_neither_on_the_other_rows_nor_on_padding(self, small, name):
        method, batch = small.method(name).eval(), small.batch()
        together = predictions(method, batch, {"x": small.masks(batch)})["x"].logits
        for row in range(10):
            index = torch.tensor([row])
            alone = predictions(method, small.take(batch, index), {"x": small.masks(batch)[index]})[
                "x"
            ].logits
            torch.testing.assert_close(together[index], alone, atol=1e-5, rtol=1e-5)

    def test_the_order_of_a_batch_is_the_order_of_its_answers(self, small, name):
        method, batch = small.method(name).eval(), small.batch()
        order = torch.randperm(10, generator=torch.Generator().manual_seed(3))
        straight = predictions(method, batch, {"x": small.masks(batch)})["x"].logits
        shuffled = predictions(method, small.take(batch, order), {"x": small.masks(batch)[order]})["x"].logits
        torch.testing.assert_close(straight[order], shuffled, atol=1e-5, rtol=1e-5)

    def test_a_row_with_nothing_usable_is_not_nan(self, small, name):
        batch = small.without(small.without(small.batch(absent=0.0), "v"), "t")
        answer = predictions(small.method(name).eval(), batch, {"vt": visibility("vt", 10)})["vt"]
        assert answer.logits.isfinite().all()

    @pytest.mark.parametrize("present", ["s", "v", "t", "st", "sv", "vt"])
    def test_a_corpus_may_lack_modalities(self, small, name, present):
        dims = dict.fromkeys(present, 4)
        method = small.method(name, dims).eval()
        answers = predictions(method, small.batch(dims=dims), all_conditions(10))
        assert all(a.logits.isfinite().all() for a in answers.values())

    def test_saved_and_loaded_it_gives_the_same_answers(self, small, name, tmp_path):
        method = small.method(name)
        batch = small.batch()
        if name in TRAINED:
            small.train(method, batch, small.masks(batch), 2)
        save_file(
            {k: v.contiguous() for k, v in method.state_dict().items()}, tmp_path / "weights.safetensors"
        )
        torch.manual_seed(7)
        other = build_method(name, small.dims, small.classes, small.sizes(name))
        other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
        method.eval()
        other.eval()
        for condition, answer in predictions(method, batch, all_conditions(10)).items():
            again = predictions(other, batch, {condition: visibility(condition, 10)})[condition]
            torch.testing.assert_close(answer.logits, again.logits, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", [n for n in METHODS if n not in TRAINED])
@pytest.mark.parametrize("regression", [False, True], ids=["classes", "scores"])
def test_a_fit_on_rows_of_which_few_have_a_label_is_finite(small, name, regression):
    task = small.scores if regression else small.classes
    method, batch = small.method(name, task=task), small.batch(60, seed=5, regression=regression)
    batch.labels[20:] = torch.nan if regression else -1
    method.fit(batch, torch.Generator())
    for answer in predictions(method, small.batch(), all_conditions(10)).values():
        assert answer.logits.isfinite().all()


AWKWARD = {
    "one row": lambda small: small.batch(1, absent=0.0),
    "a modality absent everywhere": lambda small: small.without(small.batch(), "v"),
    "two modalities absent everywhere": lambda small: small.without(small.without(small.batch(), "t"), "v"),
    "nothing available at all": lambda small: small.without(
        small.without(small.without(small.batch(), "t"), "v"), "s"
    ),
    "one class": lambda small: one_class(small.batch()),
    "one frame each": lambda small: small.batch(longest=1),
}


def one_class(batch):
    batch.labels.zero_()
    return batch


OWN_VIEW = {"mcur": {"views": 1, "teacher": "none"}, "anchored": {"averaging": "equal"}}
"""What keeps a method to the view that was drawn: without a second mask, without moments of all that is there."""


@pytest.mark.parametrize("name", TRAINED)
class TestTraining:
    @pytest.mark.parametrize("regression", [False, True], ids=["classes", "scores"])
    def test_losses_are_finite_scalars_and_so_are_their_gradients(self, small, name, regression):
        method = small.method(name, task=small.scores if regression else small.classes).train()
        batch = small.batch(regression=regression)
        losses = training_losses(method, batch, small.masks(batch))
        assert all(loss.shape == () and loss.isfinite() for loss in losses.values())
        sum(losses.values()).backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in method.parameters())

    def test_poison_in_what_is_hidden_reaches_a_named_loss_and_nothing_else(self, small, name):
        """Not even a gradient, where no loss is named; where one is, the others keep their values."""
        method, batch = small.method(name, **OWN_VIEW.get(name, {})).train(), small.batch()
        visible = small.masks(batch)
        training_losses(method, batch, visible)  # what starts from the first batch has started

        def losses(given):
            torch.manual_seed(1)
            return training_losses(method, given, visible)

        clean, poisoned = losses(batch), losses(small.poisoned(batch, visible))
        others = [key for key in clean if key not in getattr(method, "hidden_losses", ())]
        assert "cls" in others
        for key in others:
            torch.testing.assert_close(poisoned[key], clean[key])
        if not looks_at_hidden(method):
            sum(poisoned.values()).backward()
            assert all(p.grad is None or p.grad.isfinite().all() for p in method.parameters())

    @pytest.mark.parametrize("case", AWKWARD)
    def test_awkward_batches_stay_finite(self, small, name, case):
        method, batch = small.method(name), AWKWARD[case](small)
        history = small.train(method, batch, small.masks(batch), 3)
        assert all(torch.tensor(history).isfinite())
        assert all(p.isfinite().all() for p in method.parameters())

    def test_a_row_with_nothing_usable_changes_no_loss(self, small, name):
        method = small.method(name).eval()
        batch = small.batch(absent=0.0)
        visible = small.masks(batch)
        wanted = training_losses(method, batch, visible)["cls"]
        blind = visible.clone()
        blind[3] = False
        others = torch.tensor([r for r in range(10) if r != 3])
        without_it = training_losses(method, small.take(batch, others), visible[others])["cls"]
        torch.testing.assert_close(
            training_losses(method, batch, blind)["cls"], without_it, atol=1e-5, rtol=1e-5
        )
        assert not torch.isclose(wanted, without_it)

    @pytest.mark.parametrize("regression", [False, True], ids=["classes", "scores"])
    def test_a_row_without_a_label_has_no_part_in_recognition(self, small, name, regression):
        method = small.method(name, task=small.scores if regression else small.classes).eval()
        batch = small.batch(absent=0.0, regression=regression)
        others = torch.arange(9)
        visible = small.masks(batch)
        batch.labels[9] = torch.nan if regression else -1
        losses = training_losses(method, batch, visible)
        assert all(loss.isfinite() for loss in losses.values())
        without_it = training_losses(method, small.take(batch, others), visible[others])["cls"]
        if name != "mcur":  # whose second masks are those of neighbours
            torch.testing.assert_close(losses["cls"], without_it, atol=1e-5, rtol=1e-5)

    def test_a_few_steps_lower_the_loss(self, small, name):
        batch = small.batch(24)
        history = small.train(small.method(name, **small.still(name)), batch, small.masks(batch), 25)
        assert history[-1] < 0.8 * history[0]

    def test_the_same_seed_gives_the_same_weights(self, small, name):
        def weights():
            method, batch = small.method(name), small.batch()
            torch.manual_seed(4)
            small.train(method, batch, small.masks(batch), 2)
            return method.state_dict()

        first, second = weights(), weights()
        assert all(torch.equal(first[k], second[k]) for k in first)

    @pytest.mark.parametrize("present", ["s", "v", "t", "st", "sv", "vt"])
    def test_it_trains_on_a_corpus_that_lacks_modalities(self, small, name, present):
        dims = dict.fromkeys(present, 4)
        batch = small.batch(dims=dims)
        history = small.train(small.method(name, dims), batch, small.masks(batch), 2)
        assert all(torch.tensor(history).isfinite())


@pytest.mark.parametrize("name", [n for n in METHODS if getattr(method_class(n), "deterministic", False)])
def test_a_method_that_says_it_is_deterministic_does_not_look_at_the_seed(small, name):
    """A verdict on it takes one seed, so it must not know another."""
    method, batch = small.method(name), small.batch(60, seed=5)
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        method.fit(batch, torch.Generator().manual_seed(seed))
        found.append({key: value.clone() for key, value in method.state_dict().items()})
    assert all(torch.equal(value, found[1][key]) for key, value in found[0].items())


@pytest.mark.parametrize(
    "name", [n for n in METHODS if "sampled_answers" in getattr(method_class(n), "privileges", ())]
)
def test_answers_are_drawn_with_that_privilege_alone(small, name):
    """Twice the same question, with the authors' privilege and without."""
    for privileges, same in (((), True), (("sampled_answers",), False)):
        method = with_privileges(small.method(name).eval(), privileges)
        one, two = (predictions(method, small.batch(), all_conditions(10))["t"].logits for _ in range(2))
        assert torch.equal(one, two) is same


@pytest.mark.parametrize("regression", [False, True])
@pytest.mark.parametrize("name", METHODS)
def test_a_modality_may_be_there_without_any_label(small, name, regression):
    """As in the corpus `control_recovery`: speech in many utterances, of which none has a label."""
    task = small.scores if regression else small.classes
    batch = small.batch(80, seed=3, absent=0.4, regression=regression)
    labels = batch.labels.clone()
    labels[batch.available[:, 0]] = torch.nan if regression else UNLABELLED
    batch = replace(batch, labels=labels)
    method = small.method(name, task=task, training=batch)
    if not isinstance(method, ClosedForm):
        losses = training_losses(method, batch, small.masks(batch))
        torch.stack(list(losses.values())).sum().backward()
    method.eval()
    if isinstance(method, Calibrated):
        method.calibrate(small.batch(40, seed=4, regression=regression))
    answers = predictions(method, batch, all_conditions(80))
    assert all(answer.logits.isfinite().all() for answer in answers.values())
