"""Once after the environment is made: prepare what several processes must not create at the same time."""

from cmarr.tracking.store import prepare
from stages.stage import root

if __name__ == "__main__":
    prepare(root())
