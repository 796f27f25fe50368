"""The demo corpus read into utterances."""

from pathlib import Path

from cmarr.corpora.demo.content import EMOTIONS
from cmarr.corpora.text_files import read_table
from cmarr.errors import UserError
from cmarr.utterance import Rejected, Utterance

LABELS = "labels.csv"
COLUMNS = ("id", "text", "audio", "video", "label", "speaker", "sex", "session")
READER = "demo"

LAYOUT = f"{LABELS} with the columns {', '.join(COLUMNS)}, beside the folders audio and video"


def read(root: Path) -> tuple[list[Utterance], list[Rejected]]:
    """Utterances of a demo corpus in the order of its table, with absolute media paths.

    An empty text, audio or video becomes None. A row with an unknown label is rejected. Whether the media
    can be read is for extraction to find out. Raises UserError where there is no finished corpus, and for
    a table that lacks a column, a row without an id and an id that appears twice.
    """
    root = Path(root).resolve()
    table = root / LABELS
    if not table.is_file():
        raise UserError(f"{table} does not exist: this is no finished demo corpus; generate it again")
    utterances: list[Utterance] = []
    rejected: list[Rejected] = []
    lines: dict[str, int] = {}
    for line, row in read_table(table, COLUMNS, f"expected {LAYOUT}"):
        id = row["id"]
        if not id:
            raise UserError(f"{table}, line {line}: no id; every row needs one of its own")
        if id in lines:
            raise UserError(f"{table}: the id {id} appears twice, in line {lines[id]} and in line {line}")
        lines[id] = line
        if row["label"] not in EMOTIONS:
            reason = f"unknown label {row['label']!r}; known are {', '.join(EMOTIONS)}"
            rejected.append(Rejected(id, None, "prepare", f"{table.name}, line {line}: {reason}"))
            continue
        utterances.append(
            Utterance(
                id=id,
                text=row["text"].strip() or None,
                audio=str(root / row["audio"]) if row["audio"] else None,
                video=str(root / row["video"]) if row["video"] else None,
                label=row["label"],
                speaker=row["speaker"],
                sex=row["sex"],
                session=row["session"],
            )
        )
    return utterances, rejected
