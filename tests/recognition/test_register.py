"""The best model of a study in MLflow's registry: once a model, and whole enough to answer."""

import shutil
import sys
import warnings
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "tracking"))

from cmarr.errors import UserError
from cmarr.recognition.pretrained import pretrained
from cmarr.recognition.trained import of_study
from cmarr.serving.register import Registered, register
from cmarr.tracking import store
from cmarr.tracking.mirror import track
from cmarr.tracking.results import Results, content_hash

RESULT = Results("demo", "cmarr", {"beta": 0.1}, {"UAR": {"avg6": {"mean": 0.5}}}, "0123")


@pytest.fixture(scope="module", autouse=True)
def quiet():
    """MLflow's variables are gone after these tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", *store.DEFAULTS):
            patch.setenv(name, "")
            patch.delenv(name)
        yield


@pytest.fixture(scope="module")
def tracked(project, tmp_path_factory):
    """The folder of a project whose study is in MLflow, its best model registered twice, and what was said."""
    root = tmp_path_factory.mktemp("my project") / "with model"
    shutil.copytree(project, root)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The ``noload`` loader strategy", DeprecationWarning)
        store.prepare(root)
    track(RESULT, root=root)
    best = of_study("demo", "cmarr", root=root)
    tags = {"git_commit": "abc"}
    told = [register(best, root=root, result=content_hash(RESULT), tags=tags) for _ in range(2)]
    return root, told


@pytest.fixture
def client(tracked):
    from mlflow import MlflowClient

    uri = store.configure(tracked[0]).uri
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def test_a_model_is_registered_once(tracked, client):
    assert tracked[1] == [Registered("cmarr-demo", 1, new=True), Registered("cmarr-demo", 1, new=False)]
    (version,) = client.search_model_versions("name = 'cmarr-demo'")
    assert version.tags["method"] == "cmarr" and version.tags["git_commit"] == "abc"
    assert version.tags["validation_score"] == "0.7000"  # of fold 1; fold 0 has 0.5
    assert "## Before you use it" in version.description
    run = client.get_run(version.run_id)
    assert run.data.tags["content_hash"] == content_hash(RESULT) and run.info.status == "FINISHED"
    (shown,) = run.outputs.model_outputs
    assert f"/{shown.model_id}/" in version.source


def test_it_is_found_by_its_address_and_none_of_its_code_runs(tracked, client, monkeypatch, tmp_path):
    import mlflow

    monkeypatch.setattr(mlflow.pyfunc, "load_model", None)
    mlflow.set_tracking_uri(store.configure(tracked[0]).uri)
    found = pretrained("models:/cmarr-demo/1")
    assert found.about.as_dict() == of_study("demo", "cmarr", root=tracked[0]).about.as_dict()
    assert found.weights[0].name == "fold1-seed0.safetensors" and found.weights[0].is_file()
    with pytest.raises(UserError, match="models:/cmarr-demo/9 cannot be read from MLflow's registry"):
        pretrained("models:/cmarr-demo/9")


def test_another_model_is_the_next_version(tracked, client):
    other = of_study("demo", "cmarr", root=tracked[0], fold=0)
    made = register(other, root=tracked[0], result=content_hash(RESULT), tags={})
    assert made == Registered("cmarr-demo", 2, new=True)


def test_it_holds_weights_that_cannot_run_code_revisions_a_signature_and_an_example(tracked, client):
    import mlflow

    (version,) = client.search_model_versions("name = 'cmarr-demo' AND tags.validation_score = '0.7000'")
    folder = Path(version.source.removeprefix("file://").replace("%20", " "))
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert "artifacts/model/fold1-seed0.safetensors" in names and "pyfunc_model.py" in names
    assert not [name for name in names if name.endswith((".pkl", ".bin", ".pt", ".pth"))]
    told = mlflow.models.Model.load(str(folder))
    assert told.metadata["encoders"]["speech"]["revision"] == "1"
    inputs, outputs = (part.to_dict()[0] for part in (told.signature.inputs, told.signature.outputs))
    assert set(inputs["properties"]) == {
        "id", "clip", "audio", "video", "text", "features", "hide", "start", "end",
    }  # fmt: skip
    assert {"winner", "probabilities", "uncertainty", "used", "recovered", "refused"} <= set(
        outputs["properties"]
    )
    assert told.load_input_example(str(folder)) == [{"id": "greeting", "text": "I did not expect that"}]


def test_a_store_that_is_down_costs_a_warning(project, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    made = register(of_study("demo", "cmarr", root=project), root=tmp_path, result="x", tags={})
    assert made.version is None
    assert "the best model is not registered there" in caplog.text


def test_a_kill_leaves_nothing_that_counts(tracked, client, monkeypatch):
    """Killed after the model was logged and before its version was made: the next one starts anew."""
    from mlflow import MlflowClient

    other = of_study("demo", "masked", root=tracked[0])
    experiment = client.get_experiment_by_name("demo").experiment_id
    before = len(client.search_logged_models([experiment]))

    class Kill(BaseException):
        pass

    with monkeypatch.context() as patch, pytest.raises(Kill):
        patch.setattr(MlflowClient, "create_model_version", lambda *_, **__: (_ for _ in ()).throw(Kill))
        register(other, root=tracked[0], result=content_hash(RESULT), tags={})
    made = register(other, root=tracked[0], result=content_hash(RESULT), tags={})
    assert made.new
    there = client.search_logged_models([experiment])
    assert len(there) == before + 1
    kept = {model.model_id for model in there}
    folders = {path.name for path in (tracked[0] / "mlartifacts/demo/models").iterdir()}
    assert folders <= kept, "what the killed one has logged went with it"
