"""Any method above encoders that learn keeps its promises: nothing leaks, nothing depends on the batch."""

from itertools import chain

import pytest
import torch

from cmarr.data.batch import Batch, visibility
from cmarr.data.normalise import Normaliser
from cmarr.encoders.networks import NOTHING
from cmarr.methods.asking import predictions, training_losses
from cmarr.methods.finetuned import Encoded, FineTuned, encoded, with_encoders
from cmarr.methods.registry import build_method, method_class, method_names
from cmarr.modalities import CONDITIONS, INCOMPLETE, MODALITIES
from cmarr.task import Task
from cmarr.training.loop import limit_gradients, parts

DIMS = {"s": 32, "v": 5, "t": 32}
SIZES = {"d": 8, "length": 4, "heads": 2}
SMALL = {
    "cmarr": {**SIZES, "flow_steps": 2, "blocks": 1},
    "masked": SIZES,
    "dicmor": {**SIZES, "flow_steps": 2, "blocks": 1, "depth": 1},
    "mmin": {"d": 8, "blocks": 2},
}
FIRST = {"dicmor": {**SIZES, "depth": 1}, "mmin": {"d": 8}}
TASK = Task(("angry", "happy", "sad"))
ROWS = 6


@pytest.fixture
def tuned(encoders):
    """Name -> a small method above tiny networks, ready to train."""

    def make(name, **how):
        networks = encoders(**how)
        torch.manual_seed(0)
        method = with_encoders(build_method(name, DIMS, TASK, SMALL.get(name, {})), networks, 1e-3)
        if hasattr(method_class(name), "first_stage"):
            first = build_method(name, DIMS, TASK, FIRST[name], first_stage=True)
            method.start_from(with_encoders(first, encoders(**how), 1e-3))
        return method

    return make


def with_noise(batch: Batch, modality: str) -> Batch:
    """The same batch, what a network reads of one modality replaced by as much of something else."""
    generator = torch.Generator().manual_seed(9)
    old = batch.values[modality]
    if modality == "s":
        noise = torch.randint(-20_000, 20_000, old.shape, generator=generator).float()
        noise = torch.where(old == NOTHING, old, noise)
    elif modality == "t":
        noise = torch.randint(5, 60, old.shape, generator=generator).float()
    else:
        noise = 50 * torch.randn(old.shape, generator=generator)
    return Batch({**batch.values, modality: noise}, batch.lengths, batch.available, batch.labels)


def take(batch: Batch, row: int) -> Batch:
    values = {m: v.split(batch.lengths[m].tolist())[row] for m, v in batch.values.items()}
    lengths = {m: n[[row]] for m, n in batch.lengths.items()}
    return Batch(values, lengths, batch.available[[row]], batch.labels[[row]])


def all_conditions(rows: int = ROWS):
    return {c: visibility(c, rows) for c in CONDITIONS}


class TestAnswers:
    @pytest.mark.parametrize("mode", [True, False], ids=["training", "evaluation"])
    def test_what_is_hidden_changes_neither_an_answer_nor_what_is_recovered(self, tuned, inputs, mode):
        method, batch = tuned("cmarr").train(mode), inputs()
        for condition in INCOMPLETE:
            noisy = batch
            for m in set(MODALITIES) - set(condition):
                noisy = with_noise(noisy, m)
            seen = {condition: visibility(condition, ROWS)}
            answers = []
            for given in (batch, noisy):
                torch.manual_seed(1)  # dropout
                answers.append(predictions(method, given, seen)[condition])
            assert torch.equal(answers[0].logits, answers[1].logits)
            for m in MODALITIES:
                assert torch.equal(answers[0].recovered[m], answers[1].recovered[m])

    def test_nor_recognition_and_contrast_in_training(self, tuned, inputs):
        batch = inputs()
        for condition in INCOMPLETE:
            noisy = batch
            for m in set(MODALITIES) - set(condition):
                noisy = with_noise(noisy, m)
            terms = []
            for given in (batch, noisy):
                method = tuned("cmarr")
                torch.manual_seed(1)
                terms.append(training_losses(method, given, visibility(condition, ROWS)))
            assert torch.equal(terms[0]["cls"], terms[1]["cls"])
            assert torch.equal(terms[0]["spcl"], terms[1]["spcl"])

    def test_visible_noise_is_noticed(self, tuned, inputs):
        """The tests above can fail."""
        method, batch = tuned("cmarr").eval(), inputs()
        for m in MODALITIES:
            seen = {m: visibility(m, ROWS)}
            first, second = (predictions(method, b, seen)[m].logits for b in (batch, with_noise(batch, m)))
            assert not torch.allclose(first, second, atol=1e-4)

    @pytest.mark.parametrize("name", ["cmarr", "masked", "dicmor", "mmin"])
    def test_an_answer_depends_neither_on_the_other_rows_nor_on_padding(self, tuned, inputs, name):
        method, batch = tuned(name).eval(), inputs()
        together = predictions(method, batch, all_conditions())
        for row in range(ROWS):
            alone = predictions(method, take(batch, row), all_conditions(1))
            for condition in CONDITIONS:
                torch.testing.assert_close(
                    together[condition].logits[[row]], alone[condition].logits, atol=1e-4, rtol=1e-4
                )

    def test_how_sure_it_is_comes_through_from_a_method_that_knows(self, tuned, inputs):
        method, batch = tuned("cmarr").eval(), inputs()
        direct = method.method.spreads(encoded(batch, method.encoders))
        assert set(direct) == set(MODALITIES)
        for m, found in method.spreads(batch).items():
            torch.testing.assert_close(found, direct[m])
        assert tuned("masked").spreads(batch) == {}

    def test_every_modality_is_encoded_once_for_all_conditions(self, tuned, inputs):
        method = tuned("cmarr").eval()
        calls = []
        for encoder in method.encoders.children():
            encoder.register_forward_hook(lambda module, given, out: calls.append(module))
        predictions(method, inputs(), all_conditions())
        assert len(calls) == len(set(calls)) == 2

    def test_what_has_no_encoder_is_standardised_and_what_has_one_is_not(self, inputs):
        normaliser, batch = Normaliser({"v": 5}), inputs()
        normaliser.fit(batch.values)
        standard = normaliser(batch)
        assert torch.equal(standard.values["s"], batch.values["s"])
        assert torch.equal(standard.values["t"], batch.values["t"])
        torch.testing.assert_close(standard.values["v"].mean(0), torch.zeros(5), atol=1e-6, rtol=0)


