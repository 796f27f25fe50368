"""Use, hide, decide: which answer each choice takes, by hand; labels have no part in it; and what the report says."""

from math import inf

import numpy as np
import pandas as pd
import pytest

from cmarr.analyses.damage import (
    damage_files,
    damage_section,
    differences_table,
    examine,
    judge,
    panel_figure,
    predictions_by_policy,
    scores_table,
)
from cmarr.evaluation.predictions import predictions_frame, usable_counts
from cmarr.evaluation.scores import metrics_of
from cmarr.modalities import CONDITIONS
from cmarr.report.page import Page, write_files, write_page
from cmarr.task import Task

TASK = Task(("calm", "tense"))
LEVELS = (20.0, 0.0)


def predictions(task=TASK, speakers=10, each=6, video=True, text=True, hurts=True) -> pd.DataFrame:
    """Utterances whose speech answers rightly when clean, wrongly and less surely at 0 dB; video and text are fair."""
    generator = np.random.default_rng(0)
    n = speakers * each
    ids = [f"u{i:03d}" for i in range(n)]
    truth = np.arange(n) % 2
    available = np.stack([np.arange(n) != 0, np.full(n, video), np.full(n, text) & (np.arange(n) != 1)], 1)
    sign = 2 * truth - 1
    evidence = {
        "s": 3.0 * sign,
        "v": 0.3 * sign + generator.normal(size=n),
        "t": 0.3 * sign + generator.normal(size=n),
    }

    def rows(conditions, speech, available, **degree):
        known = evidence | {"s": speech}
        logits = {}
        for c in conditions:
            score = sum(np.where(available[:, "svt".index(m)], known[m], 0.0) for m in c)
            logits[c] = score[:, None] / 8 if task.regression else np.stack([-score, score], 1)
        return predictions_frame(
            ids=ids,
            speakers=[f"s{i // each}" for i in range(n)],
            clusters=[f"s{i // each}" for i in range(n)],
            labels=(truth - 0.5) if task.regression else [TASK.classes[y] for y in truth],
            n_usable=usable_counts(available),
            logits=logits,
            prior=0.0 if task.regression else [0.5, 0.5],
            task=task,
            fold=1,
            seed=0,
        ).assign(**degree)

    parts = [rows(CONDITIONS, evidence["s"], available)]
    with_speech = [c for c in CONDITIONS if "s" in c and (video or "v" not in c) and (text or "t" not in c)]
    for level, speech in ((20.0, evidence["s"]), (0.0, -2.0 * sign if hurts else evidence["s"])):
        left = available.copy()
        left[2, 0] = level == 20.0  # of u002 nothing is left at 0 dB
        parts.append(rows(with_speech, speech, left, protocol="noise", level=level))
    return pd.concat(parts, ignore_index=True)


def spread(frame) -> pd.DataFrame:
    """Sigma 1 of all that is clean, but 2 for one validation utterance in fifty; 5 of what is damaged at 0 dB."""
    ids = sorted(set(frame["id"]))
    own = {"fold": 1, "seed": 0, "modality": "s"}
    calm = pd.DataFrame({"id": [f"v{i}" for i in range(100)], "spread": [2.0, *[1.0] * 49] * 2})
    parts = [calm.assign(role="validation", protocol="fixed", level=np.nan, **own)]
    for protocol, level, value in (("fixed", np.nan, 1.0), ("noise", 20.0, 1.0), ("noise", 0.0, 5.0)):
        some = pd.DataFrame({"id": ids, "spread": value})
        parts.append(some.assign(role="test", protocol=protocol, level=level, **own))
    return pd.concat(parts, ignore_index=True)


def at(rows, level, columns=("id", "p_tense")):
    return rows[rows["level"] == level].set_index("id")[list(columns[1:])]


