"""Python reads this file first where PYTHONPATH names its folder: it notes what each stage imports and opens.

One file a process in the folder that NOTED names, called after the stage and its arguments; processes that a stage
starts are noted under its name, too.
"""

import os
import sys
from pathlib import Path

FOLDER, STAGE = os.environ.get("NOTED"), "NOTED_STAGE"

if FOLDER and "-m" in sys.orig_argv:
    module, *arguments = sys.orig_argv[sys.orig_argv.index("-m") + 1 :]
    if module.startswith("stages."):
        os.environ[STAGE] = "@".join([module.removeprefix("stages."), *arguments[1:]])

if FOLDER and STAGE in os.environ:
    noted = os.open(f"{FOLDER}/{os.environ[STAGE]}.{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    ours = f"{Path.cwd()}/cmarr/"

    def note(event, arguments):
        first = str(arguments[0]) if event in ("import", "open") else ""
        if (event == "import" and first.startswith(("cmarr.", "stages."))) or (
            event == "open" and first.startswith(ours) and ".py" not in first
        ):
            os.write(noted, f"{first}\n".encode())

    sys.addaudithook(note)
