"""What the pages show of answers is what the code prints, and the limits they name are those that it has."""

import inspect
import json
import re
from pathlib import Path

import pytest

from cmarr import cli
from cmarr.recognition.prediction import Prediction, table
from cmarr.serving.messages import Clip, Reply

DOCS = Path(__file__).parents[2] / "docs"
MODALITIES = ("speech", "video", "text")
TABLES = re.findall(r"```\n(clip .*?)\n```", (DOCS / "own-clips.md").read_text(encoding="utf-8"), re.DOTALL)


def read_back(row, classes):
    """The answer that a line of a table shows."""
    name, winner, *numbers = row.split()
    *shares, doubt = map(float, numbers[:-3])
    marks = dict(zip(MODALITIES, numbers[-3:], strict=True))
    return Prediction(
        id=name,
        probabilities=dict(zip(classes, shares, strict=True)),
        winner=winner,
        score=None,
        uncertainty=doubt,
        used=tuple(m for m, mark in marks.items() if mark == m[0]),
        recovered=tuple(m for m, mark in marks.items() if mark == "~"),
    )


@pytest.mark.parametrize("shown", TABLES, ids=range(len(TABLES)))
def test_a_table_is_what_the_command_prints(shown):
    header, *rows = shown.splitlines()
    classes = header.split()[2:-4]
    answers = [read_back(row, classes) for row in rows]
    assert table(answers, classes) == shown
    for answer in answers:
        assert sum(answer.probabilities.values()) == pytest.approx(1, abs=0.02)
        assert answer.probabilities[answer.winner] == max(answer.probabilities.values())


def test_there_is_a_table():
    assert len(TABLES) == 1


def test_the_reply_that_is_shown_is_a_reply():
    (shown,) = re.findall(r"```json\n(.*?)```", (DOCS / "serving.md").read_text(encoding="utf-8"), re.DOTALL)
    (told,) = json.loads(shown)["predictions"]
    answer = Prediction(**{key: value for key, value in told.items() if key != "refused"})
    assert list(answer.as_dict()) == list(told), "the keys come in this order"
    assert Reply(**told).winner == max(told["probabilities"], key=told["probabilities"].get)
    assert sum(told["probabilities"].values()) == pytest.approx(1)


def test_every_key_of_a_request_is_explained():
    text = (DOCS / "serving.md").read_text(encoding="utf-8")
    rows = re.search(r"\| key of a clip .*?\n\n", text, re.DOTALL)[0].strip().splitlines()[2:]
    named = {key for row in rows for key in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert named == set(Clip.model_fields)


@pytest.mark.parametrize(("page", "command"), [("own-clips.md", cli.predict), ("serving.md", cli.serve)])
def test_the_limits_are_those_of_the_options(page, command):
    shown = re.findall(
        r"^\| `--([\w-]+)` \| ([\d.]+)", (DOCS / page).read_text(encoding="utf-8"), re.MULTILINE
    )
    defaults = {name: p.default for name, p in inspect.signature(command).parameters.items()}
    assert {name.replace("-", "_"): float(value) for name, value in shown} == {
        name: value
        for name, value in defaults.items()
        if name.startswith("max_") or name.endswith("_seconds") or name == "time_limit"
    }


def test_mlflow_and_the_server_have_the_same_limits():
    from cmarr.serving.requests import LIMITED

    defaults = {name: p.default for name, p in inspect.signature(cli.serve).parameters.items()}
    assert LIMITED.items() <= defaults.items()


def test_the_soak_that_is_shown_is_the_one_that_is_kept():
    from benchmarks.soak import markdown
    from cmarr.files import read_json

    kept = read_json(DOCS.parent / "benchmarks/results/soak.json")
    assert markdown(kept) in (DOCS / "serving.md").read_text(encoding="utf-8")
