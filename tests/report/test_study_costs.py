"""What a method cost holds what the model it starts from cost."""

from cmarr.files import write_json
from cmarr.report.study import read_cost


def test_stage_one_is_paid_for(tmp_path):
    write_json(tmp_path / "cost.json", {"seconds": 10.0, "parameters": 5})
    assert read_cost(tmp_path) == {"seconds": 10.0, "parameters": 5}
    write_json(tmp_path / "pretrain.json", {"seconds": 2.5})
    assert read_cost(tmp_path) == {"seconds": 12.5, "parameters": 5}
