import os
import sqlite3

import pytest

from cmarr.errors import UserError
from cmarr.tracking import store

pytestmark = pytest.mark.filterwarnings(
    # MLflow 3.17 loads runs in a way that SQLAlchemy 2.1 is going to drop.
    "ignore:The ``noload`` loader strategy:DeprecationWarning"
)


def test_the_database_lies_at_the_root_wherever_the_work_is_done(tmp_path, monkeypatch):
    elsewhere = tmp_path / "temporary"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    found = store.configure(tmp_path / "temporary" / "..")
    assert found.uri == f"sqlite:///{tmp_path}/mlflow.db"
    assert found.artifacts == tmp_path / "mlartifacts"


def test_mlflow_tracking_uri_comes_first(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking.example:5000")
    found = store.configure(tmp_path)
    assert found.uri == "http://tracking.example:5000"
    assert found.database is None
    assert found.artifacts is None, "the server decides where artifacts go"


def test_a_relative_tracking_uri_is_taken_from_the_root(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///runs/all.db")
    found = store.configure(tmp_path)
    assert found.database == tmp_path / "runs" / "all.db"
    assert found.artifacts == tmp_path / "runs" / "mlartifacts"


def test_a_password_is_not_shown(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@tracking.example/x")
    assert store.configure(tmp_path).shown == "https://tracking.example/x"


def test_what_the_user_set_for_mlflow_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "7")
    store.configure(tmp_path)
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "7"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_preparing_again_changes_nothing(root):
    before = (root / "mlflow.db").read_bytes()
    store.prepare(root)
    assert (root / "mlflow.db").read_bytes() == before


def test_what_a_killed_preparation_left_is_cleared_away(root):
    (root / ".mlflow.db.123.tmp").touch()
    (root / ".mlflow.db.123.tmp-journal").touch()
    store.prepare(root)
    assert sorted(path.name for path in root.iterdir()) == ["mlflow.db", "mlflow.db.lock"]


def test_no_experiment_of_a_new_database_has_a_relative_artifact_folder(empty_database):
    with sqlite3.connect(empty_database) as connection:
        locations = [place for (place,) in connection.execute("SELECT artifact_location FROM experiments")]
    assert locations
    assert all(place.startswith(f"file://{empty_database.parent}/mlartifacts") for place in locations)


def test_an_empty_file_is_made_a_database(tmp_path):
    (tmp_path / "mlflow.db").touch()
    store.prepare(tmp_path)
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (0,)


def test_a_file_that_is_no_database_is_named(tmp_path):
    (tmp_path / "mlflow.db").write_text("not a database, but long enough to be looked at")
    with pytest.raises(UserError, match=r"mlflow\.db.*move it away"):
        store.prepare(tmp_path)
    assert (tmp_path / "mlflow.db").read_text().startswith("not a database")
