"""Predictions made without a model: evidence per modality, plus noise, turned into answers."""

import numpy as np
import pandas as pd
import pytest

from cmarr.evaluation.predictions import predictions_frame, usable_counts
from cmarr.modalities import CONDITIONS, visible
from cmarr.task import Task

EMOTIONS = Task(("anger", "neutral", "sadness"))


def simulated(
    *,
    task: Task = EMOTIONS,
    folds: int = 3,
    seeds: tuple[int, ...] = (1, 2),
    speakers: int = 2,
    utterances: int = 20,
    strength: float = 1.0,
    absent: float = 0.1,
    video: bool = True,
    corpus: int = 0,
) -> list[pd.DataFrame]:
    """One frame a fold and seed; the corpus depends on `corpus` only, the answers on `strength` and seed, too."""
    frames = []
    for fold in range(folds):
        draw = np.random.default_rng([corpus, fold])
        n = speakers * utterances
        names = np.repeat([f"speaker{fold}{i}" for i in range(speakers)], utterances)
        available = draw.random((n, 3)) > absent
        available[:, 1] &= video
        truth = draw.integers(task.outputs, size=n)
        score = np.round(draw.normal(0, 1.5, n).clip(-3, 3))
        target = score[:, None] if task.regression else np.eye(task.outputs)[truth]
        evidence = target[:, None] + draw.normal(0, 1, (n, 3, task.outputs))
        for seed in seeds:
            noise = np.random.default_rng([corpus, fold, seed]).normal(0, 1, (n, task.outputs))
            logits = {}
            for condition in CONDITIONS:
                usable = available & np.array(visible(condition))
                heard = (evidence * usable[..., None]).sum(1) / np.maximum(usable.sum(1, keepdims=True), 1)
                logits[condition] = strength * heard + 0.3 * noise
            frames.append(
                predictions_frame(
                    ids=[f"f{fold}u{i}" for i in range(n)],
                    speakers=names,
                    clusters=names,
                    labels=score if task.regression else [task.classes[i] for i in truth],
                    n_usable=usable_counts(available),
                    task=task,
                    prior=0.0 if task.regression else np.full(task.outputs, 1 / task.outputs),
                    fold=fold,
                    seed=seed,
                    logits=logits,
                )
            )
    return frames


@pytest.fixture
def simulate():
    return simulated


@pytest.fixture
def emotions() -> Task:
    return EMOTIONS
