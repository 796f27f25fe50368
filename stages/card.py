"""Read FER+'s test faces once, write the model card of Denseface, ship its best weights."""

import logging
import sys
from pathlib import Path
from typing import Any

from cmarr.encoders.face_network import SHIPPED, copy_weights
from cmarr.errors import UserError
from cmarr.ferplus.card import card_numbers
from cmarr.ferplus.reader import read_part
from cmarr.ferplus.state import read_state
from cmarr.files import file_digest, read_json, write_json
from cmarr.report.face_card import card_text, write_card
from cmarr.tracking.mirror import track
from stages.denseface import FOLDER, begin, tracked
from stages.paths import Paths, corpus_root
from stages.stage import root, run

CARD = Path("docs", "denseface.md")


def main(dataset: str) -> None:
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    settings = Paths(dataset).settings("denseface")
    state, numbers_file = root() / FOLDER / "state.safetensors", SHIPPED.with_suffix(".json")
    best = _best_weights(settings, state)
    known = read_json(numbers_file) if numbers_file.is_file() else None
    if known and known["weights"]["sha256"] == file_digest(best):
        print("card: these weights were scored before; the card is written from what was found then")
    else:
        faces = corpus_root(settings["root"])
        known = card_numbers(best, read_part(faces, "valid"), read_part(faces, "test"))
        if best != SHIPPED:
            copy_weights(best, SHIPPED)
        write_json(numbers_file, known)
    write_card(root() / CARD, known)
    if state.is_file():
        track(tracked(state, _scores(known), note=card_text(known)), root=root())
    for way in ("plain", "balanced"):
        found = known["test"][way]["all"]
        print(f"{way}: test accuracy {100 * found['accuracy'][0]:.2f} %, UAR {100 * found['UAR'][0]:.2f} %")


def _best_weights(settings: dict[str, Any], state: Path) -> Path:
    """The best weights of a training so far, or of this moment where no epoch at full size is done.

    Without a training, what is shipped. A clone of an unfinished training has the state, but not the weights that it
    names: going on with it finds them among what is shipped.
    """
    if not state.is_file():
        if not SHIPPED.is_file():
            raise UserError(f"{state} does not exist; train with `make denseface`")
        print(f"card: there is no training in {FOLDER}; the weights are those that cmarr brings along")
        return SHIPPED
    _, notes = read_state(state)
    at, best = notes["progress"], state.with_name("best.safetensors")
    if not at["best_epoch"]:
        print("card: no epoch is done yet at full size; the weights are those of this moment")
        begin(settings).keep_unselected()
    elif not best.is_file() or file_digest(best) != at["best_sha256"]:
        begin(settings)
    return best


def _scores(numbers: dict[str, Any]) -> dict[str, Any]:
    """'UAR' -> 'test', 'test balanced', ... -> mean, lo, hi; over all faces."""
    found: dict[str, Any] = {"accuracy": {}, "UAR": {}}
    for part in ("test", "validation"):
        for way, told in (("plain", part), ("balanced", f"{part} balanced")):
            for metric, entries in found.items():
                middle, low, high = numbers[part][way]["all"][metric]
                entries[told] = {"mean": middle, "lo": low, "hi": high}
    return found


if __name__ == "__main__":
    run(main)
