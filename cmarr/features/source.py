"""Where the features of a modality come from: an encoder, or the corpus that brings them along."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from cmarr.corpora.registry import corpus_features
from cmarr.encoders.registry import build_encoder, placed


def source_of(
    modality: str,
    settings: Mapping[str, Any],
    root: str | Path,
    *,
    dataset: str,
    base: Path,
    workers: int,
    device: str,
) -> Callable[[], Any]:
    """What makes the encoder of a modality ('s', 'v', 't') as its resolved settings name it; picklable.

    `root` is where the corpus `dataset` lies, `base` the folder that relative paths of settings start from; `workers`
    and `device` are what the machine allows. The call raises UserError for an encoder that cannot be built.
    """
    if settings["source"] == "corpus":
        return partial(
            corpus_features, settings["kind"], root, modality, dataset=dataset, **settings["options"]
        )
    name = settings["encoder"]
    return partial(
        build_encoder,
        name,
        placed(name, settings["settings"], base),
        workers=workers,
        seconds=settings["time_limit"],
        device=device,
        window=settings["shard_size"],  # batches are made within shards: a resumed run makes the same ones
    )
