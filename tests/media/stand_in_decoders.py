"""What worker processes run in the tests: the name of the file says how it behaves."""

import os
import signal
import time
from pathlib import Path

from cmarr.errors import Unreadable, UserError


class ByName:
    """Answers with the clip and the process, unless the file is called something sinister."""

    def __call__(self, clips):
        return [self.one(clip) for clip in clips]

    def one(self, clip):
        match Path(clip.path).stem:
            case "exits":
                os._exit(3)
            case "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            case "hangs":
                time.sleep(600)
            case "waits":
                while not Path(clip.path).exists():
                    time.sleep(0.01)
            case "slow":
                time.sleep(0.4)
            case "unreadable":
                raise Unreadable(f"{clip.path} is unreadable; fetch it again")
            case "surprising":
                raise ZeroDivisionError("division by zero")
        return clip, os.getpid()


class SecondClipKills:
    def __call__(self, clips):
        if any(clip.start == 2 for clip in clips):
            os._exit(1)
        return list(clips)


class WithoutModel:
    def __init__(self):
        raise UserError("model.onnx does not exist; set its path")


class DiesWhileStarting:
    def __init__(self):
        os._exit(7)
