"""One thin script per DVC stage: read the settings, call the library, write the outputs."""

import sys
import time
from importlib.metadata import PackageNotFoundError, version

STARTED = time.time()
"""When this process began, nearly: its heavy imports count into a stage's time."""

try:
    version("cmarr")
except PackageNotFoundError:
    sys.exit(
        f"{sys.executable} is not the environment of this project; run `make env` once and "
        "`. .venv/bin/activate` in this shell"
    )
