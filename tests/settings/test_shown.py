"""Of all settings, the ones that a table of experiments shows."""

import pytest

from cmarr.settings.load import load_settings, read_preset, read_yaml
from cmarr.settings.shown import ALWAYS, USUAL, outstanding, shown
from tests.settings.test_load import PRESETS

PARAMS = PRESETS.parent / "params.yaml"


def leaves(tree, before=()):
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, (*before, key))
        else:
            yield ".".join((*before, key)), value


def found(**over):
    settings = load_settings(PARAMS, PRESETS, over=over)
    return dict(leaves(outstanding(settings, read_preset(settings.preset, PRESETS))))


AS_IT_COMES = found()


def test_as_params_yaml_comes_there_are_a_dozen():
    assert set(AS_IT_COMES) == {*ALWAYS, "datasets.demo.classes", "datasets.demo.folds"}
    assert AS_IT_COMES["beta"] == 0.1, "what the preset says, not `auto`"


@pytest.mark.parametrize(
    ("over", "key", "value"),
    [
        ({"method": {"cmarr": {"tau": 0.2}}}, "method.cmarr.tau", 0.2),
        ({"method": {"cmarr": {"d": 16}}}, "method.cmarr.d", 16),
        ({"train": {"lr": 1e-3}}, "train.lr", 1e-3),
        ({"train": {"weight_decay": 0.1}}, "train.weight_decay", 0.1),
        ({"encoders": {"logmel": {"bands": 40}}}, "encoders.logmel.bands", 40),
        ({"protocol": {"rate": {"batch": 16}}}, "protocol.rate.batch", 16),
        ({"extraction": {"max_rejected": 0.5}}, "extraction.max_rejected", 0.5),
        ({"normalise": "speaker"}, "normalise", "speaker"),
        ({"recovery": ["cmarr"]}, "recovery", ["cmarr"]),
        ({"datasets": {"demo": {"options": {"sessions": 3}}}}, "datasets.demo.options.sessions", 3),
        ({"datasets": {"demo": {"n_folds": 3}}}, "datasets.demo.n_folds", 3),
    ],
)
def test_what_is_not_as_usual_stands_beside_them(over, key, value):
    assert found(**over) == AS_IT_COMES | {key: value}


def test_an_ablation_is_one_column_whatever_it_changes():
    every = list(read_yaml(PARAMS)["ablations"])
    told = [key for key in found(ablate=every) if key.startswith("ablations.")]
    assert len(told) <= len(every)
    own = {
        "mine": {
            "label": "mine",
            "method": "cmarr",
            "set": {"method.cmarr.d": 16, "method.cmarr.tau": 0.2, "alpha": 0.5},
        }
    }
    told = found(ablate=["mine"], ablations=own)
    assert told["ablations.mine"].split(", ") == ["cmarr", "d=16", "tau=0.2", "alpha=0.5"]


@pytest.mark.parametrize("over", [{"workers": 3}, {"device": "cpu"}, {"register_model": False}])
def test_what_changes_no_result_does_not(over):
    assert found(**over) == AS_IT_COMES


@pytest.mark.parametrize("dataset", ["ravdess", "iemocap", "mosi", "meld"])
def test_another_corpus_has_hardly_more(dataset):
    settings = load_settings(PARAMS, PRESETS, dataset=dataset)
    names = dict(leaves(outstanding(settings, read_preset(settings.preset, PRESETS))))
    assert len(names) <= len(AS_IT_COMES) + 3 and set(names) >= set(ALWAYS)


def test_the_usual_is_what_params_yaml_comes_with():
    raw = read_yaml(PARAMS)
    for section, told in USUAL.items():
        assert told == ({key: raw[section][key] for key in told} if isinstance(told, dict) else raw[section])


def test_all_that_is_used_stands_in_the_whole():
    whole = dict(leaves(shown(load_settings(PARAMS, PRESETS))))
    assert whole["method.cmarr.tau"] == 0.07 and "method.mcur.d" not in whole
    assert all(whole[key] == value for key, value in AS_IT_COMES.items())