def test_use_and_hide_are_the_answers_with_and_without_the_modality():
    frame = predictions()
    found = predictions_by_policy(frame, TASK, "noise")
    assert (found.whole, found.rest, found.levels) == ("svt", "vt", (inf, 20.0, 0.0))
    fixed, noise = frame[frame["protocol"] == "fixed"], frame[frame["protocol"] == "noise"]
    eligible = sorted(set(frame["id"]) - {"u000"})  # has no speech
    for choice, expected in (
        ("use", noise[(noise["condition"] == "svt") & (noise["level"] == 0.0)]),
        ("hide", fixed[fixed["condition"] == "vt"]),
    ):
        rows = at(found.predictions[choice], 0.0)
        assert list(rows.index) == eligible
        assert np.array_equal(rows["p_tense"], expected.set_index("id").loc[eligible, "p_tense"])
    clean = at(found.predictions["use"], inf)["p_tense"]
    assert np.array_equal(clean, fixed[fixed["condition"] == "svt"].set_index("id").loc[eligible, "p_tense"])
    # where nothing of the speech is left, using it is hiding it
    assert found.hidden["use"] == {inf: 0.0, 20.0: 0.0, 0.0: pytest.approx(1 / len(eligible))}
    assert (
        at(found.predictions["use"], 0.0).loc["u002"].equals(at(found.predictions["hide"], 0.0).loc["u002"])
    )


def test_deciding_by_entropy_takes_the_surer_answer():
    found = predictions_by_policy(predictions(), TASK, "noise")
    surer = {
        choice: (at(found.predictions[choice], 0.0)["p_tense"] - 0.5).abs()
        for choice in ("use", "hide", "entropy")
    }
    assert np.array_equal(surer["entropy"], np.maximum(surer["use"], surer["hide"]))
    assert 0 < found.hidden["entropy"][0.0] < 1


def test_deciding_by_sigma_hides_what_is_unlike_clean_validation_utterances():
    frame = predictions()
    found = predictions_by_policy(frame, TASK, "noise", spread(frame))
    assert found.hidden["sigma"] == {inf: 0.0, 20.0: 0.0, 0.0: 1.0}
    assert at(found.predictions["sigma"], 0.0).equals(at(found.predictions["hide"], 0.0))
    assert at(found.predictions["sigma"], 20.0).equals(at(found.predictions["use"], 20.0))


def test_no_label_has_a_part_in_a_decision():
    frame = predictions()
    other = frame.assign(label=frame["label"].map({"calm": "tense", "tense": "calm"}))
    given, turned = (predictions_by_policy(f, TASK, "noise", spread(frame)) for f in (frame, other))
    assert given.hidden == turned.hidden
    for choice, rows in given.predictions.items():
        assert rows.drop(columns="label").equals(turned.predictions[choice].drop(columns="label"))


def test_the_study_finds_from_where_hiding_pays():
    frame = predictions()
    finding = examine(frame, TASK, "noise", spread(frame), resamples=200)
    verdict = judge(finding, TASK)
    assert verdict.hiding_pays == verdict.means_cross == 0.0
    assert verdict.using_pays == [inf, 20.0]
    assert verdict.cost["sigma"] == 0.0 and verdict.worse_than["sigma"] == []
    cell = finding.differences["use", "hide"]["UAR"][0.0]
    assert cell["shown"] == -1 and cell["hi"] < 0 and cell["p_table"] >= cell["p"]
    assert not any(
        level["shown"]
        for level in finding.differences["sigma", "hide"]["UAR"].values()
        if level["difference"] == 0
    )


def test_levels_that_leave_nothing_are_told_and_decide_nothing():
    frame = predictions()
    gone = frame[(frame["protocol"] == "noise") & (frame["level"] == 0.0)]
    fixed = frame[frame["protocol"] == "fixed"].set_index(["id", "condition"])
    lost = []
    for condition, rows in gone.groupby("condition"):
        rest = condition.replace("s", "")
        same = fixed.loc[[(id, rest or "s") for id in rows["id"]]]
        columns = ["p_calm", "p_tense", "n_usable"]
        values = same[columns].to_numpy() if rest else same[columns].to_numpy() * [1, 1, 0]
        lost.append(rows.assign(level=-5.0, **dict(zip(columns, values.T, strict=True))))
    frame = pd.concat([frame, *lost], ignore_index=True)
    finding = examine(frame, TASK, "noise", resamples=200)
    verdict = judge(finding, TASK)
    assert verdict.gone == [-5.0] and verdict.hiding_pays == 0.0  # of the levels with something left
    text = damage_section({"noise": {"cmarr": finding}}, {}, TASK, cluster="speaker").markdown("tiny")
    assert "Nearly nothing of the speech is left at -5 dB" in text


