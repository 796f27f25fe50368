"""Networks of the sizes that benchmarks share."""

import pytest
import torch

from benchmarks import training
from benchmarks.records import RESULTS
from benchmarks.sizes import RUNS, SHAPES, build
from cmarr.files import read_json
from cmarr.methods.protocol import Started


@pytest.mark.parametrize("run", RUNS)
def test_every_one_can_be_built_and_so_can_what_it_starts_from(run):
    name, settings, _ = RUNS[run]
    with torch.device("meta"):
        made = build(name, settings)
        assert not isinstance(made, Started) or build(name, settings, first_stage=True).training


@pytest.mark.parametrize(
    "own", [{"start": "teacher"}, {"teacher": "none"}, {"missing": "learned", "views": 1}]
)
def test_a_teacher_takes_of_a_method_s_settings_what_it_has(own):
    sizes = {"d": 96, "latents": 5, "resampler_layers": 5, "heads": 16} | own
    student, teacher = build("mcur", sizes), build("mcur", sizes, first_stage=True)
    assert student.first.model.recogniser.backbone.join[0].weight.shape == (96, 288)
    assert teacher.recogniser.backbone.join[0].weight.shape == (96, 288)


def test_the_parameters_that_docs_speed_shows_are_those_of_the_networks_that_are_timed():
    kept = read_json(RESULTS / "training.json")["runs"]
    assert "dicmor (768/5/20)" in kept
    for name, found in kept.items():
        run = {"settings": {}, "first_stage": False, "shapes": SHAPES} | training.RUNS[name]
        widths = {m: width for m, (_, width) in run["shapes"].items()}
        with torch.device("meta"):
            made = build(run["method"], run["settings"], run["first_stage"], widths)
        assert sum(p.numel() for p in made.parameters()) == found["parameters"], name
