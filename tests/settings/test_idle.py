"""A switch of CM-ARR that would do nothing beside the others is refused, and only then."""

import inspect
import re

import pytest

from cmarr.errors import UserError
from cmarr.losses.regularisation import Regularised
from cmarr.methods.cmarr import CMARR
from cmarr.settings.declared import settings_model
from cmarr.settings.load import load_settings
from cmarr.settings.resolve import refuse_idle_switches
from tests.settings.test_load import PARAMS, PRESETS
from tests.settings.test_variants import ask, resolved


@pytest.fixture(scope="module")
def typed():
    """Asks about the shipped settings with some keys of CM-ARR changed."""
    shipped = load_settings(PARAMS, PRESETS).model_dump(by_alias=True)

    def check(methods=("cmarr",), **switches):
        above = {name: switches.pop(name) for name in ("alpha", "lambda") if name in switches}
        method = shipped["method"] | {"cmarr": shipped["method"]["cmarr"] | switches}
        changed = shipped | above | {"method": method, "methods": methods}
        refuse_idle_switches(settings_model().model_validate(changed))

    return check


CASES = [
    ("query", "recovered", {"fusion": "pooled"}),
    ("query", "recovered", {"recovery": "zeros"}),
    ("averaging", "precision", {"recovery": "zeros"}),
    ("draws", 2, {"averaging": "precision"}),
    ("nll_weight", 0.1, {"recovery": "mean"}),
    ("mixing", "permutation", {"recovery": "mean"}),
    ("coupling_hidden", 32, {"recovery": "zeros"}),
    ("sigma", "variance", {"contrast": "point"}),
    ("resample_first", True, {"flow_input": "features", "alpha": 0.0}),
    ("staged", True, {"alpha": 0.0, "lambda": 0.0}),
    ("sugr_direction", "up", {"sugr": "none"}),
    ("sugr_warm_up", 2, {"sugr": "none"}),
]


@pytest.mark.parametrize(("switch", "value", "beside"), CASES, ids=lambda v: str(v))
def test_a_switch_without_a_task_is_named_with_what_leaves_it_none(typed, switch, value, beside):
    with pytest.raises(UserError, match=rf"^method\.cmarr\.{switch}: {value} would do nothing.*; set it to "):
        typed(**{switch: value}, **beside)


@pytest.mark.parametrize(
    "fine",
    [
        {"query": "recovered"},
        {"averaging": "precision", "recovery": "mean"},
        {"averaging": "conditional", "draws": 2},
        {"nll_weight": 0.1, "mixing": "permutation", "coupling_hidden": 32},
        {"sigma": "variance"},
        {"resample_first": True, "flow_input": "features"},
        {"resample_first": True, "alpha": 0.0},
        {"staged": True, "alpha": 0.0},
        {"staged": True, "alpha": 0.0, "lambda": 0.0, "nll_weight": 0.1},
        {"sugr": "variance", "sugr_direction": "up", "sugr_warm_up": 2},
    ],
    ids=str,
)
def test_what_does_something_is_taken(typed, fine):
    typed(**fine)


def test_every_rule_is_tried():
    rules = re.findall(
        r'(?:Idle\(\s*|yield )"(\w+)"', inspect.getsource(CMARR.Settings) + inspect.getsource(Regularised)
    )
    assert sorted(switch for switch, _, _ in CASES) == sorted(rules)


def test_what_to_type_instead_is_taken(typed):
    with pytest.raises(UserError) as refusal:
        typed(query="recovered", fusion="pooled", sigma="variance", contrast="point")
    advised = re.findall(r"method\.cmarr\.(\w+): .*set it to (\w+)", str(refusal.value))
    assert advised == [("query", "text"), ("sigma", "deviation")]
    typed(**dict(advised), fusion="pooled", contrast="point")


def test_who_does_not_train_cmarr_is_not_asked(typed):
    typed(methods=("linear",), query="recovered", fusion="pooled")


def test_the_stages_are_refused_such_settings_and_an_ablation_is_not(tmp_path):
    query, fusion = (("method", "cmarr", "query"), "recovered"), (("method", "cmarr", "fusion"), "pooled")
    with pytest.raises(UserError, match="query: recovered would do nothing"):
        resolved(tmp_path, query, fusion)
    files = resolved(tmp_path, query, ask("wo_attention"))
    assert files["wo_attention"]["settings"]["query"] == "recovered"
