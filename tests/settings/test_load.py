"""params.yaml, presets and the errors a user meets when a key is wrong."""

import re
from pathlib import Path

import pytest

from cmarr.errors import UserError
from cmarr.masks.draw import OTHERS
from cmarr.settings.load import load_settings, read_preset, read_yaml
from cmarr.settings.resolve import resolve

ROOT = Path(__file__).parents[2]
PRESETS = ROOT / "presets"
PARAMS = Path(__file__).with_name("params.yaml")
"""The tests' own: what somebody has typed into the project's, or DVC by `-S`, is none of their business."""

SEEDS = re.search(r"seeds:.*\n- 0\n", PARAMS.read_text())[0]
METHODS = "methods:\n- cmarr\n- masked\n- linear\n"
RUN = ("cmarr", "masked", "linear")
CLASSES = "    classes:\n    - angry\n    - happy\n    - neutral\n    - sad\n"


def edited(tmp_path: Path, *changes: tuple[str, str]) -> Path:
    """A copy of params.yaml with some text replaced."""
    text = PARAMS.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = tmp_path / "params.yaml"
    path.write_text(text)
    return path


def test_shipped_params_load_with_every_preset(tmp_path):
    for preset in sorted(p.stem for p in PRESETS.glob("*.yaml")):
        settings = load_settings(edited(tmp_path, ("preset: auto ", f"preset: {preset} ")), PRESETS)
        assert settings.preset == preset


def test_auto_preset_is_the_datasets_own(tmp_path):
    assert load_settings(PARAMS, PRESETS).preset == "demo"
    mosi = load_settings(edited(tmp_path, ("dataset: demo", "dataset: mosi")), PRESETS)
    assert mosi.preset == "sentiment"
    assert mosi.method.cmarr.length == 1


def test_what_the_user_typed_wins_over_the_preset(tmp_path):
    typed = edited(tmp_path, ("beta: auto", "beta: 0.5"), ("lr: auto", "lr: 1e-3"))
    settings = load_settings(typed, PRESETS)
    assert (settings.beta, settings.train.lr) == (0.5, 1e-3)
    # also where the typed value is what another preset would have given
    paper = edited(tmp_path, ("beta: auto", "beta: 0.1"), ("preset: auto ", "preset: paper-frozen "))
    assert load_settings(paper, PRESETS).beta == 0.1


def test_rates_of_the_modalities_are_one_value_whether_typed_or_a_preset_s(tmp_path):
    def holes(typed, preset):
        changes = (("holes: auto", f"holes: {typed}"), ("preset: auto ", f"preset: {preset} "))
        return load_settings(edited(tmp_path, *changes), PRESETS).train.holes

    rates = {"speech": 0.3, "video": 0.3, "text": 0.9}
    assert holes("auto", "auto") == 0.0
    assert holes("auto", "auto+missbench-text") == holes("auto", "auto+holes-30+missbench-text") == rates
    assert holes("auto", "auto+missbench-text+holes-30") == 0.3
    assert (
        holes("{text: 0.2}", "auto+missbench-text") == holes("{text: 0.2}", "auto+holes-30") == {"text": 0.2}
    )
    assert holes("0.1", "auto+missbench-text") == 0.1


def test_the_presets_of_missbench_are_missing_as_often_in_training_as_in_the_test():
    own = {m: read_preset(f"missbench-{m}", PRESETS)["train"]["holes"] for m in ("speech", "video", "text")}
    shared = read_preset("missbench-shared", PRESETS)["train"]["holes"]
    assert len(set(shared.values())) == 1
    for most, rates in own.items():
        assert sum(rates.values()) == pytest.approx(sum(shared.values()))
        level = rates.pop(most)
        assert level in read_yaml(PARAMS)["protocol"]["unbalanced"]["levels"]
        assert list(rates.values()) == pytest.approx(2 * [OTHERS * level])


LONG = 5000 * "m"


