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

    here = f"{Path.cwd()}/"
    ours = f"{here}cmarr/"

    class Noting:
        """Asked first for whatever is imported, in whichever way; it finds nothing."""

        @staticmethod
        def find_spec(name, path=None, target=None):
            if name.startswith(("cmarr.", "stages.")):
                os.write(noted, f"{name}\n".encode())

    def note(event, arguments):
        if event == "open" and str(first := arguments[0]).startswith(ours) and ".py" not in first:
            os.write(noted, f"{str(first).removeprefix(here)}\n".encode())

    sys.meta_path.insert(0, Noting)
    sys.addaudithook(note)
