"""Train the model, on complete data, that a method starts from; most methods start from none."""

from typing import Any

from cmarr.seals import write_json
from stages.paths import Paths
from stages.stage import run

KEPT = (
    "fold", "seed", "seconds", "core_seconds", "epochs", "best_epoch", "best_score", "parameters", "peak_memory_bytes",
    "privileges",
)  # fmt: skip
"""What of a training stands in pretrain.json."""


def main(dataset: str, method: str) -> None:
    paths = Paths(dataset)
    settings = paths.settings(f"pretrain/{method}")
    target = paths.pretrained(method)

    def write(outcomes: list[dict[str, Any]], search: list[dict[str, Any]]) -> None:
        write_json(
            target / "trained.json", {"models": [f"fold{o['fold']}-seed{o['seed']}" for o in outcomes]}
        )
        write_json(
            paths.metrics / method / "pretrain.json",
            {
                "seconds": sum(o["seconds"] for o in outcomes),
                "core_seconds": sum(o["core_seconds"] for o in outcomes),
                "trainings": [{key: o[key] for key in KEPT if key in o} for o in outcomes],
            },
        )

    if not settings["first_stage"]:
        write([], [])
        return
    from stages.train import score_of, train  # torch takes seconds to import, and most methods need none here

    for outcome in train(paths, f"pretrain-{dataset}-{method}", settings, target, None, write):
        print(
            f"{method} starts, in fold {outcome['fold']} with seed {outcome['seed']}, from epoch "
            f"{outcome['best_epoch']} of {outcome['epochs']}, {score_of(outcome)}"
        )


if __name__ == "__main__":
    run(main)
