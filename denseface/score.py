"""Read FER+'s test faces once, write the model card of Denseface, ship its best weights: `make card`."""

from pathlib import Path
from typing import Any

from cmarr.encoders.face_network import SHIPPED, copy_weights, load_denseface
from cmarr.errors import UserError
from cmarr.files import file_digest
from cmarr.seals import read_json, write_json
from cmarr.tracking.mirror import track
from denseface.card import card_numbers, card_text, write_card
from denseface.ferplus import read_part
from denseface.recipe import Settings, load_settings
from denseface.scoring import selection
from denseface.state import read_state
from denseface.train import FOLDER, alone, begin, run, tracked

CARD = Path("docs", "denseface.md")


def main() -> None:
    """Score while nobody else trains or scores."""
    with alone():
        score(load_settings())


def score(settings: Settings) -> None:
    """Score the best weights, unless that was done before; ship them and write the card."""
    state, numbers_file = FOLDER.resolve() / "state.safetensors", SHIPPED.with_suffix(".json")
    known = _known(numbers_file)
    best = _best_weights(settings, state, known)
    if known and known["weights"]["sha256"] == file_digest(best):
        print("card: these weights were scored before; the card is written from what was found then")
    else:
        known = card_numbers(best, read_part(settings.faces, "valid"), read_part(settings.faces, "test"))
        if best != SHIPPED:
            copy_weights(best, SHIPPED)
        write_json(numbers_file, known)
    write_card(CARD, known)
    if state.is_file():
        track(tracked(state, _scores(known), note=card_text(known)), root=Path.cwd())
    for way in ("plain", "balanced"):
        found = known["test"][way]["all"]
        print(f"{way}: test accuracy {100 * found['accuracy'][0]:.2f} %, UAR {100 * found['UAR'][0]:.2f} %")


def _known(path: Path) -> dict[str, Any] | None:
    """What was found of the weights that are shipped; None where nobody has scored them."""
    if not path.is_file():
        return None
    try:
        numbers = read_json(path, "restore it, or remove it, and the weights are scored anew")
        card_text(numbers)
        _selection(numbers)
    except (ValueError, LookupError, TypeError, AttributeError):
        raise UserError(
            f"{path}: is damaged or of another version; restore it, or remove it, and the weights are scored anew"
        ) from None
    return numbers


def _selection(numbers: dict[str, Any]) -> float:
    """What the epoch of the weights that are shipped was chosen by."""
    found = numbers["validation"]["plain"]["all"]
    return selection(found["accuracy"][0], found["UAR"][0])


def _best_weights(settings: Settings, state: Path, shipped: dict[str, Any] | None) -> Path:
    """The best weights of a training so far, or of this moment where no epoch at full size is done.

    Without a training, what is shipped. A clone of an unfinished training has the state, but not the weights that it
    names: going on with it finds them among what is shipped. Raises UserError where those are better.
    """
    if not state.is_file():
        if not SHIPPED.is_file():
            raise UserError(f"{state} does not exist; train with `make denseface`")
        load_denseface(SHIPPED)  # refuses what is damaged
        print(f"card: there is no training in {FOLDER}; the weights are those that cmarr brings along")
        return SHIPPED
    _, notes = read_state(state)
    at, best = notes["progress"], state.with_name("best.safetensors")
    if (
        shipped
        and at["best_sha256"] != shipped["weights"]["sha256"]
        and at["best_score"] < _selection(shipped)
    ):
        reached = f"have {at['best_score']:.4f}" if at["best_epoch"] else "are not chosen yet"
        raise UserError(
            f"{state}: its best weights {reached}, those that cmarr brings along have {_selection(shipped):.4f} (mean "
            "of accuracy and UAR on validation faces); train on with `make denseface`, or remove "
            f"{SHIPPED.with_suffix('.json')} to ship them nevertheless"
        )
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
    run("card", main)
