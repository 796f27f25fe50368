"""The demo corpus read into utterances."""

from pathlib import Path

from cmarr.corpora import clips
from cmarr.corpora.demo.content import EMOTIONS
from cmarr.corpora.text_files import read_table
from cmarr.declaration import CountOrZero, Section, setting
from cmarr.errors import UserError
from cmarr.utterance import Rejected, Utterance

LABELS = "labels.csv"
COLUMNS = ("id", "text", "audio", "video", "label", "speaker", "sex", "session")
READER = "demo"

LAYOUT = f"{LABELS} with the columns {', '.join(COLUMNS)}, beside the folders audio and video"


class Options(Section):
    """What is generated: the stage `corpus` makes it, the reader takes what is there."""

    seed: CountOrZero = setting(0, "another seed is another corpus")
    sessions: CountOrZero = setting(5, "sessions of two speakers, 3 or more")
    utterances: CountOrZero = setting(240, "utterances in all")


def read(root: Path) -> tuple[list[Utterance], list[Rejected]]:
    """Utterances of a demo corpus, whose table is a manifest as `clips` reads them.

    Raises UserError as that does, where there is no finished corpus, and for a table that lacks a column.
    """
    root = Path(root).resolve()
    table = root / LABELS
    if not table.is_file():
        raise UserError(f"{table} does not exist: this is no finished demo corpus; generate it again")
    next(read_table(table, COLUMNS, f"expected {LAYOUT}"), None)  # refuses a table that lacks a column
    return clips.read(root, clips.Options(file=LABELS, labels=EMOTIONS))
