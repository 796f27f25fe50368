"""Draw, once for all methods, what each protocol hides from the test utterances."""

import shutil
from typing import Any

import numpy as np

from cmarr.corpora.manifest import read_manifest
from cmarr.features.shards import read_lengths
from cmarr.folds.files import read_folds
from cmarr.masks.draw import SIGNS, Tested, draw, sign
from cmarr.masks.files import write_description, write_masks
from cmarr.modalities import MODALITIES, NAMES
from stages.paths import Paths
from stages.stage import run


def tested_utterances(paths: Paths, classes: list[str]) -> Tested:
    """The test utterances of all folds: what they have, who speaks, what they are."""
    told = {  # in one pass: rows of the manifest are objects only while looked at
        u.id: (u.cluster("speaker"), str(u.label) if classes else sign(u.score or 0.0))
        for u in read_manifest(paths.manifest)
    }
    rows = [(fold.number, id) for fold in read_folds(paths.folds) for id in fold.test]
    found = {m: read_lengths(paths.features / name) for m, name in NAMES.items()}
    lengths = {
        m: np.array([known.get(id, 0) for _, id in rows], dtype=np.int64)
        for m, known in found.items()
        if known
    }
    absent = np.zeros(len(rows), bool)
    return Tested(
        folds=[fold for fold, _ in rows],
        ids=[id for _, id in rows],
        available=np.stack([lengths[m] > 0 if m in lengths else absent for m in MODALITIES], axis=1),
        lengths=lengths,
        groups=[told[id][0] for _, id in rows],
        labels=[told[id][1] for _, id in rows],
        classes=classes or SIGNS,
    )


def main(dataset: str) -> None:
    paths, settings = Paths(dataset), Paths(dataset).settings("masks")
    tested = tested_utterances(paths, settings["classes"])
    shutil.rmtree(paths.masks, ignore_errors=True)
    drawn_sets: dict[str, dict[str, Any]] = {}
    missing: dict[str, str] = {}
    for name, section in settings["protocols"].items():
        sets, absent = draw(tested, name, section, settings["seed"])
        missing |= absent
        for own, drawn in sets.items():
            write_masks(paths.masks, own, drawn.rows)
            levels = [{"level": level, "realised": realised} for level, realised in drawn.realised.items()]
            drawn_sets[own] = {"rule": drawn.rule, "levels": levels}
            print(f"{dataset} {own}: {len(levels)} levels; {drawn.rule}")
    for own, reason in missing.items():
        print(f"{dataset} {own}: left out, {reason}")
    write_description(paths.masks, {"protocols": drawn_sets, "absent": missing, "unseen": settings["unseen"]})


if __name__ == "__main__":
    run(main)
