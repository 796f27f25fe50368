"""Ablations as data: each changes in its settings file what it says, and nothing else."""

import pytest
from ruamel.yaml import YAML

from cmarr.errors import UserError
from cmarr.report.published import table_3
from cmarr.settings.load import load_settings
from cmarr.settings.resolve import resolve
from tests.settings.test_load import PRESETS, ROOT, changed_files, edited

SHIPPED = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")["ablations"]
ALL = ("ablate: []", f"ablate: [{', '.join(SHIPPED)}]")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return resolve(load_settings(edited(tmp_path_factory.mktemp("all"), ALL), PRESETS))


def flat(tree, path=()):
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from flat(value, (*path, key))
        else:
            yield ".".join((*path, key)), value


def changed(variant, method):
    before, after = dict(flat(method)), dict(flat(variant))
    return {k: after.get(k) for k in before.keys() | after.keys() if before.get(k) != after.get(k)}


@pytest.mark.parametrize(
    ("name", "method", "expected"),
    [
        ("baseline", "masked", {"train.mask_conditions": ("svt",)}),
        ("wo_udcl", "cmarr", {"settings.alpha": 0.0}),
        ("wo_spcl", "cmarr", {"settings.beta": 0.0}),
        ("wo_attention", "cmarr", {"settings.fusion": "pooled"}),
        ("w_point", "cmarr", {"settings.contrast": "point"}),
        ("wo_flow", "cmarr", {"settings.recovery": "mean"}),
        ("plain_flows", "cmarr", {"settings.alpha": 0.0, "settings.beta": 0.0}),
        ("precision", "cmarr", {"settings.averaging": "precision"}),
        ("likelihood", "cmarr", {"settings.nll_weight": 0.1}),
        ("unseen_pairs", "cmarr", {"train.mask_conditions": ("t", "s", "v", "svt")}),
    ],
)
def test_a_variant_changes_what_it_says_and_nothing_else(files, name, method, expected):
    assert changed(files[name], files[method]) == expected


def test_every_shipped_variant_is_tested_above_and_the_paper_s_are_all_there():
    assert {SHIPPED[name]["label"] for name in SHIPPED} >= set(table_3()) - {"full"}
    tested = test_a_variant_changes_what_it_says_and_nothing_else.pytestmark[0].args[1]
    assert {name for name, _, _ in tested} == set(SHIPPED)


def test_only_what_is_asked_for_is_trained(tmp_path):
    files = resolve(load_settings(edited(tmp_path, ("ablate: []", "ablate: [w_point]")), PRESETS))
    assert "w_point" in files
    assert "wo_udcl" not in files
    told = {
        "name": "w_point",
        "label": "w/ point",
        "method": "cmarr",
        "set": {"method.cmarr.contrast": "point"},
    }
    assert files["report"]["ablations"] == [told]


def test_beta_concerns_the_variants_of_cmarr_too_unless_they_set_it(tmp_path):
    ask = ("ablate: []", "ablate: [wo_udcl, wo_spcl, baseline]")
    before = resolve(load_settings(edited(tmp_path, ask), PRESETS))
    after = resolve(load_settings(edited(tmp_path, ask, ("beta: auto", "beta: 0.5")), PRESETS))
    assert {name for name in before if before[name] != after[name]} == {"cmarr", "wo_udcl"}


def test_an_override_of_train_beats_the_method_s_own_section(tmp_path):
    own = ("  cmarr:\n    train: {}", "  cmarr:\n    train: {mask_conditions: six}")
    files = resolve(load_settings(edited(tmp_path, own, ("ablate: []", "ablate: [unseen_pairs]")), PRESETS))
    assert files["cmarr"]["train"]["mask_conditions"] == "six"
    assert files["unseen_pairs"]["train"]["mask_conditions"] == ("t", "s", "v", "svt")


def test_adding_a_variant_is_three_lines_and_concerns_nothing_else(tmp_path):
    lines = "ablations:\n  deep:\n    label: deep flows\n    set: {method.cmarr.flow_steps: 12}"
    assert changed_files(tmp_path, ("ablations:", lines)) == set()
    ask = (("ablations:", lines), ("ablate: []", "ablate: [deep]"))
    assert changed_files(tmp_path, *ask) == {"deep", "report"}
    files = resolve(load_settings(edited(tmp_path, *ask), PRESETS))
    assert changed(files["deep"], files["cmarr"]) == {"settings.flow_steps": 12}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("{alpha: 0.0}", "{alhpa: 0.0}"), r"ablations.wo_udcl.set: the key 'alhpa' .*did you mean 'alpha'\?"),
        (("{method.cmarr.fusion:", "{method.cmarr.fusoin:"), r"did you mean 'method.cmarr.fusion'\?"),
        (("{method.cmarr.fusion:", "{method.masked.length:"), "'method.masked.length' .*does not concern cmarr"),
        (("      train.mask_conditions:\n      - svt\n", "      alpha: 0.0\n"), "'alpha' does not exist or does not concern masked"),
        (("fusion: pooled}", "fusion: poled}"), "method.cmarr.fusion: input should be .*'pooled', not 'poled'"),
        (("      - t\n      - s\n      - v\n", "      - t\n      - s\n      - tv\n"), "ablations.unseen_pairs.set.train: mask_conditions.2: .*'vt'.*not 'tv'"),
        (("    method: masked\n", "    method: maksed\n"), r"ablations.baseline.method: .*did you mean 'masked'\?"),
        (("    method: masked\n", "    method: mmin\n"), "ablations.baseline.method: mmin starts from a model"),
        (("label: w/o spcl", "label: w/o udcl"), "ablations.wo_spcl.label: 'w/o udcl' is the label of wo_udcl, too"),
        (("  wo_flow:", "  cmarr:"), "ablations.cmarr: 'cmarr' is the name of a method"),
        (("  wo_flow:", "  split:"), "ablations.split: 'split' is the name of a method or a stage"),
        (("  wo_flow:", "  w/o:"), "ablations: 'w/o' names files"),
        (("ablate: []", "ablate: [wo_flo]"), r"ablate: 'wo_flo' is not one of .*did you mean 'wo_flow'\?"),
        (("recovery: []", "recovery: [wo_flow]"), "recovery: 'wo_flow' is neither in methods nor in ablate"),
        (("recovery: []", "recovery: [masked]"), "recovery: 'masked' recovers nothing"),
    ],
)  # fmt: skip
def test_a_wrong_variant_is_named(tmp_path, change, message):
    with pytest.raises(UserError, match=message):
        resolve(load_settings(edited(tmp_path, change), PRESETS))


def test_variants_are_compared_with_the_full_method(tmp_path):
    asked = (
        ("ablate: []", "ablate: [baseline]"),
        ("methods:\n- cmarr\n- masked\n- linear\n", "methods: [masked]\n"),
    )
    with pytest.raises(UserError, match="compared with the full CM-ARR; add cmarr to methods"):
        resolve(load_settings(edited(tmp_path, *asked), PRESETS))
