"""The training loop, on a method small enough to see through."""

import pytest
import torch
from torch import nn

from cmarr.data.normalise import Normaliser
from cmarr.data.store import Store
from cmarr.errors import UserError
from cmarr.methods.model import Model, load_model, save_model, training_prior
from cmarr.methods.protocol import Prediction, Stage
from cmarr.task import Task
from cmarr.training.loop import StageLoop, fit
from cmarr.training.progress import Checkpoint
from cmarr.training.selection import met_conditions, selection_score, validation_scores
from tests.training.conftest import FIT

TASK = Task(("no", "yes"))
OPTIONS = {
    "task": TASK,
    "seed": 3,
    "lr": 0.01,
    "batch_size": 8,
    "epochs": 6,
    **FIT,
}


class Pooled(nn.Module):
    """Sum of the usable modalities' frames, dropout, a linear layer."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(width, 2))

    def logits(self, batch):
        return self.head(sum(batch.spread(m, batch.padded(m)[0].sum(1)) for m in "svt"))

    def training_losses(self, batch, targets):
        return {"cls": nn.functional.cross_entropy(self.logits(batch), batch.labels)}

    def predict(self, batch):
        return Prediction(self.logits(batch))


def store(rows: int, seed: int, width: int = 4) -> Store:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(2, (rows,), generator=generator)
    values = {m: torch.randn(rows, width, generator=generator) + labels[:, None] for m in "svt"}
    ones, starts = torch.ones(rows, dtype=torch.long), torch.arange(rows)
    ids = tuple(f"u{i}" for i in range(rows))
    return Store(ids, values, dict.fromkeys("svt", starts), dict.fromkeys("svt", ones), labels)


def train(checkpoint=None, on_epoch=lambda epoch: None, **changes):
    torch.manual_seed(0)
    method, normaliser = Pooled(), Normaliser(dict.fromkeys("svt", 4))
    progress = fit(
        method,
        normaliser,
        store(30, 0),
        store(20, 1),
        checkpoint=checkpoint,
        on_epoch=on_epoch,
        **OPTIONS | changes,
    )
    return method, progress


def same(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_the_same_seed_gives_the_same_bits():
    (first, one), (second, two) = train(), train()
    assert same(first, second)
    assert one.curves == two.curves
    assert not same(first, train(seed=4)[0])


def test_a_killed_training_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr("cmarr.training.loop.SAVE_EVERY", 0.0)
    whole, expected = train()

    class Kill(Exception):
        pass

    def kill_after_two(epoch):
        if epoch == 2:
            raise Kill

    checkpoint = Checkpoint(tmp_path / "state")
    with pytest.raises(Kill):
        train(checkpoint, kill_after_two)
    epochs = []
    resumed, progress = train(checkpoint, epochs.append)
    assert epochs == [3, 4, 5, 6]
    assert same(whole, resumed)
    assert progress.curves == expected.curves


def test_the_weights_kept_are_those_of_the_best_epoch():
    method, progress = train(epochs=12, lr=0.05)
    scores = [curve["validation/selection"] for curve in progress.curves]
    assert progress.best_epoch == 1 + scores.index(max(scores))  # ties to the earliest
    again, _ = train(epochs=progress.best_epoch, lr=0.05)
    assert same(method, again)


@pytest.mark.parametrize(("epochs", "kept"), [(1, 2), (3, 4), (9, 5)])
def test_an_epoch_may_count_as_the_mean_of_the_last_ones(monkeypatch, epochs, kept):
    """Of three: .5, .7, .667, .733, .7, .65; of all so far: .5, .7, .667, .675, .72, .683."""
    scores = iter([0.5, 0.9, 0.6, 0.7, 0.9, 0.5] if epochs == 9 else [0.5, 0.9, 0.6, 0.7, 0.8, 0.45])
    monkeypatch.setattr(StageLoop, "_validated", lambda *_: {"validation/selection": next(scores)})
    _, progress = train(epochs=6, selection_epochs=epochs)
    assert progress.best_epoch == kept


def test_patience_stops_early():
    _, progress = train(epochs=200, patience=3, lr=0.05)
    assert progress.epoch == progress.best_epoch + 3


def test_a_batch_never_holds_a_single_utterance():
    sizes = []

    class Spy(Pooled):
        def training_losses(self, batch, targets):
            sizes.append(len(batch))
            return super().training_losses(batch, targets)

    method = Spy()
    fit(method, Normaliser(dict.fromkeys("svt", 4)), store(17, 0), store(8, 1), **OPTIONS | {"epochs": 1})
    assert sorted(sizes) == [5, 6, 6]  # not 8, 8 and 1


def test_divergence_is_named_not_trained_on():
    class Exploding(Pooled):
        def training_losses(self, batch, targets):
            return {"udcl": self.logits(batch).sum() * torch.inf}

    with pytest.raises(UserError, match=r"loss/udcl is .* in epoch 1: training diverged; lower train.lr"):
        fit(Exploding(), Normaliser(dict.fromkeys("svt", 4)), store(16, 0), store(8, 1), **OPTIONS)


def test_a_validation_score_that_is_no_number_is_named_too():
    class Wild(Pooled):
        def predict(self, batch):
            nothing = torch.full((len(batch), 1), torch.nan)
            return Prediction(nothing)

    options = OPTIONS | {
        "task": Task()
    }  # a regression: among classes there is a largest logit whatever they are
    with pytest.raises(
        UserError, match=r"validation/\w+ is nan in epoch 1: training diverged; lower train.lr"
    ):
        fit(Wild(), Normaliser(dict.fromkeys("svt", 4)), store(16, 0), store(8, 1), **options)


def test_validation_score_by_hand():
    data = store(4, 0)
    data = Store(data.ids, data.values, data.starts, data.lengths, torch.tensor([0, 0, 0, 1]))
    # answers: no, no, yes, yes -> recall of "no" 2/3, of "yes" 1
    logits = torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    scores = validation_scores({"t": logits, "svt": logits.flip(1)}, data, TASK)
    assert scores["t"] == pytest.approx((2 / 3 + 1) / 2)
    assert scores["svt"] == pytest.approx((1 / 3 + 0) / 2)
    assert selection_score(scores, "mean7", TASK) == pytest.approx((scores["t"] + scores["svt"]) / 2)
    assert selection_score(scores, "avg6", TASK) == scores["t"]
    assert selection_score(scores, "complete", TASK) == scores["svt"]


def test_regression_is_selected_by_the_lowest_error():
    data = store(2, 0)
    data = Store(data.ids, data.values, data.starts, data.lengths, torch.tensor([1.0, -1.0]))
    scores = validation_scores({"t": torch.tensor([[0.5], [-3.0]])}, data, Task())
    assert scores["t"] == pytest.approx((0.5 + 2) / 2)
    assert selection_score(scores, "mean7", Task()) == -1.25


def test_a_condition_counts_when_somebody_can_meet_it():
    assert met_conditions(torch.tensor([[True, False, True], [True, False, False]])) == ["t", "s", "st"]


def test_the_prior_by_hand():
    assert training_prior(torch.tensor([0, 1, 1, 1]), TASK).tolist() == [0.25, 0.75]
    assert training_prior(torch.tensor([3.0, -1.0, 0.0]), Task()).tolist() == [0.0]


def linear_model(tmp_path):
    from cmarr.methods.linear import Linear

    dims, settings = dict.fromkeys("svt", 4), {"C": 1.0}
    description = {"method": "linear", "settings": settings, "dims": dims, "classes": list(TASK.classes)}
    method = Linear(dims, TASK, Linear.Settings(**settings))
    method.fit(store(20, 0).batch(torch.arange(20)), torch.Generator())
    model = Model(method, Normaliser(dims), torch.tensor([0.25, 0.75]), TASK, description)
    path = tmp_path / "model.safetensors"
    save_model(path, model)
    return path, model


def test_a_model_comes_back_as_it_was(tmp_path):
    path, model = linear_model(tmp_path)
    loaded = load_model(path)
    assert same(loaded.method, model.method)
    assert loaded.task == TASK
    assert loaded.prior.tolist() == [0.25, 0.75]
    assert list(tmp_path.iterdir()) == [path]  # nothing half-written beside it


def test_a_damaged_model_is_one_sentence(tmp_path):
    path, _ = linear_model(tmp_path)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(UserError, match=r"is damaged: it is cut off, .*; train it again"):
        load_model(path)
    with pytest.raises(UserError, match="does not exist"):
        load_model(tmp_path / "absent.safetensors")


class InStages(Pooled):
    """The same method; its first stage minimises another loss, and nothing chooses its epoch."""

    def stages(self):
        return [
            Stage("shrink", 0.5, ("size",), {"lr": 0.02, "mask_conditions": ["svt"]}, selects=False),
            Stage("learn", 0.5, ("cls",)),
        ]

    def training_losses(self, batch, targets):
        size = sum(p.square().sum() for p in self.parameters())
        return {**super().training_losses(batch, targets), "size": size}


def train_in_stages(checkpoint=None, on_epoch=lambda epoch: None, **changes):
    torch.manual_seed(0)
    method, normaliser = InStages(), Normaliser(dict.fromkeys("svt", 4))
    options = {"checkpoint": checkpoint, "on_epoch": on_epoch, **OPTIONS, **changes}
    return method, fit(method, normaliser, store(30, 0), store(20, 1), **options)


class TestStages:
    def test_each_minimises_its_own_losses(self):
        _, progress = train_in_stages()
        trained = [{n for n in curve if n in ("loss/cls", "loss/size")} for curve in progress.curves]
        assert trained == [{"loss/size"}] * 3 + [{"loss/cls"}] * 3
        sizes = [curve["loss/size"] for curve in progress.curves[:3]]
        assert sizes == sorted(sizes, reverse=True)

    def test_the_epoch_kept_is_one_of_the_last_stage(self):
        _, progress = train_in_stages(epochs=12)
        scores = [curve["validation/selection"] for curve in progress.curves]
        assert progress.best_epoch == 7 + scores[6:].index(max(scores[6:]))

    def test_a_stage_that_selects_nothing_passes_on_its_last_epoch(self):
        class Whole(InStages):
            def stages(self):
                return [Stage("shrink", 1.0, ("size",), {"lr": 0.1}, selects=False)]

        torch.manual_seed(0)
        method = Whole()
        progress = fit(method, Normaliser(dict.fromkeys("svt", 4)), store(30, 0), store(20, 1), **OPTIONS)
        assert progress.best_epoch == progress.epoch == 6

    def test_patience_counts_within_a_stage(self):
        _, progress = train_in_stages(epochs=200, patience=2, lr=0.05)
        assert progress.begin == progress.epoch
        assert len(progress.curves) == progress.best_epoch + 2 > 100

    @pytest.mark.parametrize("killed_after", [1, 3, 5])
    def test_killed_in_any_stage_it_goes_on_to_the_same_bits(self, tmp_path, monkeypatch, killed_after):
        monkeypatch.setattr("cmarr.training.loop.SAVE_EVERY", 0.0)
        whole, expected = train_in_stages()

        class Kill(Exception):
            pass

        def kill(epoch):
            if epoch == killed_after:
                raise Kill

        checkpoint = Checkpoint(tmp_path / "state")
        with pytest.raises(Kill):
            train_in_stages(checkpoint, kill)
        epochs = []
        resumed, progress = train_in_stages(checkpoint, epochs.append)
        assert epochs == list(range(killed_after + 1, 7))
        assert same(whole, resumed)
        assert progress.curves == expected.curves
