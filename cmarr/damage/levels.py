"""One kind of damage at every level: the test utterances, damaged, through the ordinary extraction."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cmarr.damage.corruptions import damaged, vocabulary, word_error_rate
from cmarr.damage.kinds import KINDS
from cmarr.damage.tables import LEVELS, level_folder
from cmarr.encoders.protocol import Encoder
from cmarr.features.extract import Summary, extract
from cmarr.folds.files import Fold
from cmarr.seals import write_json
from cmarr.utterance import Utterance


def extract_levels(
    utterances: Sequence[Utterance],
    folds: Sequence[Fold],
    kind: str,
    levels: Sequence[float],
    encoder: Encoder,
    folder: str | Path,
    *,
    seed: int,
    sound: str = "white",
    resume: str | Path | None = None,
    **limits: Any,
) -> list[Summary]:
    """Damage the test utterances of all folds and extract the modality concerned into `folder`/<level>/.

    utterances: of the whole corpus; those that no fold tests are never damaged. They lend their words to the
    word errors (of the fold that tests an utterance: its training transcripts) and their voices to babble.
    limits: further keywords of `cmarr.features.extract.extract`. Raises UserError as that does.
    """
    modality = KINDS[kind].modality
    words: dict[str, tuple[str, ...]] = {}
    known = {u.id: u for u in utterances}
    for fold in folds:
        spoken = vocabulary(known[id].text for id in fold.train) if kind == "word_errors" else ()
        words = dict.fromkeys(fold.test, spoken) | words
    tested = [u for u in utterances if u.id in words and u.source(modality) is not None]
    talkers = {u.id: u for u in utterances if u.audio} if sound == "babble" else None
    summaries, outcome = [], []
    for level in KINDS[kind].ordered(levels):
        received = [damaged(u, kind, level, seed=seed, words=words[u.id], talkers=talkers) for u in tested]
        summary = extract(
            received,
            encoder,
            level_folder(folder, level),
            label=f"{kind} {level:g}",
            resume=None if resume is None else level_folder(resume, level),
            remarks={"damage": f"{kind} {level:g}{KINDS[kind].unit}, seed {seed}"},
            **limits,
        )
        summaries.append(summary)
        row: dict[str, Any] = {"level": level, "utterances": len(tested), "encoded": summary.encoded}
        if kind == "word_errors":
            row["realised"] = word_error_rate(
                [u.text or "" for u in tested], [u.text or "" for u in received]
            )
        outcome.append(row)
    write_json(Path(folder) / LEVELS, {"kind": kind, "sound": sound, "seed": seed, "levels": outcome})
    return summaries
