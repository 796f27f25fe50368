"""Recordings to answers through the stages: damage, evaluate, and what the study reads of them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from recordings import face, tone, write_video

import stages.damage
import stages.evaluate
import stages.extract
import stages.masks
import stages.prepare
import stages.settings
import stages.split
import stages.train
from cmarr.analyses.damage import examine
from cmarr.analyses.robustness import plot_tables
from cmarr.evaluation.predictions import read_folder
from cmarr.evaluation.scores import score_rows
from cmarr.evaluation.spread import read_spread
from cmarr.features.shards import read_features
from cmarr.files import folder_digest
from cmarr.folds.files import read_folds
from cmarr.task import Task

ROOT = Path(__file__).parents[2]
LABELS = ("happy", "sad", "angry", "neutral")
CHANGES = {
    "dataset: demo ": "dataset: own ",
    "../corpora/own/manifest.csv": "clips/manifest.csv",
    "workers: auto": "workers: 1",
    "  text: auto ": "  text: hashing ",
    "- masked\n- linear\n- gaussian\n- anchored\n": "- linear\n",
    "epochs: auto": "epochs: 1",
    "C: auto": "C: 1.0",
    "d: auto             # width": "d: 8                # width",
    "length: auto        # steps": "length: 2           # steps",
    "flow_steps: auto": "flow_steps: 1",
    "blocks: auto": "blocks: 1",
    "protocols:\n- fixed\n- rate\n": "protocols: [fixed, noise, word_errors]\n",
    "    - 20.0\n    - 10.0\n    - 5.0\n    - 0.0\n    - -5.0\n": "    - 10.0\n    - -5.0\n",
    "    - 0.1\n    - 0.2\n    - 0.3\n    - 0.4\n    - 0.5\n  dark": "    - 0.5\n  dark",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Clips of five speakers, trained and evaluated; the working directory is the project's."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("DVC_ROOT", str(folder))
        shutil.copytree(ROOT / "presets", "presets")
        Path("clips").mkdir()
        write_video("clips/face.mp4", [face()] * 4)
        rows = ["id,text,audio,video,label,speaker,session"]
        for i in range(20):
            soundfile.write(f"clips/{i}.wav", tone(200 * (i % 4 + 1), 0.3), 16_000)
            rows.append(f"u{i:02d},I am {LABELS[i % 4]} today,{i}.wav,face.mp4,{LABELS[i % 4]},s{i // 4},1")
        Path("clips/manifest.csv").write_text("\n".join(rows))
        text = (ROOT / "params.yaml").read_text()
        for old, new in CHANGES.items():
            assert old in text, old
            text = (
                text.replace(old, new)
                if "auto" in old and "workers" not in old
                else text.replace(old, new, 1)
            )
        Path("params.yaml").write_text(text)
        stages.settings.main("own")
        stages.prepare.main("own")
        Path("data/own/corpus").mkdir()
        for modality in ("text", "speech", "video"):
            stages.extract.main("own", modality)
        stages.split.main("own")
        stages.masks.main("own")
        for method in ("cmarr", "linear"):
            stages.train.main("own", method)
        trained = folder_digest("data/own/models")
        for kind in ("noise", "word_errors", "blur"):
            stages.damage.main("own", kind)
        for method in ("cmarr", "linear"):
            stages.evaluate.main("own", method)
        assert folder_digest("data/own/models") == trained
        yield folder


def test_what_is_asked_for_is_extracted_level_by_level(project):
    damaged = project / "data/own/damaged"
    assert sorted(p.name for p in (damaged / "noise").iterdir()) == ["-5", "10", "levels.json"]
    (empty,) = (damaged / "blur").iterdir()  # nobody asked
    assert json.loads(empty.read_text())["levels"] == []
    told = json.loads((damaged / "word_errors/levels.json").read_text())["levels"]
    assert [row["level"] for row in told] == [0.5] and 0.3 < told[0]["realised"] < 0.7
    tested = {id for fold in read_folds(project / "data/own/folds.parquet") for id in fold.test}
    for level in ("10", "-5"):
        assert set(read_features(damaged / "noise" / level).ids) == tested


def test_every_level_is_answered_under_the_conditions_that_use_the_modality(project):
    rows = pd.concat(read_folder(project / "data/own/predictions/cmarr", protocol=None))
    noise, words = (rows[rows["protocol"] == kind] for kind in ("noise", "word_errors"))
    assert set(noise["condition"]) == {"s", "sv", "st", "svt"} and set(noise["level"]) == {10.0, -5.0}
    assert set(words["condition"]) == {"t", "vt", "st", "svt"}
    folds = read_folds(project / "data/own/folds.parquet")
    for fold in folds:
        for _, part in noise[noise["fold"] == fold.number].groupby(["level", "condition"]):
            assert sorted(part["id"]) == sorted(fold.test)
    fixed = rows[rows["protocol"] == "fixed"].set_index(["id", "condition"])["p_sad"].sort_index()
    worst = noise[noise["level"] == -5.0].set_index(["id", "condition"])["p_sad"].sort_index()
    assert not np.allclose(worst, fixed.reindex(worst.index))


def test_sigma_is_kept_of_clean_and_damaged_utterances_of_the_method_that_has_one(project):
    spread = read_spread(project / "data/own/predictions/cmarr")
    kept = set(zip(spread["role"], spread["protocol"], strict=True))
    assert kept == {(r, "fixed") for r in ("test", "validation")} | {
        ("test", k) for k in ("noise", "word_errors")
    }
    assert (spread["spread"] > 0).all()
    assert read_spread(project / "data/own/predictions/linear") is None
    for fold in read_folds(project / "data/own/folds.parquet"):
        own = spread[(spread["fold"] == fold.number) & (spread["role"] == "validation")]
        assert set(own["id"]) == set(fold.validation)


def test_the_study_reads_them(project):
    task, folder = Task(LABELS), project / "data/own/predictions/cmarr"
    task = Task(("angry", "happy", "neutral", "sad"))
    frames = read_folder(folder, protocol=None)
    finding = examine(frames, task, "noise", read_spread(folder), resamples=50)
    assert set(finding.scores) == {"use", "hide", "entropy", "sigma"}
    assert all(cell["n"] == 20 for cell in finding.scores["use"]["UAR"].values())
    assert examine(frames, task, "blur", resamples=50) is None


def test_the_long_table_of_scores_has_them_level_by_level_and_condition_by_condition(project):
    table = pd.read_csv(project / "metrics/own/cmarr/protocols.csv").query("metric == 'UAR'")
    assert set(table["protocol"]) == {"fixed", "noise", "word_errors"}
    noise, words = (table[table["protocol"] == kind] for kind in ("noise", "word_errors"))
    pairs = [(level, condition) for condition in ("s", "sv", "st", "svt") for level in (-5.0, 10.0)]
    assert list(zip(noise["level"], noise["condition"], strict=True)) == pairs
    assert (noise["covers"] == noise["condition"]).all() and noise["realised"].isna().all()
    assert set(words["condition"]) == {"t", "vt", "st", "svt"}
    assert words["realised"].between(0.3, 0.7).all()
    rows = pd.concat(read_folder(project / "data/own/predictions/cmarr", protocol="noise"))
    own = rows[(rows["condition"] == "s") & (rows["level"] == -5.0)]
    task = Task(("angry", "happy", "neutral", "sad"))
    folds = [score_rows(part, task)["UAR"] for _, part in own.groupby("fold")]
    assert noise.iloc[0]["mean"] == pytest.approx(np.mean(folds), abs=1e-6)
    assert not [name for name in plot_tables({"cmarr": table}, task) if "noise" in name]
