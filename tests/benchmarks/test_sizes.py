"""Networks of the sizes that benchmarks share."""

import pytest
import torch

from benchmarks.sizes import RUNS, build
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
