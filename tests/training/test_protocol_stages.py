"""From features and folds to the scores of every protocol, on a tiny corpus."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from cmarr.analyses.robustness import COLUMNS
from cmarr.corpora.manifest import write_manifest
from cmarr.data.load import by_id, load_store
from cmarr.errors import UserError
from cmarr.evaluation import predicting
from cmarr.evaluation.predictions import read_predictions
from cmarr.features.shards import load_features, read_features, shard_path, write_shard
from cmarr.files import file_digest
from cmarr.folds.files import read_folds
from cmarr.masks.files import read_description, read_masks, write_masks
from cmarr.masks.protocols import CELLS, CHOICES, MASKED, STEPS
from cmarr.methods.asking import predictions
from cmarr.methods.inference import split_logits
from cmarr.methods.model import load_model
from cmarr.modalities import CONDITIONS, MODALITIES
from cmarr.seals import write_json
from cmarr.settings.load import read_yaml
from cmarr.task import Task
from cmarr.tracking.results import summary
from cmarr.utterance import FeatureSequence
from stages import evaluate, masks, mirrored, train
from tests.training.conftest import CLASSES, TRAIN, make_corpus

ROOT = Path(__file__).parents[2]
SECTIONS = {name: read_yaml(ROOT / "params.yaml")["protocol"][name] for name in (*CELLS, *STEPS)}
MASKED_METHOD = {"d": 8, "length": 4, "heads": 2}


def drawn(corpus, names=tuple(SECTIONS), unseen=True, seed=0, **sections) -> dict:
    """Draw the mask sets as params.yaml has them; their description."""
    chosen = {name: SECTIONS[name] | sections.get(name, {}) for name in names}
    write_json(
        corpus.root / "data/tiny/settings/masks.json",
        {"protocols": chosen, "seed": seed, "unseen": unseen, "classes": CLASSES},
    )
    masks.main("tiny")
    return read_description(corpus.root / "data/tiny/masks")


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """The corpus after `masked`, trained without the pairs, was evaluated under every protocol; only read."""
    corpus = make_corpus(tmp_path_factory.mktemp("evaluated"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(corpus.root)
        patch.delenv("DVC_ROOT", raising=False)
        drawn(corpus)
        corpus.settings("masked", MASKED_METHOD, train=TRAIN | {"mask_conditions": ["t", "s", "v", "svt"]})
        train.main("tiny", "masked")
        evaluate.main("tiny", "masked")
    return corpus


def table(corpus) -> pd.DataFrame:
    return pd.read_csv(corpus.root / "metrics/tiny/masked/protocols.csv")


def test_masks_are_the_same_bytes_until_the_seed_changes(corpus):
    digests = []
    for seed in (0, 0, 1):
        drawn(corpus, seed=seed)
        files = sorted((corpus.root / "data/tiny/masks").glob("*.parquet"))
        digests.append({path.stem: file_digest(path) for path in files})
    assert set(digests[0]) == set(MASKED) - {"by_speaker"}  # nobody says who speaks in this corpus
    assert digests[0] == digests[1]
    assert all(digests[0][name] != digests[2][name] for name in digests[0])


def test_a_protocol_that_the_corpus_does_not_allow_says_why(corpus):
    described = drawn(corpus)
    assert "who speaks" in described["absent"]["by_speaker"]
    assert "by_speaker" not in described["protocols"]


def test_every_test_utterance_has_a_mask_at_every_level(corpus):
    described = drawn(corpus, ["rate"])
    frame = read_masks(corpus.root / "data/tiny/masks", "rate")
    assert frame["level"].nunique() == 8
    assert not frame.duplicated(["fold", "id", "level"]).any()
    for fold in read_folds(corpus.root / "data/tiny/folds.parquet"):
        of_fold = frame[frame["fold"] == fold.number]
        assert all(sorted(part["id"]) == sorted(fold.test) for _, part in of_fold.groupby("level"))
    told = {level["level"]: level["realised"] for level in described["protocols"]["rate"]["levels"]}
    counted = 1 - frame["condition"].str.len().groupby(frame["level"]).mean() / 3
    assert told == pytest.approx(counted.to_dict())
    assert told[0.5] == pytest.approx(0.5)
    assert told[0.7] == pytest.approx(2 / 3)


class TestScores:
    def test_one_table_holds_every_protocol_and_level(self, evaluated):
        rows = table(evaluated)
        assert tuple(rows.columns) == COLUMNS
        assert set(rows["protocol"]) == {"fixed", "unseen", *MASKED} - {"by_speaker"}
        assert not rows.duplicated(["protocol", "level", "condition", "metric"]).any()
        of_rate = rows[(rows["protocol"] == "rate") & (rows["metric"] == "UAR")]
        np.testing.assert_allclose(of_rate["level"], SECTIONS["rate"]["levels"])
        assert (of_rate["condition"] == "mixed").all()
        assert (of_rate["n"] == 12).all()
        assert of_rate["realised"].iloc[-1] == pytest.approx(2 / 3)
        assert of_rate["lo"].le(of_rate["hi"]).all()

    def test_the_fixed_protocol_keeps_its_place_and_its_numbers(self, evaluated):
        summary = json.loads((evaluated.root / "metrics/tiny/masked.json").read_text())
        fixed = (
            table(evaluated).query("protocol == 'fixed' and metric == 'WAR'").set_index("condition")["mean"]
        )
        assert fixed.to_dict() == pytest.approx({row: cell["mean"] for row, cell in summary["WAR"].items()})

    def test_nothing_missing_is_the_complete_condition(self, evaluated):
        rows = table(evaluated)
        rows = rows[rows["metric"] == "UAR"]
        complete = rows[(rows["protocol"] == "fixed") & (rows["condition"] == "svt")]["mean"].item()
        for protocol in ("rate", "frames", "bursts"):
            none = rows[(rows["protocol"] == protocol) & (rows["level"] == 0.0)]["mean"].item()
            assert none == pytest.approx(complete)

    def test_conditions_that_training_never_showed_are_named_and_averaged(self, evaluated):
        rows = table(evaluated).query("protocol == 'unseen' and metric == 'UAR'").set_index("condition")
        assert list(rows.index) == ["vt", "sv", "st", "unseen", "seen"]
        assert rows.loc["unseen", "mean"] == pytest.approx(
            rows.loc[["vt", "sv", "st"], "mean"].mean(), abs=1e-6
        )
        assert rows.loc["unseen", "covers"] == "vt sv st"
        told = json.loads((evaluated.root / "metrics/tiny/masked/protocols.json").read_text())
        assert "never showed vt, sv, st" in told["protocols"]["unseen"]["rule"]

    def test_a_method_that_saw_everything_has_nothing_unseen(self, corpus):
        drawn(corpus, ["rate"])
        corpus.settings("linear", {})
        train.main("tiny", "linear")
        evaluate.main("tiny", "linear")
        told = json.loads((corpus.root / "metrics/tiny/linear/protocols.json").read_text())
        assert told["absent"]["unseen"] == "training showed all seven conditions"
        assert set(told["protocols"]) == {"rate"}
        assert set(told["protocols"]["rate"]["levels"]) == {f"{level / 10}" for level in range(8)}

    def test_frames_that_are_gone_leave_shorter_sequences_or_nothing(self, evaluated):
        frame = read_predictions(
            evaluated.root / "data/tiny/predictions/masked/fold1-seed0.parquet", "frames"
        )
        left = frame.groupby("level")["n_usable"].mean()
        assert left.iloc[0] == 3
        assert left.iloc[-1] < 2  # of one to four steps
        assert (frame["condition"] == "svt").all()


@pytest.fixture(scope="module")
def tested(evaluated):
    """The test utterances of fold 1, the model that answers them, and what their predictions say of them."""
    features = load_features(evaluated.root / "data/tiny/features")
    utterances = by_id(evaluated.root / "data/tiny/manifest.parquet")
    fold = read_folds(evaluated.root / "data/tiny/folds.parquet")[0]
    store = load_store(fold.test, utterances, features, Task(tuple(CLASSES)))
    model = load_model(evaluated.root / "data/tiny/models/masked/fold1-seed0.safetensors")
    names = [utterances[id].label for id in fold.test]
    about = {"ids": fold.test, "speakers": fold.test, "clusters": fold.test, "labels": names, "seed": 0}
    return model, store, about


def test_an_answer_that_is_looked_up_is_the_answer_under_the_mixed_masks(evaluated, tested):
    """What the shortcut saves is not what it says: the method is asked again, under the masks themselves."""
    model, store, _ = tested
    batch = model.normaliser(store.batch(torch.arange(len(store))))
    path = evaluated.root / "data/tiny/predictions/masked/fold1-seed0.parquet"
    for protocol in ("rate", "unbalanced_video", "by_class"):
        for _, rows in read_predictions(path, protocol).groupby("level"):
            rows = rows.set_index("id").loc[list(store.ids)]
            visible = torch.tensor([[m in condition for m in MODALITIES] for condition in rows["condition"]])
            with torch.no_grad():
                logits = predictions(model.method, batch, {"mixed": visible})["mixed"].logits
            expected = rows[[f"p_{name}" for name in CLASSES]].to_numpy()
            np.testing.assert_allclose(logits.softmax(1).numpy(), expected, atol=1e-6)


def test_a_method_that_reads_dialogues_is_asked_anew_under_every_mask_set(corpus):
    """Of three utterances of a dialogue each shows what its own row of the mask set leaves it."""
    manifest = corpus.root / "data/tiny/manifest.parquet"
    write_manifest(
        manifest, [replace(u, dialogue=f"d{i // 3}") for i, u in enumerate(by_id(manifest).values())]
    )
    drawn(corpus, ["rate"])
    corpus.settings("gcnet", {"d": 4, "graph": 4, "hidden": 4})
    train.main("tiny", "gcnet")
    evaluate.main("tiny", "gcnet")
    features, fold = (
        load_features(corpus.root / "data/tiny/features"),
        read_folds(corpus.root / "data/tiny/folds.parquet")[0],
    )
    store = load_store(fold.test, by_id(manifest), features, Task(tuple(CLASSES)))
    model = load_model(corpus.root / "data/tiny/models/gcnet/fold1-seed0.safetensors")
    batch = model.normaliser(store.batch(torch.arange(len(store))))
    path = corpus.root / "data/tiny/predictions/gcnet/fold1-seed0.parquet"
    fixed = read_predictions(path).set_index(["id", "condition"])["p_calm"]
    differs = False
    for _, rows in read_predictions(path, "rate").groupby("level"):
        rows = rows.set_index("id").loc[list(store.ids)]
        visible = torch.tensor([[m in condition for m in MODALITIES] for condition in rows["condition"]])
        with torch.no_grad():
            logits = predictions(model.method, batch, {"mixed": visible})["mixed"].logits
        np.testing.assert_allclose(logits.softmax(1)[:, 0].numpy(), rows["p_calm"], atol=1e-6)
        assert (rows["n_usable"] == (visible & store.available).sum(1).numpy()).all()
        looked_up = fixed.loc[list(zip(rows.index, rows["condition"], strict=True))]
        differs |= not np.allclose(looked_up, rows["p_calm"], atol=1e-6)
    assert differs


def test_the_rates_cost_no_pass_and_each_dropped_level_one(evaluated, tested, monkeypatch):
    model, store, about = tested
    asked = []

    def counted(method, normaliser, store, conditions):
        asked.append(tuple(conditions))
        return split_logits(method, normaliser, store, conditions)

    monkeypatch.setattr(predicting, "split_logits", counted)
    encoded = []
    model.method.projections["t"].register_forward_hook(lambda *call: encoded.append(1))
    for names, more in (
        ((), []),
        (("rate", "unbalanced_text", "by_class"), []),
        (("frames",), [("svt",)] * 9),
    ):
        asked.clear(), encoded.clear()
        sets = {name: read_masks(evaluated.root / "data/tiny/masks", name) for name in names}
        frames = list(
            predicting.protocol_predictions(predicting.predictions_of(model, 1, **about), store, sets, 1)
        )
        assert asked == [CONDITIONS, *more]
        assert len(encoded) == len(asked)
        assert len(frames) == 1 + (len(names) if not more else 10)


def test_an_utterance_without_anything_gets_the_prior_and_is_counted_apart(corpus):
    for name in ("speech", "video", "text"):
        folder = corpus.root / "data/tiny/features" / name
        known = read_features(folder)
        kept = [
            FeatureSequence(id, known.values[a:b], np.arange(b - a))
            for id, a, b in zip(known.ids, known.offsets[:-1], known.offsets[1:], strict=True)
            if id != "u18"
        ]
        write_shard(shard_path(folder, 0), kept, {"encoder": "x"})
    drawn(corpus, ["rate"])
    corpus.settings("linear", {})
    train.main("tiny", "linear")
    evaluate.main("tiny", "linear")
    path = corpus.root / "data/tiny/predictions/linear/fold1-seed0.parquet"
    rows = read_predictions(path, "rate")
    nothing = rows[rows["id"] == "u18"]
    assert (nothing["n_usable"] == 0).all()
    prior = load_model(corpus.root / "data/tiny/models/linear/fold1-seed0.safetensors").prior.tolist()
    np.testing.assert_allclose(nothing[["p_calm", "p_tense"]], [prior] * 8)
    scores = pd.read_csv(corpus.root / "metrics/tiny/linear/protocols.csv").query("protocol == 'rate'")
    assert set(scores["n"]) == {11}
    assert set(scores["n_all"]) == {12}


def test_masks_of_other_features_are_refused(evaluated, tmp_path, monkeypatch):
    shutil.copytree(evaluated.root, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "data/tiny/masks/frames.parquet"
    frame = read_masks(path.parent, "frames")
    frame["n_steps"] += 1
    write_masks(path.parent, "frames", frame)
    with pytest.raises(UserError, match=r"utterance u\d\d has \d steps of .*draw the mask sets again"):
        evaluate.main("tiny", "masked")


def test_every_choice_of_params_yaml_is_explained_there():
    text = (ROOT / "params.yaml").read_text()
    start = text.index("# under which protocols the trained models")
    manual = text[start : text.index("\nprotocols:", start)]
    assert all(re.search(rf"[#;,.] {name}\b", manual) for name in CHOICES)


def test_mlflow_shows_every_level_by_its_name(evaluated):
    folder = evaluated.root / "metrics/tiny"
    told = json.loads((folder / "masked/protocols.json").read_text())
    shown = summary(mirrored._metrics(json.loads((folder / "masked.json").read_text()), told))
    assert shown["UAR/rate0.3"] == told["protocols"]["rate"]["levels"]["0.3"]["UAR"]["mean"]
    assert {"UAR/st", "UAR/avg6", "UAR/unbalanced_video0.9", "UAR/frames0.5", "UAR/unseen"} <= set(shown)
    assert shown["UAR/unseen"] == pytest.approx(
        np.mean([shown[f"UAR/{c}"] for c in ("vt", "sv", "st")]), abs=1e-6
    )
