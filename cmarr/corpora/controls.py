"""Two drawn corpora of which the optimum is known: one where recovery must help, and one where it cannot.

A class moves a point z in four dimensions, and every modality sees a linear image of it.

`recovery`: all modalities see the same point, z ~ N(+-m, I), each through noise of its own. Text alone has labels,
in training and validation; that speech and video go together with text is seen in training utterances without a label.
So an answer from speech or video needs what leads from there to text: nothing else says what they mean.

`nothing`: every modality sees a point of its own, and all that they share is the class. Every training utterance has
all of them and a label. What one modality says of another it says of the class by itself: recovery can add nothing.

All is Gaussian with one covariance for both classes, so the best rate of any method, `best_rates`, is Phi(delta / 2),
delta^2 the squared Mahalanobis distance between the classes under what a condition shows. No media: `features: corpus`.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from cmarr.corpora.expected import Finding
from cmarr.declaration import Count, Section, Seed, setting
from cmarr.modalities import CONDITIONS, MODALITIES
from cmarr.utterance import FeatureSequence, Rejected, Utterance

READER = "controls"
LAYOUT = "nothing: the corpus is drawn"

CLASSES = ("angry", "happy")
INNER, WIDTH, FRAMES = 4, 8, (4, 12)
"""Dimensions of z; features a frame; frames of an utterance, at least and at most."""

DISTANCE = {"s": 2.0, "v": 2.0, "t": 3.0}
"""Of `nothing`: how far the classes are apart in a modality, in its deviations."""

APART, NOISE = 3.5, {"s": 1.0, "v": 1.0, "t": 0.25}
"""Of `recovery`: how far the classes of z are apart, and the noise through which a modality sees it."""


class Options(Section):
    """What is drawn."""

    control: Literal["recovery", "nothing"] = setting(
        "recovery", "where recovery must help; or where it cannot"
    )
    seed: Seed = setting(0, "another seed is another draw of the same corpus")
    labelled: Count = setting(200, "training utterances with a label")
    unlabelled: Count = setting(600, "training utterances without one; of recovery alone")
    validation: Count = setting(100, "validation utterances")
    test: Count = setting(400, "test utterances")


def read(root: Path, options: Options) -> tuple[list[Utterance], list[Rejected]]:
    """The utterances of a draw, each a speaker and a dialogue of its own; nothing is rejected."""
    return [_utterance(id, label, shown) for id, label, shown in _plan(options)], []


def files(root: Path, options: Options) -> list[Path]:
    """None."""
    return []


def findings(root: Path, utterances: list[Utterance], options: Options) -> list[Finding]:
    """The best rate that any method can have."""
    rates = ", ".join(f"{name} {100 * rate:.1f}" for name, rate in best_rates(options.control).items())
    return [Finding("ok", f"no method can have a higher UAR than this: {rates}")]


def features(root: Path, modality: str, options: Options) -> "Drawn":
    """The features of one modality ('s', 'v', 't'), as an encoder."""
    return Drawn(modality, options)


def best_rates(control: Literal["recovery", "nothing"]) -> dict[str, float]:
    """Condition -> the accuracy, and for two classes as frequent as each other the UAR, that none can exceed.

    >>> {name: round(rate, 3) for name, rate in best_rates("nothing").items()}["t"]  # Phi(3 / 2)
    0.933
    """
    found = {}
    for condition in CONDITIONS:
        if control == "nothing":
            squared = sum(DISTANCE[m] ** 2 for m in condition)
        else:  # z seen through several noises is z seen through one, whose precision is the sum of theirs
            precision = sum(NOISE[m] ** -2 for m in condition)
            squared = APART**2 / (1 + 1 / precision)
        found[condition] = 0.5 * (1 + math.erf(math.sqrt(squared) / 2 / math.sqrt(2)))
    return found


class Drawn:
    """Hands out the drawn features of one modality, (T, `WIDTH`) an utterance.

    The frames of an utterance scatter around its point, and their mean is that point: what is known of the class is
    known from the mean.
    """

    def __init__(self, modality: str, options: Options) -> None:
        self.modality, self.dim, self._options = modality, WIDTH, options
        self._frames = frames(options)[modality]

    def describe(self) -> dict[str, str]:
        """What they are drawn from."""
        return {"encoder": "drawn", "parameters": self._options.model_dump_json()}

    def encode(self, utterances: Sequence[Utterance]) -> Iterator[FeatureSequence | Rejected]:
        """One result an utterance, in order: its frames (T, `WIDTH`) float32, or that there are none."""
        for utterance in utterances:
            found = self._frames.get(utterance.id)
            if found is None:
                yield Rejected(utterance.id, self.modality, "extract", "the draw has none for it")
            else:
                yield FeatureSequence(utterance.id, found, np.arange(len(found), dtype=np.float32))


def frames(options: Options) -> dict[str, dict[str, np.ndarray]]:
    """Modality -> id -> frames (T, `WIDTH`) of the utterances that have it."""
    draws = np.random.default_rng([options.seed, 0])
    maps = {m: np.linalg.qr(draws.normal(size=(WIDTH, INNER)))[0] for m in MODALITIES}  # orthonormal columns
    axis = np.full(INNER, INNER**-0.5)
    plan = _plan(options)
    signs = np.array([2.0 * (index % 2) - 1 for index in range(len(plan))])  # (N,)
    shared = signs[:, None] * axis * APART / 2 + draws.normal(size=(len(plan), INNER))  # z
    found: dict[str, dict[str, np.ndarray]] = {m: {} for m in MODALITIES}
    for m in MODALITIES:
        noise = draws.normal(size=shared.shape)
        points = shared + NOISE[m] * noise
        if options.control == "nothing":
            points = signs[:, None] * axis * DISTANCE[m] / 2 + noise
        for (id, _, shown), point in zip(plan, points, strict=True):
            around = draws.normal(size=(int(draws.integers(FRAMES[0], FRAMES[1] + 1)), WIDTH))
            if m in shown:
                found[m][id] = (maps[m] @ point + around - around.mean(0)).astype(np.float32)
    return found


def _plan(options: Options) -> list[tuple[str, str | None, str]]:
    """(id, label, modalities) of each utterance; the part is the beginning of the id. The classes take turns."""
    recovery = options.control == "recovery"
    parts = [
        ("train", options.labelled, True, "t" if recovery else "svt"),
        ("train-unlabelled", options.unlabelled if recovery else 0, False, "svt"),
        ("valid", options.validation, True, "t" if recovery else "svt"),
        ("test", options.test, True, "svt"),
    ]
    plan: list[tuple[str, str | None, str]] = []
    for part, count, known, shown in parts:
        for number in range(count):
            label = CLASSES[len(plan) % 2] if known else None
            plan.append((f"{part}-{number:05d}", label, shown))
    return plan


def _utterance(id: str, label: str | None, shown: str) -> Utterance:
    part = id.split("-")[0]
    return Utterance(
        id=id,
        text="(drawn)" if "t" in shown else None,
        audio="drawn" if "s" in shown else None,
        video="drawn" if "v" in shown else None,
        label=label,
        speaker=id,
        dialogue=id,
        split=part,
    )
