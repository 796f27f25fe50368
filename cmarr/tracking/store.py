"""Where MLflow keeps runs and artifacts, how its database comes into being safely, and which results it holds.

Everything is anchored on one folder that the caller names and never on the working folder: an
experiment may run in a temporary copy of the repository, and what is kept there is lost with it.
"""

import contextlib
import fcntl
import os
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from cmarr import files
from cmarr.errors import UserError
from cmarr.extras import extra

SQLITE = "sqlite:///"

DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # MLflow itself retries seven times with growing pauses: minutes of waiting for a server that is down.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}
"""Environment variables set for MLflow unless the user has set them."""

HASH_TAG = "content_hash"
"""The tag by which a parent run names its result."""

FINISHED = f"""
    SELECT tags.value FROM tags JOIN runs ON tags.run_uuid = runs.run_uuid
    WHERE tags.key = '{HASH_TAG}' AND runs.status = 'FINISHED' AND runs.lifecycle_stage = 'active'
"""


@dataclass(frozen=True)
class Store:
    """uri: as MLflow takes it; database: the SQLite file, if it is one; artifacts: absolute folder for
    new experiments, None where a server decides; lock: the file that whoever writes holds locked.
    """

    uri: str
    database: Path | None
    artifacts: Path | None
    lock: Path

    @property
    def shown(self) -> str:
        """The URI without a password."""
        parts = urlsplit(self.uri)
        if "@" not in parts.netloc:
            return self.uri
        return urlunsplit(parts._replace(netloc=parts.netloc.rsplit("@", 1)[1]))


def configure(root: Path) -> Store:
    """Quieten MLflow and say where it keeps things: MLFLOW_TRACKING_URI if set, else `root`/mlflow.db.

    A relative SQLite path in MLFLOW_TRACKING_URI is taken from `root`. Cheap: does not import MLflow.
    """
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    root = Path(root).resolve()
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}{root / 'mlflow.db'}"
    if uri.startswith(SQLITE):
        database = root / uri.removeprefix(SQLITE)
        return Store(
            uri=f"{SQLITE}{database}",
            database=database,
            artifacts=database.parent / "mlartifacts",
            lock=database.with_name(f"{database.name}.lock"),
        )
    served = uri.startswith(("http://", "https://", "databricks"))
    return Store(
        uri=uri,
        database=None,
        artifacts=None if served else root / "mlartifacts",
        lock=root / "mlflow.db.lock",
    )


@contextlib.contextmanager
def locked(store: Store) -> Iterator[None]:
    """Be the only process on this machine that writes to the store; a killed process lets go of the lock."""
    store.lock.parent.mkdir(parents=True, exist_ok=True)
    with store.lock.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def prepare(root: Path) -> None:
    """Create the database, or bring it to the schema of the installed MLflow; once done, change nothing.

    Only SQLite files are prepared; a server or another database looks after itself. Safe to call
    again, from several processes at once, and after a kill: the file is made beside its place and
    renamed. Raises UserError if MLflow cannot use what is there.
    """
    store = configure(root)
    try:
        with locked(store):
            prepare_locked(store)
    except failures() as error:
        raise UserError(
            f"{store.database}: MLflow cannot use this database ({reason(error)}); move it away, "
            "and a new one is made and filled with the current results"
        ) from error


def prepare_locked(store: Store) -> None:
    """`prepare`, for whoever holds the lock already."""
    if store.database is None or store.artifacts is None:
        return
    for left_by_a_kill in store.database.parent.glob(f".{store.database.name}.*.tmp*"):
        left_by_a_kill.unlink()
    if not store.database.exists() or store.database.stat().st_size == 0:
        with files.atomic(store.database) as temporary:
            _open(temporary, store.artifacts)
    elif not _current(store.database):
        with files.atomic(store.database) as temporary:
            shutil.copy(store.database, temporary)
            _upgrade(temporary)


def failures() -> tuple[type[Exception], ...]:
    """What MLflow and its stores raise when they cannot be used."""
    with extra("study"):
        from alembic.util.exc import CommandError
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

    # ImportError: a database whose driver is not installed.
    return MlflowException, SQLAlchemyError, CommandError, sqlite3.Error, OSError, ImportError


def reason(error: BaseException) -> str:
    """Why MLflow cannot be used, short enough to stand inside a sentence."""
    if isinstance(error.__context__, ConnectionError | TimeoutError):
        return "the server does not answer"
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".") if len(lines[0]) <= 200 else f"{lines[0][:199]}…"


def _open(database: Path, artifacts: Path) -> None:
    """Let MLflow create what is missing, the default experiment with an absolute artifact folder included."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    SqlAlchemyStore(f"{SQLITE}{database}", artifacts.as_uri()).engine.dispose()


def _current(database: Path) -> bool:
    from mlflow.store.db import utils as schema

    engine = schema.create_sqlalchemy_engine(f"{SQLITE}{database}")
    try:
        return bool(schema._get_schema_version(engine) == schema._get_latest_schema_revision())
    finally:
        engine.dispose()


def _upgrade(database: Path) -> None:
    from mlflow.store.db import utils as schema

    engine = schema.create_sqlalchemy_engine(f"{SQLITE}{database}")
    try:
        schema._upgrade_db(engine)
    finally:
        engine.dispose()


def remove_artifacts(store: Store, place: str | None) -> None:
    """Remove the folder `.../<id>/artifacts` of a run or a logged model, if the store keeps it on this machine."""
    if store.artifacts is None or not place or urlsplit(place).scheme not in ("file", ""):
        return
    folder = Path(unquote(urlsplit(place).path))
    if folder.name == "artifacts" and folder.is_relative_to(store.artifacts):
        shutil.rmtree(folder.parent, ignore_errors=True)


def finished_hashes(store: Store) -> set[str]:
    """Content hashes of the finished runs of a SQLite store; empty where this cannot be told.

    Importing MLflow takes seconds, and most of the time there is nothing to log. An answer that
    misses runs costs only these seconds: whoever logs asks MLflow itself before it writes.
    """
    return {value for (value,) in selected(store, FINISHED)}


def selected(store: Store, query: str, *values: str) -> list[tuple[Any, ...]]:
    """Rows of a SQLite store, asked without importing MLflow; none where this cannot be told."""
    if store.database is None or not store.database.exists():
        return []
    try:
        place = f"{store.database.as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(place, uri=True)) as connection:
            return connection.execute(query, values).fetchall()
    except sqlite3.Error:
        return []
