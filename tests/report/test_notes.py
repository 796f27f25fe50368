import pandas as pd

from cmarr.analyses.corpus import quarantine
from cmarr.analyses.results import results_text
from cmarr.analyses.study import Study
from cmarr.analyses.summary import trained, winner_sentence
from cmarr.errors import listed, many
from cmarr.evaluation.comparison import MODELS
from cmarr.evaluation.summary import summarise
from cmarr.report.notes import (
    SENTENCES,
    describe_scarcity,
    describe_selection,
    footnotes,
    nothing_can_be_shown,
    results_markdown,
    verdicts,
)
from cmarr.task import Task
from tests.report.studies import predictions

RULES = {
    "dataset": "demo",
    "selection": "Epoch kept: highest validation UAR.",
    "folds": "Leave one session out.",
    "features": {"speech": "logmel", "text": "hashing"},
}


def test_the_notes_say_how_the_numbers_came_about(make_summary, emotions):
    lines = footnotes(
        {"cmarr": make_summary(emotions, 0.7), "linear": make_summary(emotions, 0.6)}, emotions, **RULES
    )
    text = "\n".join(lines)
    assert "240 test utterances of 10 speakers, 5 folds and 1 seed" in text
    assert "± its standard deviation over folds" in text
    assert RULES["selection"] in lines
    assert RULES["folds"] in lines
    assert "Features: speech logmel, text hashing." in lines
    assert "**Only 10 speakers**" in text
    assert "Bold: better than every other method" in text
    assert "'-'" not in text  # every condition could be met


def test_what_was_held_back_in_training_stands_beside_the_scores():
    usual, few = {"train": {"labels": 1.0, "holes": 0.0}}, {"train": {"labels": 0.15, "holes": 0.3}}
    settings = {"methods": ["a", "b"], "made_by": {"a": usual, "b": usual}}
    assert describe_scarcity(settings) == describe_scarcity({"methods": ["a"]}) == ""
    told = describe_scarcity(settings | {"made_by": {"a": few, "b": few}})
    assert "**Few labels**: 15 % of the training" in told and "**Holes in training**: 30 %" in told
    assert "their label (b)." in describe_scarcity(settings | {"made_by": {"a": usual, "b": few}})
    own = {"train": {"labels": 1.0, "holes": {"speech": 0.3, "video": 0.0, "text": 0.9}}}
    told = describe_scarcity(settings | {"made_by": {"a": usual, "b": own}})
    assert (
        "**Holes in training**: 30 % of speech and 90 % of text of training utterances were taken away"
        in told
    )
    assert "at random (b)." in told and "Few labels" not in told


def test_who_reads_whole_dialogues_is_told(emotions):
    settings = {"methods": ["gcnet", "masked"], "selection": "mean7", "selection_folds": 1, "refit": False}
    usual = describe_selection(settings | {"declared": {"gcnet": {}, "masked": {}}}, emotions)
    told = describe_selection(settings | {"declared": {"gcnet": {"in_dialogues": True}}}, emotions)
    assert "dialogues" not in usual
    assert "**Whole dialogues are read by gcnet**" in told.removeprefix(usual)


def test_twenty_clusters_need_no_warning_and_a_lone_method_no_bold(make_summary, emotions):
    text = "\n".join(footnotes({"cmarr": make_summary(emotions, 0.7, clusters=20)}, emotions, **RULES))
    assert "Only" not in text
    assert "Bold" not in text


def test_a_dash_and_a_partial_average_are_explained(make_summary, emotions):
    summaries = {"cmarr": make_summary(emotions, 0.7, met=("t", "s", "st"))}
    text = "\n".join(footnotes(summaries, emotions, **RULES))
    assert "no utterance has all the modalities of the condition (v, vt, sv, svt)" in text
    assert "averages cover t, s, st only" in text


def test_the_papers_columns_bring_their_source_and_its_slip(make_summary, emotions):
    rules = RULES | {"dataset": "msp_improv"}
    text = "\n".join(footnotes({"cmarr": make_summary(emotions, 0.7)}, emotions, **rules, published=True))
    assert "arXiv 2407.09029" in text
    assert "50.92" in text


def test_one_fold_tells_of_intervals_over_its_clusters(make_summary):
    summaries = {"cmarr": make_summary(Task(), 0.7, folds=1, clusters=31)}
    text = "\n".join(footnotes(summaries, Task(), **RULES, cluster="video"))
    assert "[95 % interval] of it, videos (31 of them) resampled" in text
    assert "MAE: less is better" in text


RIVALS = ("masked", "linear")


def three(make_summary, task):
    return {name: make_summary(task, 0.7) for name in ("cmarr", "masked", "linear")}


def test_plain_words_about_each_plain_rival(make_summary, make_comparison, emotions):
    comparisons = {
        ("cmarr", "masked"): make_comparison(emotions, 0.012, shown=0, p=0.31),
        ("cmarr", "linear"): make_comparison(emotions, 0.05, shown=1, p=0.01),
    }
    assert verdicts(comparisons, emotions, three(make_summary, emotions), rivals=RIVALS) == [
        "cmarr - masked: avg6 UAR +1.2 [-1.2, 3.6], p = 0.62: no difference shown.",
        "cmarr - linear: avg6 UAR +5.0 [2.5, 7.5], p = 0.02: better.",
        "**Not shown to beat `masked`: cmarr.**",
    ]


