"""The methods after a search, in a table beside the main one."""

import pytest

from cmarr.analyses.results import beside_frame
from cmarr.analyses.tuned import Tuned, gains_frame, tuned_section, verdicts
from cmarr.evaluation.comparison import MODELS

NAMES = {"cmarr": "cmarr, tuned", "masked": "masked, tuned"}


@pytest.fixture
def found(make_summary, make_comparison, emotions) -> Tuned:
    levels = {"cmarr": 0.7, "cmarr, tuned": 0.75, "masked": 0.69, "masked, tuned": 0.7}
    return Tuned(
        NAMES,
        6,
        {name: make_summary(emotions, level) for name, level in levels.items()},
        {
            ("cmarr, tuned", "masked, tuned"): make_comparison(emotions, 0.05, shown=1),
            ("cmarr, tuned", "cmarr"): make_comparison(emotions, 0.05, shown=1),
            ("masked, tuned", "masked"): make_comparison(emotions, 0.01, shown=0),
        },
    )


def test_both_rows_of_a_method_stand_together_and_the_best_tuned_one_is_bold(found):
    frame = beside_frame(found.names, found.summaries, found.comparisons, "UAR")
    assert list(frame["method"]) == ["cmarr", "cmarr, tuned", "masked", "masked, tuned"]
    assert list(frame["avg6"]) == [
        "70.00 [67.0, 73.0] ± 2.0",
        "**75.00** [72.0, 78.0] ± 2.0",
        "69.00 [66.0, 72.0] ± 2.0",
        "70.00 [67.0, 73.0] ± 2.0",
    ]


def test_what_the_search_gained_is_tuned_minus_as_it_stands(found):
    frame = gains_frame(found, "UAR").set_index("method")
    assert frame.loc["cmarr", "avg6"] == "+5.00 [+2.5, +7.5]"
    assert list(frame["tuned, on avg6, is"]) == ["better", "no difference shown"]
    assert verdicts(found, "UAR") == [
        "On avg6 the search is shown to help `cmarr`.",
        "Among the tuned, shown to be better: cmarr, tuned over masked, tuned.",
    ]


def test_the_section_says_what_the_search_was_and_of_what_it_is_shown(found, emotions, make_comparison):
    page = tuned_section(found, emotions, cluster="speaker").markdown("demo")
    assert "6 trials with the first seed" in page
    assert "One seed" not in page
    once = {pair: make_comparison(emotions, 0.0, shown=0, of=MODELS) for pair in found.comparisons}
    models = tuned_section(Tuned(NAMES, 6, found.summaries, once), emotions, cluster="speaker").markdown(
        "demo"
    )
    assert "One seed: what is shown is shown of these trained models" in models
    assert "Among the tuned no difference is shown." in models
    assert "make tuned" in tuned_section(None, emotions, cluster="speaker").missing
