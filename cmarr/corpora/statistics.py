"""The table of a corpus (CM-ARR, Table 1), with hours and with how much of each modality is absent."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import pandas as pd

from cmarr.corpora.headers import Header, is_media, read_headers
from cmarr.corpora.labels import SENTIMENTS, sentiment
from cmarr.errors import percent_text
from cmarr.media.clips import Failure
from cmarr.modalities import MODALITIES, NAMES
from cmarr.utterance import Utterance

_FIXED = {
    "corpus",
    "speakers",
    "male",
    "female",
    "sessions",
    "dialogues",
    "total",
    "hours",
    "untimed",
    *(f"absent_{m}" for m in MODALITIES),
}


def durations(
    utterances: Sequence[Utterance], headers: Mapping[str, Header | Failure] | None = None
) -> dict[str, float]:
    """Seconds by id, from `start` and `end`, else from the header of the audio or video file.

    No samples are decoded. Utterances whose length cannot be told so (text alone, features instead of
    media, a broken header) are left out. `headers` are those of the files, where they were read already.
    """
    if headers is None:
        open_ended = [u for u in utterances if u.end is None]
        paths = (path for u in open_ended for path in (u.audio, u.video) if path and is_media(path))
        headers = read_headers(paths)
    known = {}
    for utterance in utterances:
        for modality in ("s", "v"):
            header, (begin, end) = headers.get(utterance.source(modality) or ""), utterance.span(modality)
            length = header.used(modality, begin, end) if isinstance(header, Header) else None
            if length is None and end is not None:
                length = end - (begin or 0.0)
            if length is not None:
                known[utterance.id] = max(length, 0.0)
                break
    return known


def corpus_table(
    corpus: str,
    utterances: Sequence[Utterance],
    classes: Sequence[str] = (),
    available: Mapping[str, Collection[str]] | None = None,
    seconds: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Table 1 as one row of numbers: rows of several corpora can be stacked.

    Columns: corpus, speakers, male, female, sessions, dialogues, one per class (without `classes`: the
    sign of the score), total, hours, untimed, absent_s, absent_v, absent_t. `available` maps a modality to the ids
    that have its features, so that absent covers what the corpus lacks and what could not be read
    (default: what the manifest lacks). `seconds` by id as from `durations`; `untimed` utterances have media
    but no known length, and are not in the hours. What is not known is None.
    """
    row: dict[str, object] = {"corpus": corpus}
    sexes = {u.speaker: u.sex for u in utterances if u.speaker is not None}
    row["speakers"] = len(sexes) or None
    for name, sex in (("male", "m"), ("female", "f")):
        known = bool(sexes) and all(sexes.values())
        row[name] = sum(s == sex for s in sexes.values()) if known else None
    row["sessions"] = len({u.session for u in utterances} - {None}) or None
    row["dialogues"] = len({u.dialogue for u in utterances} - {None}) or None
    if classes:
        counts = Counter(u.label for u in utterances)
    else:
        counts = Counter(sentiment(u.score) for u in utterances if u.score is not None)
    row |= {label: counts[label] for label in (classes or SENTIMENTS)}
    row["total"] = len(utterances)
    timed = {u.id for u in utterances} & set(seconds or {})
    row["hours"] = sum((seconds or {})[id] for id in sorted(timed)) / 3600 if timed else None
    row["untimed"] = sum((u.audio or u.video) is not None and u.id not in timed for u in utterances)
    for modality in MODALITIES:
        if available is None:
            absent = sum(u.source(modality) is None for u in utterances)
        else:
            ids = set(available.get(modality, ()))
            absent = sum(u.id not in ids for u in utterances)
        row[f"absent_{modality}"] = absent / len(utterances) if utterances else None
    return pd.DataFrame([row], dtype=object)


def printed(table: pd.DataFrame) -> pd.DataFrame:
    """The cells of `corpus_table` as a person reads them: '5 male, 5 female', '0.66', '5.0 %', '-'."""
    classes = [c for c in table.columns if c not in _FIXED]
    out = pd.DataFrame({"corpus": table["corpus"], "speakers": [_speakers(r) for _, r in table.iterrows()]})
    for column in ("sessions", "dialogues", *classes, "total"):
        out[column] = ["-" if pd.isna(value) else str(value) for value in table[column]]
    out["hours"] = [_hours(row) for _, row in table.iterrows()]
    for m in MODALITIES:
        shares = table[f"absent_{m}"]
        out[f"no {NAMES[m]}"] = ["-" if pd.isna(value) else f"{percent_text(value, 1)} %" for value in shares]
    return out


def _speakers(row: pd.Series) -> str:
    if pd.isna(row["speakers"]):
        return "-"
    if pd.isna(row["male"]):
        return str(row["speakers"])
    return f"{row['male']} male, {row['female']} female"


def _hours(row: pd.Series) -> str:
    if pd.isna(row["hours"]):
        return "-"
    return f"{'at least ' if row['untimed'] else ''}{row['hours']:.2f}"
