"""Train and evaluate one ablation: a method with some of its settings changed."""

from stages import evaluate, train
from stages.stage import run


def main(dataset: str, variant: str) -> None:
    train.main(dataset, variant)
    evaluate.main(dataset, variant)


if __name__ == "__main__":
    run(main)
