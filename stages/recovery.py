"""Measure how near what a model recovers comes to the truth, on the test utterances of every fold."""

from cmarr.analyses.recovery import ANALYSIS
from stages.models import measure
from stages.stage import run


def main(dataset: str, name: str) -> None:
    measure(dataset, name, "recovery", ANALYSIS)


if __name__ == "__main__":
    run(main)
