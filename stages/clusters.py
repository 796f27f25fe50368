"""Measure how well a model's representations part the classes, on the test utterances of every fold."""

from cmarr.analyses.clusters import ANALYSIS
from stages.models import measure
from stages.stage import run


def main(dataset: str, name: str) -> None:
    measure(dataset, name, "clusters", ANALYSIS)


if __name__ == "__main__":
    run(main)
