"""Ablations as data: each changes in its settings file what it says, and nothing else."""

import json

import pytest
from ruamel.yaml import YAML

from cmarr.errors import UserError
from cmarr.report.published import table_3
from cmarr.settings.load import load_settings
from cmarr.settings.resolve import resolve
from tests.settings.test_load import PARAMS, PRESETS

DIRECT = {"settings.alpha": 0.0, "settings.flow_input": "features", "settings.dropout": 0.3}
SHIPPED = YAML(typ="safe", pure=True).load(PARAMS)["ablations"]


def resolved(tmp_path, *changes):
    """The settings files of the real params.yaml with keys changed: ((path, value), ...); None removes a key."""
    params = YAML(typ="safe", pure=True).load(PARAMS)
    for path, value in changes:
        *above, last = path
        section = params
        for key in above:
            section = section[key]
        if value is None:
            del section[last]
        else:
            section[last] = value
    (tmp_path / "params.yaml").write_text(json.dumps(params))  # JSON is YAML
    return resolve(load_settings(tmp_path / "params.yaml", PRESETS))


def ask(*names):
    return ("ablate",), list(names)


def differing(before, after):
    names = (before.keys() | after.keys()) - {"report"}  # the report's hold all that it prints
    return {name for name in names if before.get(name) != after.get(name)}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return resolved(
        tmp_path_factory.mktemp("all"),
        ask(*SHIPPED),
        (("methods",), ["cmarr", "masked", "linear", "mcur", "anchored"]),
    )


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
        ("cmarr_direct", "cmarr", DIRECT | {"settings.zero_start": True}),
        ("direct_wo_recovery", "cmarr", DIRECT | {"settings.recovery": "zeros"}),
        ("anchored_masked", "anchored", {"settings.network": "masked"}),
        ("anchored_equal", "anchored", {"settings.averaging": "equal"}),
        ("likelihood", "cmarr", {"settings.nll_weight": 0.1}),
        ("unseen_pairs", "cmarr", {"train.mask_conditions": ("t", "s", "v", "svt")}),
        ("cmarr_sugr", "cmarr", {"settings.sugr": "variance", "settings.sugr_warm_up": 3}),
        (
            "cmarr_mcbcl",
            "cmarr",
            {"settings.mcbcl_combination": 0.1, "settings.mcbcl_category": 0.1},
        ),
        (
            "mcur_wo_mcbcl",
            "mcur",
            {
                "settings.mcbcl_combination": 0.0,
                "settings.mcbcl_category": 0.0,
                "starts_from": "mcur_wo_mcbcl",
            },
        ),
        ("mcur_wo_sugr", "mcur", {"settings.sugr": "none", "starts_from": "mcur_wo_sugr"}),
        (
            "mcur_wo_both",
            "mcur",
            {
                "settings.mcbcl_combination": 0.0,
                "settings.mcbcl_category": 0.0,
                "settings.sugr": "none",
                "starts_from": "mcur_wo_both",
            },
        ),
        ("mcur_wo_teacher", "mcur", {"settings.teacher": "none", "starts_from": None}),
        ("mcur_self", "mcur", {"settings.teacher": "self", "starts_from": None}),
        (
            "mcur_one_mask",
            "mcur",
            {
                "settings.teacher": "self",
                "settings.views": 1,
                "train.mask_conditions": "six",
                "starts_from": None,
            },
        ),
        ("mcur_average", "mcur", {"settings.teacher": "average", "starts_from": None}),
        ("mcur_up", "mcur", {"settings.sugr_direction": "up", "starts_from": "mcur_up"}),
        ("mcur_wo_category", "mcur", {"settings.mcbcl_category": 0.0, "starts_from": "mcur_wo_category"}),
    ],
)
def test_a_variant_changes_what_it_says_and_nothing_else(files, name, method, expected):
    assert changed(files[name], files[method]) == expected


def test_every_shipped_variant_is_tested_above_and_the_paper_s_are_all_there():
    assert {SHIPPED[name]["label"] for name in SHIPPED} >= set(table_3()) - {"full"}
    tested = test_a_variant_changes_what_it_says_and_nothing_else.pytestmark[0].args[1]
    assert {name for name, _, _ in tested} == set(SHIPPED)


def test_the_row_beside_cmarr_is_what_the_preset_of_its_name_says(tmp_path):
    beside = resolved(tmp_path, ask("cmarr_direct"))["cmarr_direct"]
    by_preset = resolved(tmp_path, (("preset",), "auto+direct"))["cmarr"]
    assert beside == by_preset


def test_only_what_is_asked_for_is_trained(tmp_path):
    files = resolved(tmp_path, ask("w_point"))
    assert "w_point" in files
    assert "wo_udcl" not in files
    told = {
        "name": "w_point",
        "label": "w/ point",
        "method": "cmarr",
        "against": "cmarr",
        "set": {"method.cmarr.contrast": "point"},
    }
    assert files["report"]["ablations"] == [told]


def test_beta_concerns_the_variants_of_cmarr_too_unless_they_set_it(tmp_path):
    asked = ask("wo_udcl", "wo_spcl", "baseline")
    before, after = resolved(tmp_path, asked), resolved(tmp_path, asked, (("beta",), 0.5))
    assert differing(before, after) == {"cmarr", "wo_udcl"}


def test_an_override_of_train_beats_the_method_s_own_section(tmp_path):
    own = (("method", "cmarr", "train"), {"mask_conditions": "six"})
    files = resolved(tmp_path, own, ask("unseen_pairs"))
    assert files["cmarr"]["train"]["mask_conditions"] == "six"
    assert files["unseen_pairs"]["train"]["mask_conditions"] == ("t", "s", "v", "svt")


