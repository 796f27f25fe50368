"""A training in miniature: it learns, a kill changes no bit, and what it says when it cannot go on."""

import pytest
import torch
from miniature import faces

from cmarr.encoders.face_network import load_denseface, read_notes
from cmarr.errors import UserError
from cmarr.files import file_digest
from denseface.state import read_state, write_state
from denseface.training import Average, Recipe, Training

AUGMENT = {
    "shift": 0.1, "zoom": 0.1, "rotation": 15.0, "flip": 0.5,
    "contrast": 0.4, "light": 0.1, "erase": 0.3, "erase_area": 0.2,
}  # fmt: skip
RECIPE = Recipe(
    seed=3,
    epochs=2,
    restarts=(),
    sides=(64,),
    side_shares=(1.0,),
    batch_size=4,
    lr=0.05,
    schedule="cosine",
    warmup=0.5,
    momentum=0.9,
    weight_decay=5e-4,
    average=0.9,
    precision="fp32",
    augment=AUGMENT,
)


def replace(recipe, **changed):
    return Recipe(**(recipe.model_dump() | changed))


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def training(folder, recipe=RECIPE, train=None):
    return Training(recipe, train or faces(12), faces(4, seed=1), folder)


def silent(told):
    pass


def test_stopped_at_any_step_and_continued_it_gives_the_same_bits(tmp_path):
    whole = training(tmp_path / "whole")
    whole.run(minutes=60, tell=silent)
    assert whole.done and whole.steps == 6

    first = training(tmp_path / "parts")
    for _ in range(2):  # in the middle of the first epoch
        first.step()
    first.save()
    second = training(tmp_path / "parts")
    second.run(minutes=60, tell=silent, epochs=1)
    third = training(tmp_path / "parts")
    assert third.progress.epoch == 1
    third.run(minutes=60, tell=silent)

    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, third.network.state_dict()[name]), name
    for name, value in whole.average.tensors.items():
        assert torch.equal(value, third.average.tensors[name]), name
    assert whole.progress.curves == third.progress.curves
    assert file_digest(whole.best) == file_digest(third.best)


def test_it_learns_and_says_how_it_goes(tmp_path):
    told = []
    one = training(tmp_path, replace(RECIPE, epochs=4, warmup=0.0, augment=AUGMENT | {"erase": 0.0}))
    one.run(minutes=60, tell=told.append)
    losses = [curve["loss"] for curve in one.progress.curves]
    assert losses[-1] < losses[0] - 0.1
    assert len(told) == 4 and told[0].startswith("epoch 1 of 4 done, loss ")
    assert "validation/accuracy" in told[0] and told[0].endswith(" h left")


def test_the_time_left_knows_that_larger_faces_take_longer(tmp_path, monkeypatch):
    one, told, clock = training(tmp_path, replace(RECIPE, sides=[32, 64], side_shares=[0.5, 0.5])), [], [0.0]
    step = one.step

    def timed():
        clock[0] += 3600 if one.side == 32 else 4 * 3600
        step()

    monkeypatch.setattr(one, "step", timed)
    monkeypatch.setattr("denseface.training.time.monotonic", lambda: clock[0])
    one.run(minutes=6000, tell=told.append)
    assert one.batches == 3 and [line.rsplit("; ")[1] for line in told] == ["12.0 h left", "0.0 h left"]


def test_the_best_epoch_is_kept_with_what_is_needed_to_use_it(tmp_path):
    one = training(tmp_path)
    one.run(minutes=60, tell=silent)
    scores = [curve["validation/selection"] for curve in one.progress.curves]
    assert one.progress.best_score == max(scores)
    assert one.progress.best_epoch == scores.index(max(scores)) + 1
    load_denseface(str(one.best))
    notes = read_notes(one.best)
    assert notes["epoch"] == one.progress.best_epoch and notes["epochs"] == 2
    assert sum(notes["shares"]) == pytest.approx(1) and 0 <= notes["strength"] <= 1


def test_a_finished_training_does_nothing(tmp_path):
    one = training(tmp_path, replace(RECIPE, epochs=1))
    one.run(minutes=60, tell=silent)
    before = file_digest(one.state)
    again = training(tmp_path, replace(RECIPE, epochs=1))
    assert again.done
    again.run(minutes=60, tell=silent)
    assert file_digest(one.state) == before


def saved(tmp_path):
    one = training(tmp_path)
    one.step()
    one.save()
    return one


def test_a_state_of_other_settings_or_faces_is_refused(tmp_path):
    saved(tmp_path)
    with pytest.raises(UserError, match=r"other settings \(recipe: lr was 0\.05, now 0\.1\); set them back"):
        training(tmp_path, replace(RECIPE, lr=0.1))
    with pytest.raises(UserError, match=r"was trained on other faces; set `root` to those"):
        training(tmp_path, train=faces(12, seed=5))


