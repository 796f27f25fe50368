"""The doctor passes a corpus if and only if the stages come to their end on it.

12 generated corpora in every run; `CORPORA=300 python -m pytest tests/doctor/test_verdict.py -s` makes more, and prints
what was wrong with each, what the doctor said and where the stages stopped.
"""

import os
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))
import bad_corpora

from cmarr.doctor.corpus import examine
from cmarr.doctor.extraction import Source
from cmarr.errors import UserError
from cmarr.features.shards import read_features
from cmarr.features.source import source_of
from cmarr.files import refusal
from cmarr.modalities import MODALITIES, NAMES
from cmarr.seals import write_json
from cmarr.settings.schema import Dataset
from stages import corpus, extract, prepare, split

COUNT = int(os.environ.get("CORPORA", "12"))
FIRST = int(os.environ.get("FIRST", "0"))
ENCODERS = {"s": "logmel", "v": "hog", "t": "hashing"}
MAX_REJECTED = 0.1


def settings(bad):
    """Name of a settings file -> what stands in it, as the first stage writes it."""
    own = {key: bad.section[key] for key in ("kind", "options", "classes")} | {"root": str(bad.root)}
    extraction = {"shard_size": 8, "max_rejected": MAX_REJECTED, "time_limit": 10.0}
    files = {
        "corpus": own | {"dataset": "bad"},
        "prepare": own
        | {key: bad.section[key] for key in ("merge", "features")}
        | {"unlabelled": "leave_out"},
        "split": {key: bad.section[key] for key in ("folds", "n_folds", "classes")},
        "run": {"workers": 1, "device": "cpu", "executor": "local", "ray": {}},
    }
    for letter, encoder in ENCODERS.items():
        source = {"source": "encoder", "encoder": encoder, "settings": {}}
        if bad.section["features"] == "corpus":
            source = {"source": "corpus", "root": str(bad.root)} | {
                k: bad.section[k] for k in ("kind", "options")
            }
        files[f"extract/{NAMES[letter]}"] = source | extraction
    return files


def stages_stop_at(bad):
    """What the stages print before they end with status 1; None where they come to their end."""
    for name, content in settings(bad).items():
        write_json(Path("data/bad/settings") / f"{name}.json", content)
    try:
        corpus.main("bad")
        prepare.main("bad")
        split.main("bad")
        for modality in NAMES.values():
            extract.main("bad", modality)
    except UserError as error:
        return str(error)
    except OSError as error:
        assert refusal(error), error
        return str(refusal(error))
    tables = [read_features(Path("data/bad/features") / modality) for modality in NAMES.values()]
    return None if any(tables) else "no features at all"


def doctor_refuses(bad):
    """The problems that the doctor finds."""
    dataset = Dataset(root=str(bad.root), **bad.section)
    made = settings(bad)
    sources = {}
    for letter in MODALITIES:
        own = made[f"extract/{NAMES[letter]}"]
        build = source_of(letter, own, bad.root, dataset="bad", base=Path(), workers=1, device="cpu")
        sources[letter] = Source(own["source"], build, MAX_REJECTED, whole=own["source"] == "corpus")
    topics = list(examine("bad", dataset, bad.root, sources=sources))
    return [finding.text for topic in topics for finding in topic.findings if finding.level == "problem"]


@pytest.mark.parametrize("seed", range(FIRST, FIRST + COUNT))
def test_the_doctor_passes_a_corpus_if_and_only_if_the_stages_end(seed, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    bad = bad_corpora.make(seed, tmp_path / "corpus")
    problems, stopped = doctor_refuses(bad), stages_stop_at(bad)
    with capfd.disabled():
        if "CORPORA" in os.environ:
            verdict = "refused" if problems else "passed"
            told = (problems or ["-"])[0].split("\n")[0][:110]
            print(
                f"\n{seed} {bad.section['kind']} {bad.done}: {verdict} ({told}); stages: {(stopped or 'end')[:110]}"
            )
    assert bool(problems) == bool(stopped), (bad.done, problems, stopped)
