"""Read FER+'s test faces once, write the model card of Denseface, ship its best weights."""

from pathlib import Path

from cmarr.encoders.face_network import SHIPPED, copy_weights
from cmarr.errors import UserError
from cmarr.ferplus.card import card_numbers, write_card
from cmarr.ferplus.reader import read_part
from cmarr.files import file_digest, read_json, write_json
from stages.denseface import FOLDER, begin
from stages.paths import Paths, corpus_root
from stages.stage import root, run

CARD = Path("docs", "denseface.md")


def main(dataset: str) -> None:
    settings = Paths(dataset).settings("denseface")
    best, numbers_file = root() / FOLDER / "best.safetensors", SHIPPED.with_suffix(".json")
    if not best.is_file():
        if not (root() / FOLDER / "state.safetensors").is_file():
            raise UserError(f"{best} does not exist; train with `make denseface`")
        print("card: no epoch is done yet; the weights are those of this moment")
        begin(settings).keep_unselected()
    known = read_json(numbers_file) if numbers_file.is_file() else None
    if known and known["weights"]["sha256"] == file_digest(best):
        print("card: these weights were scored before; the card is written from what was found then")
    else:
        faces = corpus_root(settings["root"])
        known = card_numbers(best, read_part(faces, "valid").real(), read_part(faces, "test").real())
        copy_weights(best, SHIPPED)
        write_json(numbers_file, known)
    write_card(root() / CARD, known)
    for way in ("plain", "balanced"):
        found = known["test"][way]["all"]
        print(f"{way}: test accuracy {100 * found['accuracy'][0]:.2f} %, UAR {100 * found['UAR'][0]:.2f} %")


if __name__ == "__main__":
    run(main)
