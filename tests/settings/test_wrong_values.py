"""Whatever stands behind whatever key of params.yaml: it is taken, or refused in a sentence a person understands."""

import copy
import datetime
from collections import Counter

import pytest

from cmarr.errors import UserError
from cmarr.settings.declared import settings_model
from cmarr.validation import refuse_what_json_lacks, validate
from tests.settings.test_load import CLASSES, PARAMS, PRESETS, edited, load_settings, resolve

WRONG = (None, "x", -1, [], ["x"], {"a": 1})


def filled():
    """The shipped params.yaml with every value of the demo's preset put in."""

    whole = load_settings(PARAMS, PRESETS).model_dump(mode="json", by_alias=True)
    whole["ablations"] = {"wo_udcl": whole["ablations"]["wo_udcl"]}
    whole["datasets"] = {"demo": whole["datasets"]["demo"]}
    return whole


def places(tree, above=()):
    for key, value in tree.items():
        yield *above, key
        if isinstance(value, dict):
            yield from places(value, (*above, key))


def complaint(values, place, wrong):
    changed = copy.copy(values)
    section = changed
    for key in place[:-1]:
        section[key] = section = copy.copy(section[key])
    section[place[-1]] = wrong
    try:
        refuse_what_json_lacks(changed, "params.yaml")
        validate(settings_model(), changed, "params.yaml")
    except UserError as error:
        return str(error)
    return ""


def test_every_wrong_value_of_every_key_is_refused_once_and_in_plain_words():
    values = filled()
    refused = 0
    for place in places(values):
        for wrong in WRONG:
            said = complaint(values, place, wrong)
            refused += bool(said)
            lines = said.splitlines()
            keys = Counter(line.split(": ")[1] for line in lines if "the key" not in line)
            assert not [key for key, n in keys.items() if n > 1], said
            for word in (
                "instance of",
                "after validation",
                "tuple",
                "dictionary",
                "literal",
                "Value error",
                "boolean",
            ):
                assert word not in said, said
    assert refused > 1000


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("encoders.bert.layers", ["x"], "encoders.bert.layers.0: input should be a valid integer, not 'x'"),
        ("encoders.bert.layers", "x", "encoders.bert.layers: input should be 'last' or 'all', or a list, not 'x'"),
        ("train.mask_conditions", ["tv"], "train.mask_conditions.0: input should be 't', 's', 'v', .* not 'tv'"),
        ("train.mask_conditions", [], "input should be 'seven', 'six' or 'cmad', or a list of at least 1 value"),
        ("train.betas", [0.9], r"train.betas: the list \[0.9\] has too few values"),
        ("train", None, "train: input should be a section of keys, not None"),
        ("train.refit", 1, "train.refit: input should be true or false, not 1"),
        ("dataset", 7, "dataset: input should be text in quotes, not 7"),
        ("datasets.demo.options.seed", datetime.date(2020, 1, 2), "2020-01-02 is a date to YAML; .* in quotes"),
        ("datasets.demo.options.seed", float("nan"), "options.seed: input should be a finite number, not nan"),
        ("datasets.demo.options.seed", {1}, "options.seed: input should be text, a number, true or false"),
        ("datasets.demo.merge", {1: "angry"}, "datasets.demo.merge: the key 1 is not text; write it in quotes"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_told_in_one_line(path, value, message):
    said = complaint(filled(), path.split("."), value)
    assert len(said.splitlines()) == 1
    with pytest.raises(UserError, match=message):
        raise UserError(said)


def test_a_section_that_holds_itself_is_refused():
    section = {}
    section["below"] = section
    with pytest.raises(UserError, match=r"datasets\.below: holds itself"):
        refuse_what_json_lacks({"datasets": section}, "params.yaml")


@pytest.mark.parametrize("value", ["2020-01-01", ".nan", ".inf", "!!set {a, b}", "{1: 2}", "[[.inf]]"])
def test_an_option_that_json_cannot_hold_is_refused_before_it_is_written(tmp_path, value):
    option = edited(tmp_path, ("      sessions: 5 ", f"      sessions: {value} "))
    with pytest.raises(UserError, match=r"params.yaml: datasets.demo.options.sessions.*: "):
        load_settings(option, PRESETS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((CLASSES, "    classes: [angry, happy, angry]\n"), "datasets.demo.classes: 'angry' stands here twice"),
        ((CLASSES, "    classes: [angry, '']\n"), "datasets.demo.classes.1: '' must be a name of one line"),
        ((CLASSES, "    classes: [angry, ' sad']\n"), "datasets.demo.classes.1: ' sad' must be a name of one line"),
        ((CLASSES, '    classes: [angry, "s\\nd"]\n'), "datasets.demo.classes.1: 's.*nd' must be a name of one line"),
        ((CLASSES, "    classes: [angry, 'sad, low']\n"), "datasets.demo.classes.1: 'sad, low' holds a comma"),
        (("label: w/o udcl", "label: w/o spcl"), "ablations.wo_spcl.label: 'w/o spcl' is the label of wo_udcl, too"),
        (("label: w/o udcl", "label: masked"), "ablations.wo_udcl.label: 'masked' is what tables call another row"),
        (("label: w/o udcl", "label: full"), "ablations.wo_udcl.label: 'full' is what tables call another row"),
        (("label: w/o udcl", "label: ''"), "ablations.wo_udcl.label: '' must be a name of one line"),
        (("  - 0.05\n  - 0.1\n", "  - 0.1\n  - 0.1\n"), "sensitivity.beta: 0.1 stands here twice"),
        (("  - 0.05\n  - 0.1\n", "  - 1\n  - 0.1\n"), "sensitivity.beta: 1.0 stands here twice"),
    ],
)  # fmt: skip
def test_names_that_tables_could_not_tell_apart_are_refused(tmp_path, change, message):
    with pytest.raises(UserError, match=message):
        resolve(load_settings(edited(tmp_path, change), PRESETS))


def test_class_names_in_any_script_are_taken(tmp_path):
    written = edited(tmp_path, (CLASSES, "    classes: [愤怒, радость, très heureux, neutral]\n"))
    assert load_settings(written, PRESETS).datasets["demo"].classes[0] == "愤怒"
