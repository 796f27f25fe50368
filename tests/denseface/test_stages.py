"""`make denseface` and `make card` on a FER+ of a few faces: train, score, ship, and not read the test faces twice."""

import json
import shutil
from pathlib import Path

import pytest

import denseface.score
import denseface.train
from cmarr import seals
from cmarr.encoders.face_network import load_denseface
from cmarr.errors import UserError
from cmarr.files import file_digest, read_json, write_json
from cmarr.settings.load import read_yaml
from denseface.card import BEGIN, END
from denseface.recipe import PARAMS, load_settings

ROOT = Path(__file__).parents[2]


def write_recipe(**changed):
    given = read_yaml(PARAMS)
    write_json(PARAMS, given | {"recipe": given["recipe"] | changed})


@pytest.fixture
def project(ferplus, tmp_path, monkeypatch):
    """A folder to work in, with settings for a short training and an empty card; MLflow is told, not reached."""
    given = read_yaml(ROOT / PARAMS)
    short = {"epochs": 1, "restarts": [], "batch_size": 8, "precision": "fp32"}
    recipe = given["recipe"] | short
    write_json(tmp_path / PARAMS, given | {"root": str(ferplus), "threads": 1, "recipe": recipe})
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/denseface.md").write_text(f"# Card\n\n{BEGIN}\n{END}\n")
    monkeypatch.chdir(tmp_path)
    for module in ("denseface.training", "denseface.score"):
        monkeypatch.setattr(f"{module}.SHIPPED", tmp_path / "package/denseface.safetensors")
    monkeypatch.setattr("denseface.card.milliseconds", lambda network, batch: 1.0)  # seconds, to measure it
    told = []
    for module in (denseface.train, denseface.score):
        monkeypatch.setattr(module, "track", lambda result, root: told.append(result))
    return tmp_path, told


def test_train_then_ship(project, capsys):
    folder, told = project
    with pytest.raises(UserError, match="does not exist; train with `make denseface`"):
        denseface.score.main()
    denseface.train.main()
    assert "epoch 1 of 1 done" in capsys.readouterr().out
    denseface.score.main()
    numbers = read_json(folder / "package/denseface.json")
    assert numbers["weights"]["sha256"] == file_digest(folder / "package/denseface.safetensors")
    assert numbers["test"]["faces"] == 8
    load_denseface(str(folder / "package/denseface.safetensors"))
    assert "Weights of epoch 1 of 1" in (folder / "docs/denseface.md").read_text()

    trained, scored = told
    assert trained.settings["lr"] == scored.settings["lr"] == 0.1
    assert {"loss", "validation/UAR"} <= {name for _, name, _ in trained.folds[0].curves}
    assert scored.metrics["UAR"]["test"]["mean"] == numbers["test"]["plain"]["all"]["UAR"][0]

    (folder / "FER2013Test.zip").unlink()  # read once, and not again
    denseface.score.main()
    assert "were scored before" in capsys.readouterr().out
    denseface.train.main()
    assert "nothing is left to do" in capsys.readouterr().out


def test_a_fresh_clone_goes_on_from_the_state_and_the_shipped_weights(project):
    folder, _ = project
    denseface.train.main()
    denseface.score.main()
    (folder / "data/denseface/best.safetensors").unlink()
    denseface.train.main()
    shutil.rmtree(folder / "package")
    (folder / "data/denseface/best.safetensors").unlink()
    with pytest.raises(UserError, match="the best so far, are not there"):
        denseface.train.main()


def test_a_fresh_clone_ships_the_best_epoch_and_not_this_moment(project, capsys):
    folder, _ = project
    write_recipe(epochs=3, sides=[64], side_shares=[1.0])
    training = denseface.train.begin(load_settings())
    training.run(60, tell=print, epochs=1)
    denseface.score.main()
    shipped = file_digest(folder / "package/denseface.safetensors")
    training.step()
    training.save()
    for name in ("best.safetensors", "best.safetensors.sha256"):
        (folder / "data/denseface" / name).unlink()
    denseface.score.main()
    assert "were scored before" in capsys.readouterr().out
    assert file_digest(folder / "package/denseface.safetensors") == shipped
    denseface.train.begin(load_settings())  # can go on


