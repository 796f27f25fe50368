"""`cmarr export`: one folder, which needs nothing of the study any more."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cmarr import Recognizer
from cmarr.cli import app
from cmarr.errors import UserError
from cmarr.recognition.export import export
from cmarr.recognition.trained import exported, of_study
from cmarr.seals import LIST
from tests.resealed import relisted
from tests.warm import python

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(project, tmp_path):
    return export(of_study("demo", "cmarr", root=project), tmp_path / "model")


def changed(folder, **values):
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    relisted(folder)


def test_the_same_answers_without_the_study(folder, recognizer):
    with Recognizer.load(folder, keep=False) as loaded:
        assert loaded.predict(text="hello") == recognizer.predict(text="hello")
        assert loaded.classes == ("calm", "tense", "glad")
        assert loaded.modalities == ("speech", "video", "text")
        assert loaded.notes == []


def test_it_holds_what_is_needed_and_a_card(folder):
    assert sorted(p.name for p in folder.iterdir()) == [
        "README.md",
        LIST,
        "fold1-seed0.safetensors",
        "model.json",
    ]
    about = json.loads((folder / "model.json").read_text())
    assert about["classes"] == ["calm", "tense", "glad"]
    assert about["encoders"]["speech"]["settings"] == {"bands": 20, "pool": 5}
    assert about["encoders"]["speech"]["provenance"]["revision"] == "1"
    card = (folder / "README.md").read_text()
    assert "| speech | logmel | 1 | bands=20 pool=5 trim=25 |" in card
    assert "| fold1-seed0.safetensors | 1 | 0 | 3 | 0.7000 |" in card


def test_neither_dvc_nor_mlflow_nor_the_pipeline_is_imported(folder):
    code = (
        "import sys\n"
        "def found(): return [m for m in sys.modules if m.split('.')[0] in ('dvc', 'mlflow', 'transformers')]\n"
        "for m in found(): del sys.modules[m]\n"  # which a fork has: who imports them has them again
        "from cmarr import Recognizer\n"
        f"with Recognizer.load({str(folder)!r}, keep=False) as r: print(r.predict(text='hello'))\n"
        "print(found() + [m for m in sys.modules if m == 'cmarr.corpora.registry'])"
    )
    done = subprocess.run([python(), "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip().endswith("[]"), done.stdout


def test_an_export_is_replaced_only_on_demand(folder, project, tmp_path):
    with pytest.raises(UserError, match=r"replace it with --force \(force=True\)"):
        export(of_study("demo", "masked", root=project), folder)
    export(of_study("demo", "masked", root=project, fold=0), folder, force=True)
    assert sorted(p.name for p in folder.glob("*.safetensors")) == ["fold0-seed0.safetensors"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    with pytest.raises(UserError, match="holds other things"):
        export(of_study("demo", root=project), tmp_path / "other", force=True)


def test_an_export_is_not_written_over_itself(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    for target in (folder, tmp_path / "link"):
        with pytest.raises(UserError, match="would lose the weights; name another folder"):
            export(exported(folder), target, force=True)
    assert sorted(p.name for p in folder.iterdir()) == [
        "README.md",
        LIST,
        "fold1-seed0.safetensors",
        "model.json",
    ]
    export(exported(folder), tmp_path / "copy")
    export(exported(folder), tmp_path / "copy", force=True)


def test_the_command(project, tmp_path):
    target = tmp_path / "model"
    arguments = [
        "export",
        str(target),
        "--method",
        "masked",
        "--ensemble",
        "--params",
        str(project / "params.yaml"),
    ]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "fold0-seed0.safetensors (validation score 0.5000), fold1-seed0.safetensors" in done.output
    assert "averaged" in (target / "README.md").read_text()
    done = CliRunner().invoke(app, [*arguments[:2], "--params", str(tmp_path / "params.yaml")])
    assert done.exit_code == 1 and "params.yaml is not there" in done.output
    assert "--model" not in done.output  # which this command does not have


def test_features_of_another_encoder_are_refused(folder):
    about = json.loads((folder / "model.json").read_text())
    encoders = about["encoders"]
    encoders["speech"]["provenance"]["revision"] = "0"
    changed(folder, encoders=encoders)
    with pytest.raises(UserError, match="speech: the encoder logmel has another revision here"):
        Recognizer.load(folder)


def test_other_libraries_are_worth_a_note(folder):
    encoders = json.loads((folder / "model.json").read_text())["encoders"]
    encoders["text"]["provenance"]["libraries"] = "scikit-learn 0.1"
    changed(folder, encoders=encoders)
    with Recognizer.load(folder, keep=False) as loaded:
        assert "text: trained with scikit-learn 0.1, here is" in loaded.notes[0]


def test_weights_that_are_gone_or_of_another_model(folder, project, tmp_path):
    weights = folder / "fold1-seed0.safetensors"
    shutil.copyfile(project / "data/demo/models/masked/fold1-seed0.safetensors", weights)
    changed(folder, classes=["calm", "tense"])
    with pytest.raises(UserError, match="of another task"):
        Recognizer.load(folder)
    weights.unlink()
    with pytest.raises(UserError, match="does not exist"):
        Recognizer.load(folder)
