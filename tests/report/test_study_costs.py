"""What a method cost holds what the model it starts from cost."""

from cmarr.analyses.study import read_cost, training_time
from cmarr.seals import write_json


def test_stage_one_is_paid_for(tmp_path):
    write_json(tmp_path / "cost.json", {"seconds": 10.0, "core_seconds": 9.0, "parameters": 5})
    assert read_cost(tmp_path) == {"seconds": 10.0, "core_seconds": 9.0, "parameters": 5}
    write_json(tmp_path / "pretrain.json", {"seconds": 2.5, "core_seconds": 2.0})
    assert read_cost(tmp_path) == {"seconds": 12.5, "core_seconds": 11.0, "parameters": 5}


def test_methods_are_compared_by_what_a_busy_machine_does_not_change():
    cost = {"seconds": 10.0, "core_seconds": 4.0, "trainings": [{"device": "cpu"}]}
    assert training_time(cost) == 4.0
    assert training_time(cost | {"trainings": [{"device": "cuda:0"}]}) == 10.0
