"""The stages of training on a tiny corpus: what a method starts from, and the search for settings."""

import json

import pytest
import torch

from cmarr.errors import UserError
from cmarr.files import file_digest
from cmarr.methods.model import load_model
from stages import evaluate, pretrain, train

SMALL = {"d": 8, "blocks": 2}
FILES = [f"fold{fold}-seed0.safetensors" for fold in (1, 2)]


def mmin(corpus, **changes) -> None:
    corpus.settings("mmin", {"d": 8, "dropout": 0.3}, file="pretrain/mmin", first_stage=True)
    corpus.settings("mmin", SMALL, starts_from="mmin", **changes)


class TestFirstStage:
    def test_it_is_an_output_of_its_own_and_the_method_starts_from_it(self, corpus):
        mmin(corpus)
        pretrain.main("tiny", "mmin")
        folder = corpus.root / "data/tiny/pretrained/mmin"
        assert sorted(p.name for p in folder.glob("*.safetensors")) == FILES
        first = load_model(folder / FILES[0])
        assert type(first.method).__name__ == "Complete"
        cost = json.loads((corpus.root / "metrics/tiny/mmin/pretrain.json").read_text())
        assert [t["fold"] for t in cost["trainings"]] == [1, 2]

        mmin(corpus, train={**json_train(corpus), "lr": 1e-12})
        train.main("tiny", "mmin")
        method = load_model(corpus.root / "data/tiny/models/mmin" / FILES[0]).method
        for key, value in first.method.encoders.state_dict().items():
            torch.testing.assert_close(method.encoders.state_dict()[key], value, atol=1e-6, rtol=0)

    def test_most_methods_start_from_nothing(self, corpus):
        corpus.settings("linear", {}, file="pretrain/linear", first_stage=False)
        pretrain.main("tiny", "linear")
        assert not list((corpus.root / "data/tiny/pretrained/linear").glob("*.safetensors"))
        assert json.loads((corpus.root / "metrics/tiny/linear/pretrain.json").read_text())["seconds"] == 0

    def test_without_it_one_sentence_says_what_to_do(self, corpus):
        mmin(corpus)
        with pytest.raises(UserError, match=r"does not exist; train it again"):
            train.main("tiny", "mmin")

    def test_training_twice_gives_the_same_bytes(self, corpus):
        mmin(corpus)
        pretrain.main("tiny", "mmin")
        digests = []
        for _ in range(2):
            train.main("tiny", "mmin")
            digests.append([file_digest(corpus.root / "data/tiny/models/mmin" / name) for name in FILES])
        assert digests[0] == digests[1]


def json_train(corpus) -> dict:
    return json.loads((corpus.root / "data/tiny/settings/train/mmin.json").read_text())["train"]


@pytest.mark.parametrize(
    ("method", "settings", "first"),
    [
        ("gbdt", {"rounds": 5, "leaves": 4, "smallest_leaf": 2}, None),
        ("cra", {"d": 8}, None),
        ("mmin", SMALL, {"d": 8}),
        ("if_mmin", SMALL, {"d": 8}),
        ("cif_mmin", SMALL, {"d": 8}),
        (
            "dicmor",
            {"d": 8, "length": 4, "heads": 2, "flow_steps": 2, "blocks": 1, "depth": 1},
            {"d": 8, "length": 4, "heads": 2, "depth": 1},
        ),
        (
            "imder",
            {
                "d": 8,
                "length": 4,
                "heads": 2,
                "depth": 1,
                "channels": 4,
                "levels": 2,
                "score_heads": 2,
                "blocks": 1,
            },
            {"d": 8, "length": 4, "heads": 2, "depth": 1},
        ),
        ("cmad", {"d": 8, "latents": 1, "heads": 2}, {"d": 8, "latents": 1, "heads": 2}),
        ("primd", {"d": 8}, {"d": 8}),
        ("momke", {"d": 8, "depth": 1, "sequence": "dialogue"}, None),
        ("cyin", {"d": 8, "bottleneck": 8, "hidden": 8, "blocks": 1}, None),
        ("gcnet", {"d": 8, "graph": 8, "hidden": 8}, None),
    ],
)
def test_every_rival_goes_from_features_to_scores(corpus, method, settings, first):
    corpus.settings(method, first or {}, file=f"pretrain/{method}", first_stage=bool(first))
    corpus.settings(method, settings, starts_from=method if first else None)
    pretrain.main("tiny", method)
    train.main("tiny", method)
    evaluate.main("tiny", method)
    scores = json.loads((corpus.root / f"metrics/tiny/{method}.json").read_text())
    assert all(0 <= cell["mean"] <= 1 for cell in scores["UAR"].values())
    cost = json.loads((corpus.root / f"metrics/tiny/{method}/cost.json").read_text())
    assert len(cost["trainings"]) == 2


class TestSearch:
    TRIALS = (
        {},
        {"settings": {"dropout": 0.2}, "train": {"lr": 3e-2}},
        {"settings": {}, "train": {"lr": 1e-9}},
    )

    def searched(self, corpus) -> dict:
        corpus.settings("cra", {"d": 16}, trials=list(self.TRIALS), seeds=[0, 1])
        train.main("tiny", "cra")
        return json.loads((corpus.root / "metrics/tiny/cra/cost.json").read_text())

    def test_each_fold_takes_its_best_on_validation_data(self, corpus):
        cost = self.searched(corpus)
        search = cost["search"]
        assert [(e["trial"], e["fold"]) for e in search] == [(t, f) for t in range(3) for f in (1, 2)]
        for fold in (1, 2):
            own = [e for e in search if e["fold"] == fold]
            best = max(own, key=lambda e: e["score"])  # the earliest of equals
            for seed in (0, 1):
                path = corpus.root / f"data/tiny/models/cra/fold{fold}-seed{seed}.safetensors"
                used = load_model(path).description
                assert used["train"]["lr"] == best["set"].get("train", {}).get("lr", 1e-3)
        assert len(cost["trainings"]) == 4

    def test_without_trials_there_is_no_search(self, corpus):
        corpus.settings("cra", {"d": 8})
        train.main("tiny", "cra")
        assert "search" not in json.loads((corpus.root / "metrics/tiny/cra/cost.json").read_text())
