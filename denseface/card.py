"""The model card of Denseface: its numbers, computed once and kept beside the weights, and the page that shows them."""

import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from cmarr.encoders.face_network import EMOTIONS, SIDE, Denseface, load_denseface, read_notes
from cmarr.errors import UserError
from cmarr.files import file_digest, write_text
from cmarr.report.table import markdown_table
from denseface.ferplus import FER_SIDE, FaceSet
from denseface.scoring import both_ways, log_probabilities, part_scores, validation_scores

SAMPLE = 200
"""The first validation faces, whose scores anybody can check within seconds."""


def card_numbers(
    weights: str | Path, validation: FaceSet, test: FaceSet, *, timed: Sequence[int] = (1, 8)
) -> dict[str, Any]:
    """Everything that the card tells about a file of weights; fp32, on the CPU.

    The parts are given as they were read. `timed`: how many faces go through the network at once when its speed is
    measured. Raises UserError for weights that are damaged, or that `make denseface` did not write.
    """
    network = load_denseface(str(weights))
    notes = read_notes(weights)
    if not notes.keys() >= {"epoch", "epochs", "shares", "strength"}:
        raise UserError(f"{weights}: was not written by `make denseface`; it does not say how it was trained")
    shares, strength = np.array(notes["shares"]), float(notes["strength"])
    sample = first_faces(validation)
    parts = {"validation": validation, "test": test}
    answers = {name: log_probabilities(network, part) for name, part in parts.items()}
    both = {
        name: both_ways(answers[name], log_probabilities(network, part, mirrored=True))
        for name, part in parts.items()
    }
    return {
        "emotions": list(EMOTIONS),
        "weights": {
            "sha256": file_digest(weights),
            "bytes": Path(weights).stat().st_size,
            "parameters": sum(value.numel() for value in network.parameters()),
            "epoch": notes["epoch"],
            "epochs": notes["epochs"],
            "strength": strength,
        },
        **{name: part_scores(answers[name].numpy(), part, shares, strength) for name, part in parts.items()},
        "mirrored": {
            name: part_scores(both[name].numpy(), part, shares, strength) for name, part in parts.items()
        },
        "sample": {"faces": len(sample), **validation_scores(log_probabilities(network, sample), sample)},
        "drawn": log_probabilities(network, drawn_faces()).exp().tolist(),
        "milliseconds": {str(batch): milliseconds(network, batch) for batch in timed},
    }


def drawn_faces() -> FaceSet:
    """Four patterns that are no faces: what is answered to them shows, without FER+, whether a network is the same."""
    y, x = np.mgrid[:FER_SIDE, :FER_SIDE] / FER_SIDE
    waves = [np.sin(2 * np.pi * (k * x + (3 - k) * y + k / 5)) for k in range(4)]
    images = np.stack([np.round(127.5 + 120 * wave) for wave in waves]).astype(np.uint8)
    return FaceSet(("0", "1", "2", "3"), images, np.ones((4, 10), np.int16))


def first_faces(faces: FaceSet) -> FaceSet:
    """The sample: the first real faces."""
    real = faces.real()
    return real.only(np.arange(min(SAMPLE, len(real))))


REPEATS = 9


