"""What made the numbers: settings, and the hashes of the data."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from cmarr.analyses.analysis import Analysis
from cmarr.analyses.study import Study
from cmarr.files import file_digest, folder_digest
from cmarr.modalities import NAMES
from cmarr.report.page import Folded, Section
from cmarr.report.table import Table, slugs
from cmarr.seals import read_json


def provenance_section(
    settings: Mapping[str, Mapping[str, Any]], hashes: Mapping[str, str], *, dataset: str
) -> Section:
    """The settings of every stage and method as they were resolved, and SHA-256 of what they were applied to.

    settings: stage or method -> its resolved settings. hashes: what -> hex digest.
    """
    files = slugs(settings)
    tables = [
        Folded(
            f"Settings of {name}",
            [Table(f"settings-{files[name]}", f"Settings of {name}, as resolved.", settings_frame(own))],
            open=False,
        )
        for name, own in settings.items()
    ]
    data = pd.DataFrame({"what": list(hashes), "SHA-256": list(hashes.values())})
    return Section(
        "provenance",
        "What made this report",
        [
            "Equal hashes and equal settings give equal numbers, to the last digit on the same machine. The settings "
            "are those of `params.yaml` after the preset and the dataset have filled in what it leaves to them."
        ],
        [Table("hashes", f"The data behind {dataset}.", data), *tables],
    )


def settings_frame(settings: Mapping[str, Any]) -> pd.DataFrame:
    """Nested settings as rows key, value; keys dotted."""
    return pd.DataFrame([(key, _text(value)) for key, value in _leaves(settings)], columns=["key", "value"])


def _leaves(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, (*path, str(key)))
        else:
            yield ".".join((*path, str(key))), value


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value or "''"
    if isinstance(value, Sequence):
        return ", ".join(map(_text, value)) or "none"
    return "none" if value is None or value == {} else str(value)


def hashes(study: Study) -> dict[str, str]:
    """What the numbers were computed from, by name -> SHA-256."""
    at = study.at
    corpus = read_json(at.corpus / "inventory.json", "take stock of the corpus again")
    found = {"raw corpus (names, sizes and contents)": str(corpus["fingerprint"])}
    found |= {"manifest": file_digest(at.manifest), "folds": file_digest(at.folds)}
    found |= {f"features of {m}": folder_digest(at.features / m) for m in NAMES.values()}
    for name in [*study.settings["methods"], *study.labels]:
        found[f"predictions of {study.marked(name)}"] = folder_digest(at.predictions(name))
    return found


def section(study: Study) -> Section:
    """Settings and data of this study."""
    own = {k: v for k, v in study.settings.items() if k not in ("made_by", "declared", "corpus", "code")}
    made = {study.marked(name): settings for name, settings in study.settings["made_by"].items()}
    return provenance_section({"the study": own, **made}, hashes(study), dataset=study.dataset)


ANALYSIS = Analysis(section)
