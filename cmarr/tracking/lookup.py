"""Which results a SQLite store already holds, asked without importing MLflow."""

import contextlib
import sqlite3

from cmarr.tracking.store import Store

HASH_TAG = "content_hash"
"""The tag by which a parent run names its result."""

FINISHED = f"""
    SELECT tags.value FROM tags JOIN runs ON tags.run_uuid = runs.run_uuid
    WHERE tags.key = '{HASH_TAG}' AND runs.status = 'FINISHED' AND runs.lifecycle_stage = 'active'
"""


def finished_hashes(store: Store) -> set[str]:
    """Content hashes of the finished runs of a SQLite store; empty where this cannot be told.

    Importing MLflow takes seconds, and most of the time there is nothing to log. An answer that
    misses runs costs only these seconds: whoever logs asks MLflow itself before it writes.
    """
    if store.database is None or not store.database.exists():
        return set()
    try:
        with contextlib.closing(
            sqlite3.connect(f"{store.database.as_uri()}?mode=ro", uri=True)
        ) as connection:
            return {value for (value,) in connection.execute(FINISHED)}
    except sqlite3.Error:
        return set()
