"""The numbers of the model card: computed once for a set of weights, kept beside them, shown as Markdown."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cmarr.encoders.face_network import EMOTIONS, load_denseface, read_notes
from cmarr.errors import UserError
from cmarr.ferplus.answers import log_probabilities, validation_scores
from cmarr.ferplus.faces import FaceSet
from cmarr.ferplus.scores import part_scores
from cmarr.ferplus.timing import milliseconds
from cmarr.files import file_digest, write_text
from cmarr.report.markdown import markdown_table

SAMPLE = 200
"""The first validation faces, whose scores anybody can check within seconds."""

BEGIN, END = "<!-- results: written by `make card` -->", "<!-- end of results -->"
"""Between these lines of the card stands what the command writes."""

NAMES = {
    "all": "all faces, first column on ties",
    "untied": "without ties",
    "majority": "majority subset (Barsoum et al. 2016)",
}


def card_numbers(weights: str | Path, validation: FaceSet, test: FaceSet) -> dict[str, Any]:
    """Everything that the card tells about a file of weights; fp32, on the CPU. Faces are real ones."""
    notes = read_notes(weights)
    if "shares" not in notes:
        raise UserError(f"{weights}: was not written by `make denseface`; it does not say how it was trained")
    network = load_denseface(str(weights))
    shares, strength = np.array(notes["shares"]), float(notes["strength"])
    answers = {
        name: log_probabilities(network, part) for name, part in (("validation", validation), ("test", test))
    }
    return {
        "weights": {
            "sha256": file_digest(weights),
            "bytes": Path(weights).stat().st_size,
            "parameters": sum(value.numel() for value in network.parameters()),
            "epoch": notes["epoch"],
            "epochs": notes["epochs"],
            "strength": strength,
        },
        "validation": part_scores(answers["validation"].numpy(), validation, shares, strength),
        "test": part_scores(answers["test"].numpy(), test, shares, strength),
        "sample": validation_scores(answers["validation"][:SAMPLE], validation.only(np.arange(SAMPLE))),
        "milliseconds": {str(batch): milliseconds(network, batch) for batch in (1, 64)},
    }


def card_text(numbers: Mapping[str, Any]) -> str:
    """The numbers as Markdown."""
    weights, test = numbers["weights"], numbers["test"]
    quality = test["calibration"]
    return "\n".join(
        [
            f"Weights of epoch {weights['epoch']} of {weights['epochs']}: {weights['parameters']:,} parameters, "
            f"{weights['bytes'] / 1e6:.2f} MB, SHA-256 `{weights['sha256'][:16]}...`. On one core of the machine that "
            f"wrote this, a face took {numbers['milliseconds']['1']:.1f} ms alone and "
            f"{numbers['milliseconds']['64']:.1f} ms in a batch of 64 (fp32).",
            "",
            "Test faces, in %, with 95 % intervals from faces drawn with replacement. *Balanced*: the answers with "
            f"{weights['strength']:g} times the logarithm of the emotions' shares in the training faces taken out, a "
            "strength chosen on the validation faces.",
            "",
            markdown_table(_main_table(numbers)),
            "Recall of each emotion on all test faces, in %:",
            "",
            markdown_table(_recall_table(test)),
            "Confusions on all test faces, as answered; a row is what most people saw, a column what Denseface says:",
            "",
            markdown_table(_confusion_table(test["plain"]["confusion"])),
            "Balanced:",
            "",
            markdown_table(_confusion_table(test["balanced"]["confusion"])),
            f"Calibration on all test faces: mean confidence {100 * quality['confidence']:.1f} % at an accuracy of "
            f"{100 * test['plain']['all']['accuracy'][0]:.1f} %, expected calibration error "
            f"{100 * quality['error']:.1f} %. Cross-entropy to the votes {quality['cross_entropy']:.3f} nats, of which "
            f"{quality['entropy']:.3f} are the people's own disagreement.",
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


def _interval(value: list[float]) -> str:
    middle, low, high = (100 * v for v in value)
    return f"{middle:.2f} [{low:.2f}, {high:.2f}]"


def _recall_table(part: Mapping[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "emotion": EMOTIONS,
            "faces": [part["labelled"][name] for name in EMOTIONS],
            "recall": [_percent(part["plain"]["recall"][name]) for name in EMOTIONS],
            "recall, balanced": [_percent(part["balanced"]["recall"][name]) for name in EMOTIONS],
        }
    )


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _confusion_table(counts: list[list[int]]) -> pd.DataFrame:
    return pd.DataFrame(counts, columns=list(EMOTIONS)).assign(seen=EMOTIONS).set_index("seen").reset_index()
