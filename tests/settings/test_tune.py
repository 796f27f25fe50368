"""The search that every method gets alike."""

from pathlib import Path

import pytest

from cmarr.errors import UserError
from cmarr.settings.load import load_settings
from cmarr.settings.resolve import resolve
from cmarr.settings.schema import Tune
from cmarr.settings.tune import trials
from cmarr.settings.variants import searched
from tests.settings.test_load import PARAMS

ROOT = Path(__file__).parents[2]
METHODS = "[cmarr, masked, linear, gbdt, cra, mmin, if_mmin, cif_mmin, dicmor, mcur]"


def resolved(tmp_path: Path, *changes: tuple[str, str]) -> dict:
    text = PARAMS.read_text()
    for old, new in (("methods:\n- cmarr\n- masked\n- linear\n", f"methods: {METHODS}\n"), *changes):
        assert old in text
        text = text.replace(old, new, 1)
    (tmp_path / "params.yaml").write_text(text)
    return resolve(load_settings(tmp_path / "params.yaml", ROOT / "presets"))


def test_without_a_search_there_is_one_trial_that_changes_nothing(tmp_path):
    files = resolved(tmp_path)
    assert all(files[name]["trials"] == [{}] for name in ("cmarr", "linear", "mmin"))


def test_every_method_gets_as_many_trials_and_the_same_draws(tmp_path):
    files = resolved(tmp_path, ("trials: 1 ", "trials: 4 "))
    factors, dropouts = {}, {}
    for name in METHODS.strip("[]").split(", "):
        found, own = files[name]["trials"], files[name]
        assert len(found) == 4
        assert found[0] == {}
        key = {"linear": "C", "gbdt": "learning_rate"}.get(name)
        factors[name] = [
            t["settings"][key] / own["settings"][key] if key else t["train"]["lr"] / own["train"]["lr"]
            for t in found[1:]
        ]
        dropouts[name] = [t["settings"].get("dropout") for t in found[1:]]
    first = factors.pop("cmarr")
    assert all(0.25 <= factor <= 4.0 for factor in first)
    assert all(factor == pytest.approx(first) for factor in factors.values())
    plain = {"linear", "gbdt"}
    assert all(d == (dropouts["cmarr"] if n not in plain else [None] * 3) for n, d in dropouts.items())


def test_every_method_after_the_search_may_be_asked_for_beside_it(tmp_path):
    files = resolved(
        tmp_path, ("ablate: []", "ablate: [linear_tuned, mmin_tuned]"), ("beside: 6", "beside: 3")
    )
    assert files["linear"]["trials"] == [{}]
    assert len(files["linear_tuned"]["trials"]) == 3
    assert files["linear_tuned"] | {"trials": [{}]} == files["linear"]
    assert files["mmin_tuned"]["starts_from"] == "mmin_tuned"
    told = [(a["name"], a["label"], a["against"]) for a in files["report"]["ablations"]]
    assert told == [("linear_tuned", "linear, tuned", "linear"), ("mmin_tuned", "mmin, tuned", "mmin")]
    assert searched(PARAMS) == ["cmarr_tuned", "masked_tuned", "linear_tuned"]
    with pytest.raises(UserError, match=r"tune\.beside"):
        resolved(tmp_path, ("beside: 6", "beside: 1"))


def test_more_trials_keep_the_earlier_ones():
    tune = Tune(trials=2, beside=6, factor=(0.5, 2.0), dropout=(0.0, 0.5))
    more = Tune(trials=5, beside=6, factor=(0.5, 2.0), dropout=(0.0, 0.5))
    settings, train = {"dropout": 0.1}, {"lr": 1e-3}
    assert trials(more, settings, train)[:2] == trials(tune, settings, train)


class TestFirstStages:
    def test_what_a_method_starts_from_has_settings_of_its_own(self, tmp_path):
        files = resolved(tmp_path)
        assert files["pretrain/cmarr"] == {"method": "cmarr", "first_stage": False}
        assert files["cmarr"]["starts_from"] is None
        assert files["mmin"]["starts_from"] == "mmin"
        first = files["pretrain/mmin"]
        assert first["settings"] == {"dropout": 0.3, "d": 128, "text_dropout": 0.5}
        assert first["train"]["mask_conditions"] == ("svt",)
        assert first["train"]["selection"] == "complete"

    def test_settings_of_stage_two_alone_leave_stage_one_as_it_is(self, tmp_path):
        before = resolved(tmp_path)
        after = resolved(tmp_path, ("    imagination_weight: auto", "    imagination_weight: 1.0"))
        changed = {name for name in before if before[name] != after[name]}
        assert changed == {"mmin", "report"}

    def test_settings_of_stage_one_reach_its_own_file(self, tmp_path):
        before = resolved(tmp_path)
        after = resolved(tmp_path, ("      discrepancy_weight: 1.0", "      discrepancy_weight: 0.5"))
        changed = {name for name in before if before[name] != after[name]}
        assert changed == {"pretrain/if_mmin", "report"}

    def test_the_authors_numbers_are_a_preset(self, tmp_path):
        files = resolved(tmp_path, ("preset: auto ", "preset: paper-frozen "))
        train = files["mmin"]["train"]
        assert (train["lr"], train["batch_size"], train["epochs"]) == (2e-4, 128, 60)
        assert (train["betas"], train["clip_by"], train["clip"]) == ((0.5, 0.999), "part", 1.0)
        assert files["pretrain/mmin"]["train"]["betas"] == (0.9, 0.999)
        assert (files["cra"]["train"]["batch_size"], files["cra"]["train"]["decay"]) == (256, 0.8)
        assert files["pretrain/cif_mmin"]["train"]["decay"] == 0.25  # 30 + 10 epochs
        sizes = files["dicmor"]["settings"]
        assert (sizes["flow_steps"], sizes["blocks"], sizes["depth"], sizes["heads"]) == (32, 20, 4, 8)

    def test_the_authors_numbers_for_msp_improv(self, tmp_path):
        own = resolved(tmp_path, ("preset: auto ", "preset: paper-msp-improv "))["mmin"]
        weights = [own["settings"][f"{name}_weight"] for name in ("cls", "imagination", "cycle")]
        assert weights == [1.0, 2.0, 0.5]
        assert own["settings"]["shared_cascade"] is True
        assert own["train"]["lr"] == 5e-4
