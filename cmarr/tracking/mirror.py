"""Results into MLflow, each exactly once.

A result is known by its content hash. Its parent run carries the hash as a tag from the first moment
and becomes FINISHED in the last one, so a run with a hash that is not FINISHED is what a killed process
left behind: it is deleted, and a result that is still current is logged anew.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cmarr.tracking import runs
from cmarr.tracking.lookup import HASH_TAG, finished_hashes
from cmarr.tracking.results import Results, content_hash
from cmarr.tracking.store import Store, configure, failures, locked, prepare_locked, reason

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tracked:
    """How many results were logged now, how many were there already, how many could not be logged."""

    logged: int = 0
    already: int = 0
    missed: int = 0


def track(*results: Results, root: Path) -> Tracked:
    """Mirror results into the MLflow store of `root`; what is there already is left alone.

    No result depends on MLflow: a store that cannot be reached or used costs one logged warning.
    """
    store = configure(root)
    current = {content_hash(result): result for result in results}
    logged = already = 0
    try:
        known = finished_hashes(store)
        missing = {key: result for key, result in current.items() if key not in known}
        already = len(current) - len(missing)
        if missing:
            with locked(store):
                prepare_locked(store)
                client = _client(store)
                for key, result in missing.items():
                    if _clear(client, store, result.dataset, key):
                        already += 1
                    else:
                        runs.log_result(client, store, key, result)
                        logged += 1
    except failures() as error:
        log.warning(
            "MLflow at %s cannot be used (%s): %d result(s) are missing there until tracking runs again; "
            "no other output is affected%s",
            store.shown,
            reason(error),
            len(current) - already - logged,
            ". If it stays so, move the file away: a new one is made and filled." if store.database else ".",
        )
    return Tracked(logged, already, len(current) - already - logged)


def _clear(client: "MlflowClient", store: Store, dataset: str, key: str) -> bool:
    """Delete what is not a whole run of this result and all but one that are; true if one is left.

    Whoever holds the lock of a local store is its only writer, so every unfinished run in it is dead. A
    server may have other writers: there only the runs of the result in hand are touched.
    """
    experiment = client.get_experiment_by_name(dataset)
    if experiment is None:
        return False
    found = client.search_runs([experiment.experiment_id], f"tags.{HASH_TAG} = '{key}'")
    whole = [run for run in found if run.info.status == "FINISHED"]
    dead = [run for run in found if run.info.status != "FINISHED"]
    if store.database is not None:
        dead = client.search_runs(
            [experiment.experiment_id], f"attributes.status != 'FINISHED' AND tags.{HASH_TAG} != ''"
        )
    for run in [*whole[:-1], *dead]:
        runs.delete(client, run)
    return bool(whole)


def _client(store: Store) -> "MlflowClient":
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=store.uri)
