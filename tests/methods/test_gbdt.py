"""`gbdt`: trees on pooled features, with random masks, kept as arrays."""

import torch

from cmarr.data.batch import Batch, visibility
from cmarr.data.normalise import Normaliser
from cmarr.methods.asking import predictions
from cmarr.methods.model import Model, load_model, save_model
from cmarr.methods.protocol import ClosedForm
from cmarr.methods.registry import build_method
from cmarr.modalities import CONDITIONS
from cmarr.task import Task

DIMS = {"s": 3, "v": 2, "t": 4}
TASK = Task(("a", "b", "c"))
SMALL = {"rounds": 30, "leaves": 4, "smallest_leaf": 5, "feature_share": 1.0}


def batch(rows: int = 120, seed: int = 0, task: Task = TASK) -> Batch:
    """Each class shifts a feature of each modality."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (rows,), generator=generator)
    values, lengths = {}, {}
    for m, dim in DIMS.items():
        lengths[m] = torch.randint(1, 6, (rows,), generator=generator)
        rows_of = torch.repeat_interleave(torch.arange(rows), lengths[m])
        noise = torch.randn(len(rows_of), dim, generator=generator)
        values[m] = noise + 2 * torch.eye(3, dim)[labels][rows_of]
    wanted = labels - 1.0 if task.regression else labels
    return Batch(values, lengths, torch.ones(rows, 3, dtype=torch.bool), wanted)


def fitted(task: Task = TASK, data: Batch | None = None, seed: int = 0):
    method = build_method("gbdt", DIMS, task, SMALL)
    assert isinstance(method, ClosedForm)
    method.fit(data or batch(task=task), torch.Generator().manual_seed(seed))
    return method


def test_it_answers_with_any_modality():
    data = batch(seed=1)
    answers = predictions(fitted(), data, {c: visibility(c, len(data)) for c in CONDITIONS})
    for condition in CONDITIONS:
        accuracy = (answers[condition].logits.argmax(1) == data.labels).float().mean()
        assert accuracy > 0.5, condition
    complete = (answers["svt"].logits.argmax(1) == data.labels).float().mean()
    assert complete > 0.75


def test_it_predicts_scores():
    data = batch(seed=1, task=Task())
    answer = predictions(fitted(Task()), data, {"svt": visibility("svt", len(data))})["svt"].logits
    assert (answer[:, 0] - data.labels).abs().mean() < 0.5


def test_the_same_seed_grows_the_same_trees():
    first, second, other = fitted().state_dict(), fitted().state_dict(), fitted(seed=1).state_dict()
    assert all(torch.equal(first[k], second[k]) for k in first)
    assert not all(torch.equal(first[k], other[k]) for k in first)


def test_two_classes_of_three():
    data = batch()
    kept = data.labels != 1
    rows = {m: torch.repeat_interleave(kept, n) for m, n in data.lengths.items()}
    two = Batch(
        {m: v[rows[m]] for m, v in data.values.items()},
        {m: n[kept] for m, n in data.lengths.items()},
        data.available[kept],
        data.labels[kept],
    )
    answer = predictions(fitted(data=two), two, {"svt": visibility("svt", len(two))})["svt"].logits
    assert (answer.argmax(1) == two.labels).float().mean() > 0.8
    assert (answer[:, 1] < -1e3).all()


def test_a_single_class_is_the_answer():
    data = batch()
    data.labels.fill_(2)
    answer = predictions(fitted(data=data), data, {"t": visibility("t", len(data))})["t"].logits
    assert (answer.argmax(1) == 2).all()


def test_it_comes_back_from_a_file_that_can_run_nothing(tmp_path):
    method, data = fitted(), batch(seed=1)
    description = {"method": "gbdt", "settings": SMALL, "dims": DIMS, "classes": list(TASK.classes)}
    model = Model(method, Normaliser(DIMS), torch.ones(3) / 3, TASK, description)
    save_model(tmp_path / "model.safetensors", model)
    loaded = load_model(tmp_path / "model.safetensors").method
    masks = {c: visibility(c, len(data)) for c in CONDITIONS}
    before, after = predictions(method, data, masks), predictions(loaded, data, masks)
    assert all(torch.equal(before[c].logits, after[c].logits) for c in CONDITIONS)