def test_adding_a_variant_is_three_lines_and_concerns_nothing_else(tmp_path):
    deep = (("ablations", "deep"), {"label": "deep flows", "set": {"method.cmarr.flow_steps": 12}})
    before = resolved(tmp_path)
    assert differing(before, resolved(tmp_path, deep)) == set()
    after = resolved(tmp_path, deep, ask("deep"))
    assert differing(before, after) == {"deep", "pretrain/deep"}
    assert after["report"]["ablations"] != before["report"]["ablations"]
    assert changed(after["deep"], after["cmarr"]) == {"settings.flow_steps": 12}


def of(name, key, value):
    return ("ablations", name, key), value


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (of("wo_udcl", "set", {"alhpa": 0.0}), r"ablations.wo_udcl.set: the key 'alhpa' .*did you mean 'alpha'\?"),
        (of("wo_flow", "set", {"method.cmarr.fusoin": "pooled"}), r"did you mean 'method.cmarr.fusion'\?"),
        (of("wo_flow", "set", {"method.masked.length": 4}), "'method.masked.length' .*does not concern cmarr"),
        (of("baseline", "set", {"alpha": 0.0}), "'alpha' does not exist or does not concern masked"),
        (of("wo_flow", "set", {"method.cmarr.fusion": "poled"}), "fusion: input should be .*'pooled', not 'poled'"),
        (of("unseen_pairs", "set", {"train.mask_conditions": ["t", "tv"]}),
         "ablations.unseen_pairs.set.train: mask_conditions.1: .*'vt'.*not 'tv'"),
        (of("baseline", "method", "maksed"), r"ablations.baseline.method: .*did you mean 'masked'\?"),
        (of("baseline", "against", "cmar"), r"ablations.baseline.against: .*did you mean 'cmarr'\?"),
        (of("mcur_up", "set", {"method.mcur.sugr": "gap", "method.mcur.teacher": "none"}), "sugr: gap is the gap between"),
        (of("wo_spcl", "label", "w/o udcl"), "ablations.wo_spcl.label: 'w/o udcl' is the label of wo_udcl, too"),
        ((("ablations", "cmarr"), {"label": "x", "set": {}}), "ablations.cmarr: 'cmarr' is the name of a method"),
        ((("ablations", "split"), {"label": "x", "set": {}}), "'split' is the name of a method or a stage"),
        ((("ablations", "w/o"), {"label": "x", "set": {}}), "ablations: 'w/o' names files"),
        (of("wo_flow", "label", None), r"the key 'ablations.wo_flow.label' is missing"),
        (of("wo_flow", "sets", {}), r"'ablations.wo_flow.sets' does not exist; did you mean 'set'\?"),
        (ask("wo_flo"), r"ablate: 'wo_flo' is not one of .*did you mean 'wo_flow'\?"),
        ((("recovery",), ["wo_flow"]), "recovery: 'wo_flow' is neither in methods nor in ablate"),
        ((("recovery",), ["masked"]), "recovery: 'masked' recovers nothing"),
        ((("clusters",), ["mcur"]), "clusters: 'mcur' is neither in methods nor in ablate"),
        ((("clusters",), ["linear"]), "clusters: 'linear' has no single vector"),
    ],
)  # fmt: skip
def test_a_wrong_variant_is_named(tmp_path, change, message):
    with pytest.raises(UserError, match=message):
        resolved(tmp_path, change)


def test_variants_are_compared_with_the_full_method(tmp_path):
    with pytest.raises(UserError, match="'baseline' is compared with the full cmarr; add cmarr to methods"):
        resolved(tmp_path, ask("baseline"), (("methods",), ["masked"]))


PUBLISHED = (("methods",), ["primd", "gcnet", "masked"])


def test_what_authors_allowed_themselves_is_a_row_that_may_be_asked_for(tmp_path):
    plain = resolved(tmp_path, PUBLISHED)
    rows = ("primd_as_published", "primd_test_epoch", "gcnet_as_published")
    files = resolved(tmp_path, PUBLISHED, ask(*rows))
    assert differing(plain, files) == {name for row in rows for name in (row, f"pretrain/{row}")}
    both, one, redrawn = (files[name]["privileges"] for name in rows)
    assert list(both) == ["test_epoch", "per_condition"] and list(one) == ["test_epoch"]
    assert list(redrawn) == ["test_epoch", "redrawn_masks"]
    assert changed(files["primd_as_published"], files["primd"]).keys() == {"privileges", "starts_from"}
    assert list(files["pretrain/primd_as_published"]["privileges"]) == ["test_epoch"]
    assert [a["privileges"] for a in files["report"]["ablations"]] == [both, one, redrawn]
    assert not any("privileges" in own for name, own in plain.items() if name != "report")


def test_one_mask_a_batch_is_a_setting_of_the_loop_and_no_matter_of_a_first_stage(tmp_path):
    files = resolved(tmp_path, (("methods",), ["dicmor"]), ask("dicmor_as_published"))
    assert (
        files["dicmor_as_published"]["train"]["masks"] == "batch"
        and files["dicmor"]["train"]["masks"] == "sample"
    )
    assert "privileges" not in files["pretrain/dicmor_as_published"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([(("tune", "trials"), 3)], "'primd, as published' has privileges and is not searched for"),
        (
            [(("clusters",), ["gcnet_as_published"])],
            "clusters: 'gcnet_as_published' is .*PRIVILEGED .*for nothing else",
        ),
        ([(("ablations", "wo_flow", "privileges"), ["test_epoc"])], "ablations.wo_flow.privileges"),
    ],
)
def test_a_privileged_row_is_not_searched_for_and_not_looked_into(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        resolved(tmp_path, PUBLISHED, ask("primd_as_published", "gcnet_as_published"), *changes)
