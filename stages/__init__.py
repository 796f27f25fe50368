"""One thin script per DVC stage: read the settings, call the library, write the outputs."""
