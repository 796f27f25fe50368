"""Everything that the model card tells about a file of weights, computed once and kept beside it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cmarr.encoders.face_network import EMOTIONS, load_denseface, read_notes
from cmarr.errors import UserError
from cmarr.ferplus.answers import both_ways, log_probabilities, validation_scores
from cmarr.ferplus.faces import FER_SIDE, FaceSet
from cmarr.ferplus.scores import part_scores
from cmarr.ferplus.timing import milliseconds
from cmarr.files import file_digest

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
    return FaceSet(("0", "1", "2", "3"), images, np.ones((4, 10)))


def first_faces(faces: FaceSet) -> FaceSet:
    """The sample: the first real faces."""
    real = faces.real()
    return real.only(np.arange(min(SAMPLE, len(real))))