@pytest.mark.parametrize(
    "change",
    [
        ("preset: auto ", f"preset: {LONG} "),
        ("preset: auto ", f"preset: auto+{LONG} "),
        ("dataset: demo", f"dataset: {LONG}"),
        ("- cmarr\n", f"- {LONG}\n"),
        ("    folds: session", f"    folds: {LONG}"),
        ("    task: classification", f"    task: {LONG}"),
    ],
    ids=lambda change: change[0].strip(),
)
def test_a_sentence_stays_one_whatever_the_length_of_what_was_typed(tmp_path, change):
    with pytest.raises(UserError) as refused:
        resolve(load_settings(edited(tmp_path, change), PRESETS))
    assert "mmm" in str(refused.value) and len(str(refused.value)) < 700


def test_a_preset_fills_what_its_base_leaves_open():
    demo, frozen = read_preset("demo", PRESETS), read_preset("frozen", PRESETS)
    assert demo["beta"] == frozen["beta"]
    assert demo["train"]["lr"] == frozen["train"]["lr"]


def test_a_preset_is_laid_over_another_without_its_base(tmp_path):
    plain, both = (
        load_settings(
            edited(tmp_path, ("dataset: demo", "dataset: mosi"), ("preset: auto ", f"preset: {p} ")), PRESETS
        )
        for p in ("auto", "auto+direct")
    )
    assert both.preset == "sentiment+direct"
    assert both.method.cmarr.length == plain.method.cmarr.length == 1  # `direct` alone is based on `frozen`
    assert (plain.alpha, plain.method.cmarr.flow_input) == (1.0, "mu")
    assert (both.alpha, both.method.cmarr.flow_input) == (0.0, "features")
    with pytest.raises(UserError, match=r"'dirict' is not one of .*direct"):
        load_settings(edited(tmp_path, ("preset: auto ", "preset: demo+dirict ")), PRESETS)


def test_a_preset_cannot_be_its_own_base(tmp_path):
    (tmp_path / "one.yaml").write_text("base: two\n")
    (tmp_path / "two.yaml").write_text("base: one\n")
    with pytest.raises(UserError, match="preset: one -> two -> one: a preset cannot be its own base"):
        read_preset("one", tmp_path)


def test_a_params_yaml_of_before_a_method_leaves_it_as_it_is_declared():
    """Presets that came with it have values for it, and that file no section to take them."""
    assert "cmad" not in read_yaml(PARAMS)["method"]
    found = load_settings(PARAMS, PRESETS, over={"preset": "paper-frozen"}).method.cmad
    assert (found.d, found.train) == (64, {"mask_conditions": "cmad"})