def test_a_damaged_state_is_refused(tmp_path):
    one = saved(tmp_path)
    content = one.state.read_bytes()
    for place in (20, len(content) // 2, len(content) - 1):
        one.state.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(
            UserError, match=r"state\.safetensors .*(damaged|no seal).*remove it to begin anew"
        ):
            training(tmp_path)
    one.state.write_bytes(content[:1000])
    with pytest.raises(UserError, match=r"state\.safetensors is damaged: it is cut off"):
        training(tmp_path)


def spoilt(tmp_path, **changed):
    """A state whose notes say something else."""
    state = saved(tmp_path).state
    groups, notes = read_state(state)
    write_state(state, groups, notes | changed)


def test_a_state_that_says_too_little_is_refused(tmp_path):
    spoilt(tmp_path / "a", recipe=None)
    with pytest.raises(
        UserError, match=r"not the state of a training of Denseface \(its notes lack 'recipe'\)"
    ):
        training(tmp_path / "a")
    spoilt(tmp_path / "b", progress={"steps": 7})
    with pytest.raises(UserError, match="was written by another version of cmarr"):
        training(tmp_path / "b")


def test_of_other_settings_only_those_are_named_that_differ(tmp_path):
    saved(tmp_path)
    with pytest.raises(UserError, match=r"\(recipe: augment\.flip was 0\.5, now 0\.25\)"):
        training(tmp_path, replace(RECIPE, augment=AUGMENT | {"flip": 0.25}))


def test_without_momentum(tmp_path):
    one = training(tmp_path, replace(RECIPE, momentum=0.0))
    one.step()
    one.save()
    training(tmp_path, replace(RECIPE, momentum=0.0)).step()


def test_a_kill_between_new_best_weights_and_their_state_loses_nothing(tmp_path, monkeypatch):
    one = training(tmp_path)
    one.run(minutes=60, tell=silent, epochs=1)
    before = file_digest(one.best)
    monkeypatch.setattr(one, "save", lambda: None)  # killed before it is written
    one.progress.best_score = -1.0
    one.run(minutes=60, tell=silent)
    assert file_digest(one.best) != before
    again = training(tmp_path)
    assert again.progress.epoch == 1 and file_digest(again.best) == before
    again.run(minutes=60, tell=silent)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "best.safetensors", "best.safetensors.sha256", "state.safetensors"
    ]  # fmt: skip


def test_faces_without_emotions_are_refused():
    some = faces(4)
    some.votes[:, -1] = 1
    with pytest.raises(
        UserError, match=r"of 4 faces, from fer0000000\.png on, none has votes for an emotion"
    ):
        some.real()


def test_best_weights_that_are_gone_are_missed(tmp_path):
    one = training(tmp_path)
    one.run(minutes=60, tell=silent, epochs=1)
    one.best.unlink()
    with pytest.raises(
        UserError, match=r"best\.safetensors: the weights of epoch 1, the best so far, are not there"
    ):
        training(tmp_path)


def test_shipped_weights_stand_in_for_the_best_if_they_are_the_same(tmp_path, monkeypatch):
    one = training(tmp_path)
    one.run(minutes=60, tell=silent, epochs=1)
    shipped = one.best.rename(tmp_path / "shipped.safetensors")
    monkeypatch.setattr("denseface.training.SHIPPED", shipped)
    training(tmp_path)
    assert file_digest(one.best) == file_digest(shipped)
    load_denseface(str(one.best))


def test_a_state_is_small_enough_for_git(tmp_path):
    assert saved(tmp_path).state.stat().st_size < 10e6


def test_more_faces_a_step_than_there_are(tmp_path):
    with pytest.raises(UserError, match=r"recipe\.batch_size: 13 is more than the 12 faces"):
        training(tmp_path, replace(RECIPE, batch_size=13))


def test_a_training_that_diverges_says_so(tmp_path):
    one = training(tmp_path, replace(RECIPE, lr=1e30, warmup=0.0))
    with pytest.raises(UserError, match=r"not finite in epoch 1: training diverged; lower recipe\.lr"):
        one.run(minutes=60, tell=silent)


def test_the_average_keeps_little_of_its_beginning():
    values = {"w": torch.zeros(1), "n": torch.tensor(0)}
    average = Average(values, decay=0.5)
    assert set(average.tensors) == {"w"}
    average.update({"w": torch.ones(1)}, step=0)  # keeps 1/10
    assert average.tensors["w"].item() == pytest.approx(0.9)
    average.update({"w": torch.zeros(1)}, step=100)  # keeps 0.5, as told
    assert average.tensors["w"].item() == pytest.approx(0.45)


def test_small_faces_first_and_only_whole_ones_are_kept(tmp_path):
    course = replace(RECIPE, epochs=3, restarts=[2], sides=[32, 64], side_shares=[0.5, 0.5])
    one = training(tmp_path, course)
    one.run(minutes=60, tell=silent)
    assert [curve["side"] for curve in one.progress.curves] == [32, 64, 64]
    assert one.progress.best_epoch in (2, 3)


def test_a_kill_among_small_faces_changes_no_bit(tmp_path):
    course = replace(RECIPE, restarts=(1,), sides=(32, 64), side_shares=(0.5, 0.5), epochs=3)
    whole = training(tmp_path / "whole", course)
    whole.run(minutes=60, tell=silent)
    first = training(tmp_path / "parts", course)
    first.run(minutes=60, tell=silent, epochs=1)
    first.step()
    first.save()
    second = training(tmp_path / "parts", course)
    second.run(minutes=60, tell=silent)
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, second.network.state_dict()[name]), name
    assert whole.progress.curves == second.progress.curves


def test_the_learning_rate_starts_over_with_each_cycle(tmp_path):
    one = training(tmp_path, replace(RECIPE, epochs=3, restarts=[1], warmup=0.0))
    rates = []
    for _ in range(3):
        for _ in range(one.batches):
            one.step()
            rates.append(one.optimiser.param_groups[0]["lr"])
        one.progress.epoch, one.progress.batch = one.progress.epoch + 1, 0
    assert rates[0] == rates[3] == 0.05
    assert rates[:3] == sorted(rates[:3], reverse=True) and rates[3:] == sorted(rates[3:], reverse=True)