def milliseconds(network: Denseface, batch: int, threads: int = 1) -> float:
    """Median milliseconds a face in fp32, `batch` faces at once, with `threads` threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    faces = torch.zeros(batch, 1, SIDE, SIDE)
    try:
        with torch.inference_mode():
            network(faces)  # the first time is spent on preparations
            return 1000 * statistics.median(_seconds(network, faces) for _ in range(REPEATS)) / batch
    finally:
        torch.set_num_threads(before)


def _seconds(network: Denseface, faces: torch.Tensor) -> float:
    began = time.perf_counter()
    network(faces)
    return time.perf_counter() - began


BEGIN, END = "<!-- results: written by `make card` -->", "<!-- end of results -->"
"""Between these lines of the card stands what the command writes."""

NAMES = {
    "all": "all faces, first column on ties",
    "untied": "without ties",
    "majority": "majority subset (Barsoum et al. 2016)",
}


def card_text(numbers: Mapping[str, Any]) -> str:
    """The numbers as Markdown."""
    weights, test = numbers["weights"], numbers["test"]
    quality = test["calibration"]
    return "\n".join(
        [
            f"Weights of epoch {weights['epoch']:g} of {weights['epochs']}: {weights['parameters']:,} parameters, "
            f"{weights['bytes'] / 1e6:.2f} MB, SHA-256 `{weights['sha256'][:16]}...`. On one core (fp32) a face "
            f"took {_speeds(numbers['milliseconds'])}.",
            "",
            "Test faces, in %, with 95 % intervals from faces drawn with replacement. *Balanced*: the answers with "
            f"{weights['strength']:g} times the logarithm of the emotions' shares in the training faces taken out, a "
            "strength chosen on the validation faces.",
            "",
            markdown_table(_main_table(numbers)),
            _mirrored(numbers["mirrored"]),
            "",
            "Recall of each emotion on all test faces, in %:",
            "",
            markdown_table(_recall_table(numbers)),
            "Confusions on all test faces, as answered; a row is what most people saw, a column what Denseface says:",
            "",
            markdown_table(_confusion_table(numbers, "plain")),
            "Balanced:",
            "",
            markdown_table(_confusion_table(numbers, "balanced")),
            f"Calibration on all test faces: mean confidence {100 * quality['confidence']:.1f} % at an accuracy of "
            f"{100 * test['plain']['all']['accuracy'][0]:.1f} %, expected calibration error "
            f"{100 * quality['error']:.1f} %. Cross-entropy to the votes {quality['cross_entropy']:.3f} nats, of which "
            f"{quality['entropy']:.3f} are the people's own disagreement.",
            "",
            f"For a check within seconds: of the first {numbers['sample']['faces']} validation faces "
            f"{100 * numbers['sample']['accuracy']:.1f} % are right, UAR {100 * numbers['sample']['UAR']:.1f} %.",
        ]
    )


def write_card(card: Path, numbers: Mapping[str, Any]) -> None:
    """Put the numbers into the page; raises UserError where it has no place for them."""
    page = card.read_text(encoding="utf-8")
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise UserError(
            f"{card}: must hold the lines '{BEGIN}' and '{END}' once each; the results go between them"
        )
    before, rest = page.split(BEGIN)
    write_text(card, f"{before}{BEGIN}\n\n{card_text(numbers)}\n\n{END}{rest.split(END)[1]}")


def _main_table(numbers: Mapping[str, Any]) -> pd.DataFrame:
    rows = []
    for part in ("test", "validation"):
        for subset, name in NAMES.items():
            if subset not in numbers[part]["plain"]:  # no face belongs to it
                continue
            entry = {way: numbers[part][way][subset] for way in ("plain", "balanced")}
            rows.append(
                {
                    "faces": f"{part}: {name}",
                    "number": entry["plain"]["faces"],
                    **{
                        f"{metric}{told}": _interval(entry[way][metric])
                        for way, told in (("plain", ""), ("balanced", ", balanced"))
                        for metric in ("accuracy", "UAR")
                    },
                }
            )
    return pd.DataFrame(rows)


def _mirrored(numbers: Mapping[str, Any]) -> str:
    told = [
        f"on {part} faces {_ways(numbers[part], 'accuracy')} accuracy and {_ways(numbers[part], 'UAR')} UAR"
        for part in ("test", "validation")
    ]
    return (
        "With `emotion_probabilities(faces, mirrored=True)`, the mean of the answers to a face and its mirror image, "
        f"in twice the time: {'; '.join(told)} (as answered, and balanced; all faces)."
    )


def _ways(part: Mapping[str, Any], metric: str) -> str:
    return " and ".join(_interval(part[way]["all"][metric]) for way in ("plain", "balanced"))


def _speeds(milliseconds: Mapping[str, float]) -> str:
    told = [
        f"{value:.1f} ms {'alone' if batch == '1' else f'in a batch of {batch}'}"
        for batch, value in sorted(milliseconds.items(), key=lambda item: int(item[0]))
    ]
    return " and ".join(told)


def _interval(value: list[float]) -> str:
    middle, low, high = (100 * v for v in value)
    return f"{middle:.2f} [{low:.2f}, {high:.2f}]"


def _recall_table(numbers: Mapping[str, Any]) -> pd.DataFrame:
    emotions, test = numbers["emotions"], numbers["test"]
    return pd.DataFrame(
        {
            "emotion": emotions,
            "faces": [test["labelled"][name] for name in emotions],
            "recall": [_percent(test["plain"]["recall"][name]) for name in emotions],
            "recall, balanced": [_percent(test["balanced"]["recall"][name]) for name in emotions],
        }
    )


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _confusion_table(numbers: Mapping[str, Any], way: str) -> pd.DataFrame:
    counts = pd.DataFrame(numbers["test"][way]["confusion"], columns=numbers["emotions"])
    counts.insert(0, "seen", numbers["emotions"])
    return counts
