import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from cmarr.analyses.confusion import confusion_counts, confusion_figure, confusion_rows
from cmarr.analyses.learning import curves_figure
from cmarr.analyses.results import results_figure
from cmarr.errors import percent_text
from cmarr.evaluation.predictions import predictions_frame, usable_counts
from cmarr.modalities import CONDITIONS
from cmarr.plugins import METHODS, own_names
from cmarr.report.picture import svg_bytes
from cmarr.report.style import KNOWN, fit_fonts, looks, save_figure
from cmarr.task import Task


@pytest.fixture
def answered(emotions):
    """Four utterances, the last without speech; none has video. The first is taken for calm."""
    available = np.array([[True, False, True]] * 3 + [[False, False, True]])
    answer = np.array([[0.1, 0.9], [0.9, 0.1], [0.1, 0.9], [0.1, 0.9]])
    return predictions_frame(
        ids=list("wxyz"),
        speakers=["anna"] * 4,
        clusters=["anna"] * 4,
        labels=["angry", "angry", "calm", "calm"],
        n_usable=usable_counts(available),
        task=emotions,
        prior=[0.5, 0.5],
        fold=0,
        seed=1,
        probabilities=dict.fromkeys(CONDITIONS, answer),
    )


def test_confusion_has_a_row_an_answer_and_leaves_out_who_had_nothing(answered, emotions):
    rows = confusion_rows(answered, emotions)
    assert list(rows.columns) == ["condition", "fold", "seed", "id", "actual", "predicted"]
    assert rows["condition"].value_counts().to_dict() == {"t": 4, "st": 4, "s": 3}
    assert confusion_counts(rows[rows["condition"] == "s"], emotions).tolist() == [[1, 1], [0, 1]]
    assert confusion_rows(answered, emotions, ["v"]).empty


def words(figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]


def test_the_confusion_figure_prints_shares_of_the_true_class(answered, emotions):
    found = words(confusion_figure(answered, emotions, title="cmarr"))
    assert (
        found.count("50") == 2 * 3
    )  # half of the angry ones, in each of the three conditions that can be met
    assert found.count("no utterance can\nmeet this condition") == 4


def test_the_results_figure_names_methods_and_what_cannot_be_met(make_summary, emotions):
    summaries = {name: make_summary(emotions, 0.7, met=("t", "s", "st")) for name in ("cmarr", "masked")}
    found = words(results_figure(summaries, emotions, metric="UAR", title="UAR by condition"))
    assert {"cmarr", "masked", "chance", "UAR, %"} <= set(found)
    assert "mean over 5 folds; bars: 95 % interval, 10 speakers resampled" in found
    assert found.count("cannot be met") == 4
    assert "avg6\nt, s, st" in found


def test_nine_methods_are_all_drawn(make_summary, emotions):
    names = [f"method {n}" for n in range(9)]
    figure = results_figure(
        dict.fromkeys(names, make_summary(emotions, 0.7)), emotions, metric="UAR", title="t"
    )
    (legend,) = [axes.get_legend() for axes in figure.axes]
    assert [text.get_text() for text in legend.get_texts()][:9] == names


def test_errors_are_labelled_as_such(make_summary):
    found = words(results_figure({"cmarr": make_summary(Task(), 0.7)}, Task(), metric="MAE", title="MAE"))
    assert "MAE (less is better)" in found
    assert "chance" not in found


def curves(epochs: int) -> pd.DataFrame:
    names = ("loss/cls", "loss/gradient_norm", "validation/st", "validation/selection")
    rows = [
        (fold, 1, e, name, e / 10) for fold in (0, 1) for e in range(1, epochs + fold + 1) for name in names
    ]
    return pd.DataFrame(rows, columns=["fold", "seed", "epoch", "name", "value"])


def test_learning_curves_have_a_panel_a_loss_and_mark_the_epoch_kept():
    figure = curves_figure(curves(4), title="Training of cmarr")
    found = words(figure)
    assert found.index("cls") < found.index("gradient norm")
    assert "st" in found
    chosen = next(axes for axes in figure.axes if axes.get_title(loc="left").startswith("Selection"))
    dots = [line.get_xdata()[0] for line in chosen.lines if line.get_marker() == "o"]
    assert dots == [4, 5]


def test_a_method_fitted_in_one_step_has_a_figure_too():
    only = curves(1).query("fold == 0 and name != 'loss/cls' and name != 'loss/gradient_norm'")
    assert len(curves_figure(only, title="Training of linear").axes) == 2


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_equal_figures_give_equal_bytes(tmp_path, make_summary, emotions, ending):
    for name in ("one", "two"):
        figure = results_figure({"cmarr": make_summary(emotions, 0.7)}, emotions, metric="WAR", title="WAR")
        save_figure(tmp_path / f"{name}.{ending}", figure, dpi=50)
    assert (tmp_path / f"one.{ending}").read_bytes() == (tmp_path / f"two.{ending}").read_bytes()


def test_labels_in_any_script_are_drawn_or_one_sentence_says_what_is_missing(tmp_path, caplog):
    figure = Figure()
    figure.subplots().set_title("愤怒 радость")
    save_figure(tmp_path / "a.svg", figure)
    assert not caplog.records
    assert "愤怒 радость" in (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert "愤怒 радость".encode() in svg_bytes(figure)
    save_figure(tmp_path / "a.png", figure)
    assert len(caplog.records) == bool(fit_fonts(figure))
    for record in caplog.records:
        assert "a.png: no font of this machine has" in record.message
        assert "р" not in record.message.split("has")[1].split(",")[0]  # Cyrillic is in the figures' own font


def test_a_method_has_one_look_whoever_it_is_drawn_with():
    every = looks(sorted(own_names(METHODS)))
    assert every.keys() == set(KNOWN)
    assert len(set(every.values())) == len(every)
    for few in (["gaussian", "cmarr"], ["anchored"], ["late", "mine", "linear"]):
        found = looks(few)
        assert all(found[name] == every[name] for name in few if name in every)
        assert len({look.colour for look in found.values()}) == len(few)
    usual = looks(["mcur", "cmarr", "masked", "linear", "late", "gaussian", "anchored"])
    assert len({look.colour for look in usual.values()}) == len(usual)
    first = [looks([name])[name].colour for name in KNOWN[:7]]
    assert len(set(first)) == 7


@pytest.mark.parametrize(
    ("share", "digits", "text"),
    [
        (1.0, 0, "100"),
        (0.996, 0, "99"),
        (0.994, 0, "99"),
        (0.0, 0, "0"),
        (0.99999, 2, "99.99"),
        (0.5, 1, "50.0"),
    ],
)
def test_all_of_it_is_said_of_all_of_it_alone(share, digits, text):
    assert percent_text(share, digits) == text