def test_what_is_shipped_can_be_scored_without_its_training(project, capsys):
    folder, told = project
    denseface.train.main()
    denseface.score.main()
    package, card = folder / "package", folder / "docs/denseface.md"
    shipped, numbers, text = (
        file_digest(package / "denseface.safetensors"),
        read_json(package / "denseface.json"),
        card.read_text(),
    )
    shutil.rmtree(folder / "data/denseface")
    (package / "denseface.json").unlink()
    card.write_text(f"# Card\n\n{BEGIN}\n{END}\n")
    told.clear()
    capsys.readouterr()
    denseface.score.main()
    assert "those that cmarr brings along" in capsys.readouterr().out
    assert file_digest(package / "denseface.safetensors") == shipped
    assert read_json(package / "denseface.json") == numbers
    assert card.read_text() == text
    assert told == []  # MLflow knows trainings


def test_a_training_that_is_not_as_far_replaces_nothing(project):
    folder, _ = project
    package = folder / "package"
    denseface.train.main()
    denseface.score.main()
    shipped, numbers = file_digest(package / "denseface.safetensors"), read_json(package / "denseface.json")
    numbers["validation"]["plain"]["all"] |= {"accuracy": [1.0, 1.0, 1.0], "UAR": [1.0, 1.0, 1.0]}
    seals.write_json(package / "denseface.json", numbers)

    shutil.rmtree(folder / "data/denseface")
    write_recipe(seed=1, epochs=2)
    begun = denseface.train.begin(load_settings())
    begun.step()
    begun.save()
    with pytest.raises(UserError, match=r"are not chosen yet, those .* have 1\.0000"):
        denseface.score.main()
    begun.run(60, tell=print)
    with pytest.raises(
        UserError, match=r"state.safetensors: its best weights have 0\.\d+, those .* have 1.0000"
    ):
        denseface.score.main()
    assert file_digest(package / "denseface.safetensors") == shipped
    (package / "denseface.json").unlink()
    denseface.score.main()
    assert file_digest(package / "denseface.safetensors") != shipped


def test_what_is_shipped_is_checked_before_its_card_is_written(project):
    folder, _ = project
    package = folder / "package"
    denseface.train.main()
    denseface.score.main()
    shutil.rmtree(folder / "data/denseface")
    text = (package / "denseface.json").read_text()
    for damaged in (text[:100], "[]", text.replace('"mirrored"', '"mirrorec"')):
        (package / "denseface.json").write_text(damaged)
        with pytest.raises(UserError, match=r"denseface.json (has no seal|is damaged).*; restore it"):
            denseface.score.main()
    for lacking in (
        "{}",
        text.replace('"mirrored"', '"other"'),
        text.replace('"accuracy": [', '"accuracy": [], "was": ['),
    ):
        seals.write_json(package / "denseface.json", json.loads(lacking))
        with pytest.raises(UserError, match=r"denseface.json: is damaged or of another version; restore it"):
            denseface.score.main()
    (package / "denseface.json").write_text(text)
    (package / "denseface.safetensors.sha256").unlink()
    with pytest.raises(UserError, match="sha256 is missing"):
        denseface.score.main()


def test_two_trainings_do_not_write_one_state(project):
    for stage in (denseface.train, denseface.score):
        with (
            denseface.train.alone(),
            pytest.raises(UserError, match=r"is at work in .*denseface; wait for it"),
        ):
            stage.main()
    denseface.train.main()  # the first is over


def test_a_training_that_is_stopped_by_hand_says_how_to_go_on(project, monkeypatch):
    def stop(self, minutes, tell):
        raise KeyboardInterrupt

    monkeypatch.setattr("denseface.training.Training.run", stop)
    with pytest.raises(UserError, match=r"stopped; `make denseface` goes on .* at most 10 minutes ago"):
        denseface.train.main()


def test_a_place_that_is_taken_is_a_sentence(project, monkeypatch):
    folder, _ = project
    (folder / "data").mkdir()
    (folder / "data/denseface").write_text("a file")
    monkeypatch.setattr("denseface.training.Training.step", lambda self: self.save())
    with pytest.raises(
        SystemExit, match=r"^denseface: .*denseface cannot be used \(File exists\); mend its permiss"
    ):
        denseface.train.run("denseface", denseface.train.main)


def test_weights_of_a_moment_can_be_scored(project, capsys):
    folder, _ = project
    training = denseface.train.begin(load_settings())
    training.step()
    training.save()
    denseface.score.main()
    assert "no epoch is done yet" in capsys.readouterr().out
    assert read_json(folder / "package/denseface.json")["weights"]["epoch"] == 0.33
    training.step()
    training.save()
    (folder / "package/denseface.json").unlink()
    denseface.score.main()  # another moment, other weights
    assert read_json(folder / "package/denseface.json")["weights"]["epoch"] == 0.67
