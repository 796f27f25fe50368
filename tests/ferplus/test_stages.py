"""`make denseface` and `make card` on a FER+ of a few faces: train, score, ship, and not read the test faces twice."""

import shutil
from pathlib import Path

import pytest

import stages.card
import stages.denseface
from cmarr.encoders.face_network import load_denseface
from cmarr.errors import UserError
from cmarr.files import file_digest, read_json, write_json
from cmarr.report.face_card import BEGIN, END
from cmarr.settings.load import load_settings
from cmarr.settings.resolve import resolve
from stages.stage import run

ROOT = Path(__file__).parents[2]
SETTINGS = Path("data/demo/settings/denseface.json")


def write_settings(**changed):
    write_json(SETTINGS, read_json(SETTINGS) | changed)


@pytest.fixture
def project(ferplus, tmp_path, monkeypatch):
    """A folder to work in, with settings for a short training and an empty card; MLflow is told, not reached."""
    settings = resolve(load_settings(ROOT / "params.yaml", ROOT / "presets"))["denseface"]
    short = {
        "root": str(ferplus),
        "epochs": 1,
        "restarts": [],
        "batch_size": 8,
        "threads": 1,
        "precision": "fp32",
    }
    write_json(tmp_path / SETTINGS, settings | short)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/denseface.md").write_text(f"# Card\n\n{BEGIN}\n{END}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    for module in ("cmarr.ferplus.training", "stages.card"):
        monkeypatch.setattr(f"{module}.SHIPPED", tmp_path / "package/denseface.safetensors")
    monkeypatch.setattr(
        "cmarr.ferplus.card.milliseconds", lambda network, batch: 1.0
    )  # seconds, to measure it
    told = []
    for module in (stages.denseface, stages.card):
        monkeypatch.setattr(module, "track", lambda result, root: told.append(result))
    return tmp_path, told


def test_train_then_ship(project, capsys):
    folder, told = project
    with pytest.raises(UserError, match="does not exist; train with `make denseface`"):
        stages.card.main("demo")
    stages.denseface.main("demo")
    assert "epoch 1 of 1 done" in capsys.readouterr().out
    stages.card.main("demo")
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
    stages.card.main("demo")
    assert "were scored before" in capsys.readouterr().out
    stages.denseface.main("demo")
    assert "nothing is left to do" in capsys.readouterr().out


def test_a_fresh_clone_goes_on_from_the_state_and_the_shipped_weights(project):
    folder, _ = project
    stages.denseface.main("demo")
    stages.card.main("demo")
    (folder / "data/denseface/best.safetensors").unlink()
    stages.denseface.main("demo")
    shutil.rmtree(folder / "package")
    (folder / "data/denseface/best.safetensors").unlink()
    with pytest.raises(UserError, match="the best so far, are not there"):
        stages.denseface.main("demo")


def test_a_fresh_clone_ships_the_best_epoch_and_not_this_moment(project, capsys):
    folder, _ = project
    write_settings(epochs=3, sides=[64], side_shares=[1.0])
    training = stages.denseface.begin(read_json(SETTINGS))
    training.run(60, tell=print, epochs=1)
    stages.card.main("demo")
    shipped = file_digest(folder / "package/denseface.safetensors")
    training.step()
    training.save()
    for name in ("best.safetensors", "best.safetensors.sha256"):
        (folder / "data/denseface" / name).unlink()
    stages.card.main("demo")
    assert "were scored before" in capsys.readouterr().out
    assert file_digest(folder / "package/denseface.safetensors") == shipped
    stages.denseface.begin(read_json(SETTINGS))  # can go on


def test_what_is_shipped_can_be_scored_without_its_training(project, capsys):
    folder, told = project
    stages.denseface.main("demo")
    stages.card.main("demo")
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
    stages.card.main("demo")
    assert "those that cmarr brings along" in capsys.readouterr().out
    assert file_digest(package / "denseface.safetensors") == shipped
    assert read_json(package / "denseface.json") == numbers
    assert card.read_text() == text
    assert told == []  # MLflow knows trainings


