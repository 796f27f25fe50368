"""Feature sequences on disk: Parquet shards, one row an utterance."""