def step(method, batch, lr=1e-3):
    optimiser = torch.optim.Adam(method.parameter_groups(lr), lr=lr)
    torch.manual_seed(1)
    sum(training_losses(method.train(), batch, visibility("svt", ROWS)).values()).backward()
    before = {n: p.detach().clone() for n, p in method.named_parameters()}
    optimiser.step()
    return {n for n, p in method.named_parameters() if not torch.equal(p, before[n])}


class TestLearning:
    def test_two_learning_rates(self, tuned, inputs):
        method = tuned("cmarr", freeze_front_end=True)
        groups = method.parameter_groups(5e-2)
        assert [group["lr"] for group in groups] == [5e-2, 1e-3]
        grouped = {id(p) for p in chain.from_iterable(group["params"] for group in groups)}
        assert grouped == {id(p) for p in method.parameters() if p.requires_grad}

    @pytest.mark.parametrize("frozen", [True, False])
    def test_a_step_moves_encoders_and_method_and_the_front_end_where_it_learns(self, tuned, inputs, frozen):
        moved = step(tuned("cmarr", freeze_front_end=frozen), inputs())
        fronts = {n for n in moved if ".first." in n or ".rest." in n}
        assert bool(fronts) != frozen
        assert {".".join(n.split(".")[:2]) for n in moved - fronts} >= {
            "encoders.s",
            "encoders.t",
            "method.representations",
            "method.fusion",
        }

    def test_checkpointing_changes_no_gradient_of_the_whole(self, tuned, inputs):
        def gradients(checkpointing):
            method, batch = tuned("cmarr", checkpointing=checkpointing), inputs()
            torch.manual_seed(1)
            visible = torch.stack([visibility(c, 1)[0] for c in INCOMPLETE])
            sum(training_losses(method.train(), batch, visible).values()).backward()
            return {n: p.grad for n, p in method.named_parameters() if p.grad is not None}

        plain, saving = gradients(False), gradients(True)
        assert plain.keys() == saving.keys()
        for name, value in plain.items():
            torch.testing.assert_close(saving[name], value, msg=name)

    def test_limits_by_part_see_each_encoder(self, tuned, inputs):
        method = tuned("cmarr")
        sum(training_losses(method.train(), inputs(), visibility("svt", ROWS)).values()).backward()
        alone = len(list(parts(method.method)))
        assert len(list(parts(method))) == alone + 2
        limit_gradients(method, 1e-3, "part")
        for encoder in method.encoders.children():
            norm = torch.stack([p.grad.norm() for p in encoder.parameters() if p.grad is not None]).norm()
            assert norm <= 1.001e-3

    @pytest.mark.parametrize("name", ["mmin", "dicmor"])
    def test_a_method_that_starts_from_another_keeps_its_encoders(self, tuned, inputs, name):
        method, batch = tuned(name), inputs()
        assert not {n for n in step(method, batch) if n.startswith("encoders.")}
        assert not method.train().encoders.training  # they drop nothing out: teacher and pupil read the same

    def test_methods_fitted_in_one_step_read_what_was_pretrained(self, encoders, inputs):
        networks = encoders()
        before = {m: {k: v.clone() for k, v in e.state_dict().items()} for m, e in networks.items()}
        method = with_encoders(build_method("linear", DIMS, TASK, {}), networks)
        assert isinstance(method, Encoded)
        method.fit(inputs(), torch.Generator())
        assert all(
            a.logits.isfinite().all() for a in predictions(method, inputs(), all_conditions()).values()
        )
        for m, encoder in networks.items():
            assert all(torch.equal(v, before[m][k]) for k, v in encoder.state_dict().items())

    def test_every_registered_method_is_wrapped_one_way_or_the_other(self, encoders):
        networks = encoders()
        kinds = {
            name: type(with_encoders(build_method(name, DIMS, TASK, {}), networks)) for name in method_names()
        }
        assert {name for name, kind in kinds.items() if issubclass(kind, Encoded)} == {
            n for n in kinds if hasattr(method_class(n), "fit")
        }
        assert all(issubclass(kind, Encoded | FineTuned) for kind in kinds.values())