def test_of_many_methods_a_rival_has_one_line(make_summary, make_comparison, emotions):
    methods = [f"m{i}" for i in range(SENTENCES + 1)]
    comparisons = {(m, "masked"): make_comparison(emotions, 0.012, shown=0, p=0.31) for m in methods}
    comparisons["m3", "masked"] = make_comparison(emotions, 0.05, shown=1, p=0.01)
    summaries = {name: make_summary(emotions, 0.7) for name in (*methods, "masked")}
    line, bold = verdicts(comparisons, emotions, summaries, rivals=("masked",))
    assert line.startswith("avg6 UAR minus that of masked: m0 +1.2 [-1.2, 3.6], p = 0.62; m1 ")
    assert "m3 +5.0 [2.5, 7.5], p = 0.02, **better**; " in line
    assert line.count("**") == 2
    assert bold.startswith("**Not shown to beat `masked`: m0, m1, m2, m4")


def test_a_loss_is_called_one_whichever_way_round_it_was_computed(make_summary, make_comparison, emotions):
    comparisons = {("linear", "cmarr"): make_comparison(emotions, 0.05, shown=1, p=0.001)}
    lines = verdicts(comparisons, emotions, three(make_summary, emotions), rivals=RIVALS)
    assert lines == [
        "cmarr - linear: avg6 UAR -5.0 [-7.5, -2.5], p = 0.002: worse.",
        "**Not shown to beat `linear`: cmarr.**",
    ]


def test_with_one_seed_the_words_are_these_trained_models(make_summary, make_comparison, emotions):
    """Neither notes nor verdicts say of a method what its models of one seed show."""
    comparisons = {("cmarr", "linear"): make_comparison(emotions, 0.05, shown=1, p=0.01, of=MODELS)}
    lines = verdicts(comparisons, emotions, three(make_summary, emotions), rivals=RIVALS)
    assert lines == ["cmarr - linear: avg6 UAR +5.0 [2.5, 7.5], p = 0.02: better (these trained models)."]
    told = footnotes(three(make_summary, emotions), emotions, **RULES, of_models=True)
    assert any(line.startswith("**One seed: what is shown is shown of these trained models") for line in told)
    assert "One seed:" not in "\n".join(footnotes(three(make_summary, emotions), emotions, **RULES))


def test_less_error_is_better(make_summary, make_comparison):
    comparisons = {("cmarr", "masked"): make_comparison(Task(), -0.1, shown=1, p=0.001)}
    lines = verdicts(comparisons, Task(), three(make_summary, Task()), rivals=RIVALS)
    assert lines == ["cmarr - masked: avg6 MAE -0.100 [-0.15, -0.05], p = 0.002: better."]


def test_a_page_holds_heading_table_verdicts_and_notes_in_this_order():
    page = results_markdown("Results", "| a |\n", ["a note"], ["a verdict"])
    assert page == "## Results\n\n| a |\n\n- a verdict\n\n- a note\n"


def test_the_corpus_section_counts_what_was_quarantined():
    rejected = pd.DataFrame(
        {
            "id": ["u1", "u2", "u3"],
            "modality": ["speech", "speech", None],
            "stage": ["extract", "extract", "prepare"],
            "reason": ["silent", "empty", "unknown label"],
        }
    )
    text = quarantine(rejected)[0].markdown()
    assert "Quarantine: 3 inputs" in text
    line = next(line for line in text.splitlines() if "speech" in line)
    assert [cell.strip() for cell in line.strip("|").split("|")] == ["extract", "speech", "2", "u1", "silent"]
    assert "whole utterance" in text
    assert "Nothing was put into quarantine" in quarantine(rejected[:0])[0].markdown()


def test_so_few_speakers_that_no_test_can_come_out_are_named(make_summary, emotions):
    pair = {name: make_summary(emotions, 0.7, clusters=5) for name in ("cmarr", "linear")}
    text = "\n".join(footnotes(pair, emotions, **RULES))
    assert (
        "**With 5 speakers no test can show a difference, however large it is**: no p falls below 0.0625"
        in text
    )
    assert "it has to be below 0.05; 6 speakers is the least that could do" in text
    assert not nothing_can_be_shown(6)


def test_the_last_lines_of_a_run_say_so_too(make_summary, emotions):
    pair = {name: make_summary(emotions, 0.7, clusters=4) for name in ("cmarr", "linear")}
    assert (
        results_text(pair, emotions, title="demo").splitlines()[-1].startswith("With 4 speakers no test can")
    )
    alone = {"cmarr": pair["cmarr"]}
    assert "no test" not in results_text(alone, emotions, title="demo")


def test_one_method_one_fold_and_one_seed_make_no_means_and_no_winner():
    task = Task(("angry", "calm"))
    frames = {"cmarr": [predictions(task, 0, 1, n=12)]}
    summaries = {name: summarise(own, task) for name, own in frames.items()}
    alone = Study("own", task, frames, summaries, {}, {}, {})
    assert winner_sentence(alone, "svt").startswith("With all three modalities (svt), `cmarr` has a UAR of ")
    vars(alone).update(features={"speech": "logmel"})
    told = trained(alone)
    assert "`cmarr` was trained on **own** over the corpus' own split and 1 seed, on its features" in told
    assert (
        "A number is the score of the test part, [95 % interval] of it"
        in footnotes(summaries, task, **RULES)[0]
    )


def test_one_of_a_kind_is_not_plural():
    rejected = pd.DataFrame({"id": ["u"], "modality": ["s"], "stage": ["extract"], "reason": ["silent"]})
    assert "Quarantine: 1 input could" in quarantine(rejected)[0].markdown()
    assert (many(1, "loss", "losses"), many(0, "loss", "losses"), many(5531, "clip")) == (
        "1 loss", "0 losses", "5,531 clips"
    )  # fmt: skip
    assert [listed(words) for words in ("", "a", "ab", "abc")] == ["", "a", "a and b", "a, b and c"]