def test_a_training_that_is_not_as_far_replaces_nothing(project):
    folder, _ = project
    package = folder / "package"
    stages.denseface.main("demo")
    stages.card.main("demo")
    shipped, numbers = file_digest(package / "denseface.safetensors"), read_json(package / "denseface.json")
    numbers["validation"]["plain"]["all"] |= {"accuracy": [1.0, 1.0, 1.0], "UAR": [1.0, 1.0, 1.0]}
    write_json(package / "denseface.json", numbers)

    shutil.rmtree(folder / "data/denseface")
    write_settings(seed=1, epochs=2)
    begun = stages.denseface.begin(read_json(SETTINGS))
    begun.step()
    begun.save()
    with pytest.raises(UserError, match=r"are not chosen yet, those .* have 1\.0000"):
        stages.card.main("demo")
    begun.run(60, tell=print)
    with pytest.raises(
        UserError, match=r"state.safetensors: its best weights have 0\.\d+, those .* have 1.0000"
    ):
        stages.card.main("demo")
    assert file_digest(package / "denseface.safetensors") == shipped
    (package / "denseface.json").unlink()
    stages.card.main("demo")
    assert file_digest(package / "denseface.safetensors") != shipped


def test_what_is_shipped_is_checked_before_its_card_is_written(project):
    folder, _ = project
    package = folder / "package"
    stages.denseface.main("demo")
    stages.card.main("demo")
    shutil.rmtree(folder / "data/denseface")
    text = (package / "denseface.json").read_text()
    lacking = text.replace('"accuracy": [', '"accuracy": [], "was": [')
    for damaged in (text[:100], "[]", text.replace('"mirrored"', '"other"'), lacking):
        (package / "denseface.json").write_text(damaged)
        with pytest.raises(UserError, match=r"denseface.json: is damaged or of another version; restore it"):
            stages.card.main("demo")
    (package / "denseface.json").write_text(text)
    (package / "denseface.safetensors.sha256").unlink()
    with pytest.raises(UserError, match="sha256 is missing"):
        stages.card.main("demo")


def test_two_trainings_do_not_write_one_state(project):
    for stage in (stages.denseface, stages.card):
        with (
            stages.denseface.alone(),
            pytest.raises(UserError, match=r"is at work in .*denseface; wait for it"),
        ):
            stage.main("demo")
    stages.denseface.main("demo")  # the first is over


def test_a_training_that_is_stopped_by_hand_says_how_to_go_on(project, monkeypatch):
    def stop(self, minutes, tell):
        raise KeyboardInterrupt

    monkeypatch.setattr("cmarr.ferplus.training.Training.run", stop)
    with pytest.raises(UserError, match=r"stopped; `make denseface` goes on .* at most 10 minutes ago"):
        stages.denseface.main("demo")


def test_a_place_that_is_taken_is_a_sentence(project, monkeypatch):
    folder, _ = project
    (folder / "data/denseface").write_text("a file")
    monkeypatch.setattr("sys.argv", ["stages/denseface.py", "demo"])
    monkeypatch.setattr("cmarr.ferplus.training.Training.step", lambda self: self.save())
    with pytest.raises(
        SystemExit, match=r"^denseface: .*denseface cannot be used \(File exists\); mend its permiss"
    ):
        run(stages.denseface.main)


def test_weights_of_a_moment_can_be_scored(project, capsys):
    folder, _ = project
    training = stages.denseface.begin(read_json(SETTINGS))
    training.step()
    training.save()
    stages.card.main("demo")
    assert "no epoch is done yet" in capsys.readouterr().out
    assert read_json(folder / "package/denseface.json")["weights"]["epoch"] == 0.33
    training.step()
    training.save()
    (folder / "package/denseface.json").unlink()
    stages.card.main("demo")  # another moment, other weights
    assert read_json(folder / "package/denseface.json")["weights"]["epoch"] == 0.67