def test_presets_set_only_keys_that_exist_and_are_auto():
    params = read_yaml(ROOT / "params.yaml")

    def check(overrides, section):
        for key, value in overrides.items():
            if isinstance(value, dict) and section[key] != "auto":
                check(value, section[key])
            else:
                assert section[key] == "auto", f"{key} would be ignored: params.yaml gives a value"

    for path in PRESETS.glob("*.yaml"):
        overrides = read_yaml(path)
        overrides.pop("base", None)
        check(overrides, params)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("holes: auto", "holes: {texts: 0.3}"), r"train\.holes\.texts: input should be 'speech', .*, not 'texts'"),
        (("holes: auto", "holes: {text: 1.0}"), r"train\.holes\.text: input should be less than 1, not 1\.0"),
        (("holes: auto", "holes: {text: 0.9, speech: 0.8, video: 0.7}"), r"train\.holes: the rates add up to more"),
        (("beta: auto", "btea: 0.5"), r"the key 'btea' does not exist; did you mean 'beta'\?"),
        (("    bands: 80", "    band: 80"), r"'encoders.logmel.band' does not exist; did you mean 'bands'\?"),
        (("lambda: auto", "lamda: 1"), r"the key 'lamda' does not exist; did you mean 'lambda'\?"),
        (("    C: 0.1", "    CC: 0.1"), r"'method.linear.CC' does not exist; did you mean 'C'\?"),
        (("    kind: mmsa", "    kinds: mmsa"), r"'datasets.mosi.kinds' does not exist; did you mean 'kind'\?"),
        (("dataset: demo", "dataset: mosy"), r"'mosy' has no section under 'datasets'; did you mean 'mosi'\?"),
        (("preset: auto ", "preset: papper "), r"'papper' is not one of .*; did you mean 'paper'\?"),
        (("lr: auto", "lr: -1"), "train.lr: input should be greater than 0, not -1"),
        (("lr: auto", "lr: fast"), "train.lr: input should be a valid number, not 'fast'"),
        (("clip: 1.0", "clip: '1.0'"), "train.clip: input should be a valid number, not '1.0'"),
        ((SEEDS, "seeds: []\n"), "seeds: .*at least 1"),
        ((SEEDS, "seeds: [1.5]\n"), "seeds.0: input should be a valid integer"),
        (("threads: 1", "threads: true"), "train.threads: input should be a valid integer"),
        (("clip: 1.0", "clip: .inf"), "train.clip: input should be a finite number"),
        (("selection: mean7", "selection: test"), "train.selection: input should be 'mean7', 'avg6' or 'complete'"),
        ((METHODS, "methods: [cmar]\n"), "'cmar' is not a method.*did you mean 'cmarr'"),
        (("  speech: auto ", "  speech: logml "), "encoders.speech: 'logml'.*did you mean 'logmel'"),
        (("dataset: demo", "dataset: [demo]"), r"dataset: must be a name, not \['demo'\]"),
        (("dataset: demo", "dataset: 'x;touch y'"), "'x;touch y' cannot name a dataset"),
        ((SEEDS, "seeds: [0, 0]\n"), "seeds: 0 stands here twice"),
        ((SEEDS, f"seeds: [{2**70}]\n"), "seeds.0: input should be less than"),
        ((METHODS, "methods: [cmarr, cmarr]\n"), "methods: 'cmarr' stands here twice"),
        ((METHODS, "methods: [model_fields]\n"), "'model_fields' is not a method"),
        (("  speech: auto ", "  speech: hog "), "encoders.speech: 'hog' does not encode speech; there are .*logmel"),
        (("    task: classification", "    task: regression"), "datasets.demo: task is regression, which has no classes"),
        ((CLASSES, "    classes: [angry]\n"), "datasets.demo: .*at least two classes"),
        (("memory: auto", "memory: 0.0"), "memory: input should be 'auto', or greater than 0, not 0.0"),
        (("workers: auto", "workers: -2"), "workers: input should be 'auto', or greater than or equal to 1, not -2"),
        (("heads: auto         # attention heads, an", "heads: 3 # attention heads, an"), "method.cmarr: heads must be even and divide d = 64"),
        (("  lr: auto          # learning", "  # learning"), "the key 'train.lr' is missing; preset 'demo' has a value for it"),
        (("    train: {}\n    d: auto             # width", "    train: {rl: 1}\n    d: auto             # width"),
         r"method.cmarr.train: the key 'rl' does not exist; did you mean 'lr'\?"),
    ],
)  # fmt: skip
def test_a_wrong_key_or_value_is_named(tmp_path, change, message):
    with pytest.raises(UserError, match=message):
        resolve(load_settings(edited(tmp_path, change), PRESETS))


def test_a_key_left_open_says_so(tmp_path):
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets/demo.yaml").write_text("alpha: 1.0\n")
    with pytest.raises(UserError, match=r"encoders\.speech is 'auto', but preset 'demo' gives no value"):
        load_settings(PARAMS, tmp_path / "presets")