def test_harmless_damage_never_makes_hiding_pay():
    frame = predictions(hurts=False)
    verdict = judge(examine(frame, TASK, "noise", resamples=200), TASK)
    assert verdict.hiding_pays is None and verdict.means_cross is None


def test_a_corpus_of_one_modality_has_a_curve_and_nothing_to_choose():
    frame = predictions(video=False, text=False)
    finding = examine(frame, TASK, "noise", resamples=200)
    assert finding.policies.rest is None and set(finding.scores) == {"use"}
    assert judge(finding, TASK) is None
    means = [finding.scores["use"]["UAR"][level]["mean"] for level in finding.policies.levels]
    assert means[0] == means[1] == 1.0 and means[2] < 0.1
    text = damage_section({"noise": {"cmarr": finding}}, {}, TASK, cluster="speaker").markdown("tiny")
    assert "speech is all there is" in text and "UAR goes from 100.00, undamaged, to 1.72 at 0 dB" in text


def test_two_modalities_are_compared_with_the_one_that_is_left():
    found = predictions_by_policy(predictions(video=False), TASK, "noise")
    assert (found.whole, found.rest) == ("st", "t")
    assert not set(found.predictions["use"]["id"]) & {"u000", "u001"}  # one has no speech, one nothing else


def test_nothing_was_damaged():
    frame = predictions()
    assert predictions_by_policy(frame, TASK, "blur") is None
    text = damage_section({}, {}, TASK, cluster="speaker").markdown("tiny")
    assert "name some of noise, word_errors, dark, blur, occlusion under `protocols`" in text


def test_scores_of_a_regression_are_judged_by_their_error():
    task = Task()
    verdict = judge(examine(predictions(task), task, "noise", resamples=200), task)
    assert verdict.hiding_pays == 0.0 and inf in verdict.using_pays and verdict.cost == {}


def test_the_report_says_it_in_words_numbers_and_a_picture(tmp_path):
    frame = predictions()
    findings = {"noise": {"cmarr": examine(frame, TASK, "noise", spread(frame), resamples=200)}}
    write_files(tmp_path, damage_files(findings, {}))
    text = damage_section(findings, {}, TASK, cluster="speaker").markdown("tiny")
    assert (
        "hiding speech is shown to pay from 0 dB on. Using it is shown to be better undamaged and up to 20 dB."
        in text
    )
    assert "Deciding by sigma is never behind either." in text
    assert "Only 10 speakers" in text
    finding = findings["noise"]["cmarr"]
    table = pd.read_csv(tmp_path / "damage.csv")
    # choices, levels, metrics
    assert len(table) == len(scores_table("cmarr", "noise", finding, {})) == 4 * 3 * len(metrics_of(TASK))
    row = table[(table["choice"] == "hide") & (table["level"] == 0) & (table["metric"] == "UAR")].iloc[0]
    assert row["mean"] == finding.scores["hide"]["UAR"][0.0]["mean"] and row["hidden"] == 1.0
    assert len(pd.read_csv(tmp_path / "damage_differences.csv")) == len(
        differences_table("c", "noise", finding)
    )


def test_the_figure_has_every_level_and_a_line_a_choice():
    (axes,) = panel_figure("noise", examine(predictions(), TASK, "noise", resamples=200), TASK).axes
    assert [text.get_text() for text in axes.get_xticklabels()] == ["clean", "20 dB", "0 dB"]
    assert len(axes.lines) == 3


def test_the_page_has_a_section_of_it(tmp_path):
    frame = predictions()
    finding = examine(frame, TASK, "noise", spread(frame), resamples=200)
    section = damage_section({"noise": {"cmarr": finding}}, {}, TASK, cluster="speaker")
    page = Page("tiny", "", [section, damage_section({}, {}, TASK, cluster="speaker")])
    write_page(tmp_path, page)
    assert (tmp_path / "figures/damage-noise-cmarr.svg").is_file()
    assert "speech in noise, cmarr" in (tmp_path / "index.html").read_text()
    assert "hidden by sigma" in (tmp_path / "tables/damage-noise-cmarr.md").read_text()
    html = (tmp_path / "index.html").read_text()
    assert "hiding speech is shown to pay from 0 dB on" in html and "No damage has been evaluated" in html
