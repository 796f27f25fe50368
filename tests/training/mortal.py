"""A process that trains and evaluates in forked children, each killed at the moment it is told.

    python -m tests.training.mortal

Every line of its input is a run: {"root", "method", "moment", "seconds", "full"}. With `moment`, the child kills itself
before that many steps of the optimiser and changes of files; with `seconds`, it is killed from outside after as many;
with `full`, no file takes another byte from that moment on, as if the disk were full. The answer is one line:
{"status", "at", "moments", "said"}. Nothing is imported twice, so that fifty deaths cost seconds.
"""

import contextlib
import gc
import json
import os
import re
import resource
import signal
import sys
import time
from pathlib import Path

from torch.optim import optimizer

from cmarr.errors import UserError
from cmarr.files import write_text
from cmarr.training import loop
from stages import evaluate, train
from stages.stage import run

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link"}
WRITING = os.O_WRONLY | os.O_RDWR


class Moments:
    """Counts what happens to files below a folder, and the optimiser's steps; ends the process, or its disk, at one."""

    def __init__(self, order: dict, told: int):
        self.root, self.last, self.full = order["root"], order.get("moment"), order.get("full")
        self.told, self.count = told, 0

    def pass_(self, what: str) -> None:
        """One moment; dies instead of letting it happen."""
        self.count += 1
        if self.count == self.full:  # the kernel's word for it is EFBIG then, and not ENOSPC
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        if self.count == self.last:
            os.write(self.told, json.dumps({"at": what}).encode())
            os.kill(os.getpid(), signal.SIGKILL)

    def see(self, event: str, arguments: tuple) -> None:
        """An audit hook."""
        if event == "open":
            path, _, flags = arguments
            change = isinstance(path, str | os.PathLike) and isinstance(flags, int) and flags & WRITING
        else:
            change = event in CHANGES
            path = arguments[0] if change else ""
        if change and str(Path(path).absolute()).startswith(self.root):
            name = re.sub(r"^\.(.+)\.[^.]+\.\d+\.tmp$", r"the new \1", Path(path).name)
            self.pass_(f"{event.removeprefix('os.')} {name}")


def live(order: dict) -> None:
    """A training and its evaluation, as their stages do it; no training that is finished already, as DVC has it."""
    os.chdir(order["root"])
    os.environ.pop("DVC_ROOT", None)
    loop.SAVE_EVERY = 0.0
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        trained, settings = (
            Path("trained"),
            Path(f"data/tiny/settings/train/{order['method']}.json").read_text(),
        )
        for stage in (train, evaluate):
            if stage is evaluate or not trained.exists() or trained.read_text() != settings:
                sys.argv = [stage.__file__, "tiny", order["method"]]
                run(stage.main)
            write_text(trained, settings)


def watched(order: dict, told: int) -> int:
    """The same, to the moment or the limit that is ordered; returns the exit status."""
    moments = Moments(order, told)
    optimizer.register_optimizer_step_post_hook(lambda *_: moments.pass_("step of the optimiser"))
    sys.addaudithook(moments.see)
    try:
        live(order)
    except (SystemExit, UserError) as ended:
        os.write(told, json.dumps({"said": str(ended)}).encode())
        return 1
    os.write(told, json.dumps({"moments": moments.count}).encode())
    return 0


def child(order: dict) -> dict:
    """Fork, wait, tell."""
    reading, told = os.pipe()
    started = time.monotonic()
    if not (pid := os.fork()):
        status = 70
        try:
            status = watched(order, told)
        finally:
            os._exit(status)
    os.close(told)
    if seconds := order.get("seconds"):
        time.sleep(seconds)
        os.kill(pid, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with os.fdopen(reading) as answer:
        said = answer.read()
    return {"status": status, "seconds": time.monotonic() - started, **(json.loads(said) if said else {})}


def main() -> None:
    """Answer orders until there are no more. The first is lived here: what it imports is there for all children."""
    live(json.loads(sys.stdin.readline()))
    gc.freeze()  # or each child would look for garbage in what they share, and have a copy of its own
    for line in sys.stdin:
        print(json.dumps(child(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