def test_a_broken_file_is_one_sentence(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("a: [1\n")
    with pytest.raises(UserError, match="is not valid YAML"):
        load_settings(path, PRESETS)
    with pytest.raises(UserError, match="cannot be read"):
        load_settings(tmp_path / "absent.yaml", PRESETS)


def changed_files(tmp_path: Path, *changes: tuple[str, str]) -> set[str]:
    """Names of the settings files that a change changes, besides the report's, which prints them all."""
    before = resolve(load_settings(PARAMS, PRESETS))
    after = resolve(load_settings(edited(tmp_path, *changes), PRESETS))
    names = before.keys() | after.keys()
    return {name for name in names - {"report"} if before.get(name) != after.get(name)}


def test_the_report_hangs_on_the_settings_that_it_prints_and_on_no_other(tmp_path):
    def printed(*changes):
        return resolve(load_settings(edited(tmp_path, *changes), PRESETS))["report"]

    before = printed()
    assert before["made_by"]["cmarr"]["settings"]["beta"] == 0.1
    assert printed(("beta: auto", "beta: 0.5"))["made_by"]["cmarr"]["settings"]["beta"] == 0.5
    assert printed(("workers: auto", "workers: 7")) == before


def test_beta_concerns_cmarr_alone(tmp_path):
    assert changed_files(tmp_path, ("beta: auto", "beta: 0.5")) == {"cmarr"}


def test_an_encoders_setting_concerns_its_modality_alone(tmp_path):
    assert changed_files(tmp_path, ("    bands: 80", "    bands: 40")) == {"speech"}


def test_a_methods_own_training_setting_concerns_it_alone(tmp_path):
    change = (
        "    train: {}\n    d: auto             # as",
        "    train: {lr: 1.0e-3}\n    d: auto             # as",
    )
    assert changed_files(tmp_path, change) == {"masked"}


def test_refit_concerns_the_methods(tmp_path):
    changed = changed_files(tmp_path, ("  refit: false", "  refit: true"))
    assert {name for name in changed if not name.startswith("pretrain/")} == set(RUN)


@pytest.mark.parametrize("change", [("workers: auto", "workers: 7"), ("memory: auto", "memory: 0.5")])
def test_speed_changes_nothing_a_stage_depends_on(tmp_path, change):
    assert changed_files(tmp_path, change) == {"run"}


@pytest.mark.parametrize(
    "overrides",
    [
        ["beta=0.5"],
        ["dataset=mosi", "seeds=[0,1,2]"],
        ["methods=[cmarr,mmin]", "ablate=[wo_udcl]", "recovery=[cmarr]", "tune.factor=[0.5,2.0]"],
        ["datasets.demo.classes=[angry,sad]", "train.betas=[0.5,0.9]", "sensitivity.lambda=[1.0]"],
    ],
)
def test_an_experiment_loses_no_word_of_the_manual(tmp_path, overrides):
    """DVC writes the file anew at every -S: a comment line behind a list would be lost, the rest stays as it is."""
    from dvc.utils.hydra import apply_overrides

    path = tmp_path / "params.yaml"
    shipped = ROOT / "params.yaml"
    path.write_text(shipped.read_text())
    beta = f"beta={read_yaml(shipped)['beta']}"
    apply_overrides(path, [beta])
    assert path.read_text() == shipped.read_text()
    apply_overrides(path, overrides)
    apply_overrides(path, [beta])
    assert comments(path) == comments(shipped)


def test_the_tests_know_every_key_of_the_projects_file():
    """All but the datasets and ablations, which are the user's to add and to remove."""

    def keys(tree, above=()):
        for key, value in tree.items():
            yield ".".join((*above, key))
            if isinstance(value, dict) and key not in ("datasets", "ablations"):
                yield from keys(value, (*above, key))

    assert set(keys(read_yaml(PARAMS))) <= set(keys(read_yaml(ROOT / "params.yaml")))


def comments(path: Path) -> list[str]:
    return sorted(
        word
        for line in path.read_text().splitlines()
        if "#" in line
        for word in line.split("#", 1)[1].split()
    )
