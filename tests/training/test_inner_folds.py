"""`train.selection_folds`: several groups of speakers choose in turn for how many epochs a method is trained."""

import statistics

import pytest

from cmarr.errors import UserError
from cmarr.folds.files import Fold
from cmarr.methods.model import load_model
from cmarr.training.inner_folds import inner_folds, over_inner_folds
from cmarr.utterance import Utterance
from tests.training.test_loop import same
from tests.training.test_refit import STAGED, fold_one, trained

SPEAKERS = {"a": 5, "b": 3, "c": 2, "d": 1}
UTTERANCES = {f"{s}{i}": Utterance(f"{s}{i}", speaker=s) for s, n in SPEAKERS.items() for i in range(n)}
VALID = {f"v{i}": Utterance(f"v{i}", speaker="v") for i in range(2)}
FOLD = Fold(1, [*UTTERANCES], [*VALID], ["t"])


def test_every_training_speaker_chooses_once_and_never_learns_then():
    folds = inner_folds(FOLD, UTTERANCES | VALID, 3)
    assert [sorted({i[0] for i in fold.validation}) for fold in folds] == [["a", "d"], ["b", "c"]]
    for fold in folds:
        assert not {i[0] for i in fold.train} & {i[0] for i in fold.validation}
        assert sorted([*fold.train, *fold.validation]) == sorted([*UTTERANCES, *VALID])
        assert fold.test == FOLD.test


def test_without_names_utterances_go_by_themselves():
    nameless = {id: Utterance(id) for id in [*UTTERANCES, *VALID]}
    assert [len(fold.validation) for fold in inner_folds(FOLD, nameless, 4)] == [4, 4, 3]


def test_more_groups_than_speakers_are_refused():
    with pytest.raises(UserError, match=r"train.selection_folds = 6, but fold 1 trains on 4 speakers"):
        inner_folds(FOLD, UTTERANCES | VALID, 6)


def test_stages_are_chosen_one_by_one():
    kept = [[(2, [0.1, 0.4]), (1, [0.5])], [(6, [0.3]), (3, [0.1, 0.2])]]
    assert over_inner_folds(kept) == [(4, [0.2, 0.4]), (2, [0.3, 0.2])]


def test_the_middle_of_what_the_groups_chose_is_trained_on_everything(corpus):
    fold_one(corpus)
    _, told, _ = trained(corpus, selection_folds=3, epochs=4, lr=0.01)
    chosen = [inner["best_epoch"] for inner in told["inner"]]
    assert len(chosen) == 3 and told["best_epoch"] == chosen[0]
    assert told["refit_epochs"] == statistics.median(chosen)
    assert not [*corpus.root.rglob("*.state"), *corpus.root.rglob("*.chosen.json")]
    once, refitted = trained(corpus, selection_folds=2, epochs=1), trained(corpus, refit=True, epochs=1)
    assert same(load_model(once[0]).method, load_model(refitted[0]).method)  # one epoch leaves no choice


def test_every_stage_of_a_method_is_chosen(corpus):
    fold_one(corpus)
    _, told, _ = trained(corpus, "cmarr", STAGED, selection_folds=2, epochs=4)
    assert told["refit_epochs"] >= 3 and len(told["inner"]) == 2  # at least one epoch of each of three stages


def test_labels_that_are_taken_away_choose_nothing(corpus):
    fold_one(corpus)
    with pytest.raises(UserError, match="takes away"):
        trained(corpus, selection_folds=2, labels=0.5)
