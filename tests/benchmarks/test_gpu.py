"""What is run when a GPU can be had: rehearsed on a CPU, and what it does with parts that go wrong."""

import json
import time

import pytest

from benchmarks import gpu


@pytest.fixture(autouse=True)
def without_a_python_of_its_own(monkeypatch):
    """The part `tests` starts pytest."""
    monkeypatch.setattr(
        gpu.subprocess, "run", lambda *a, **k: gpu.subprocess.CompletedProcess(a, 0, "7 passed\n", "")
    )


def test_every_part_can_be_rehearsed(tmp_path, capsys):
    gpu.main(["--rehearse", "--results", str(tmp_path)])
    content = json.loads((tmp_path / "gpu.json").read_text())
    assert {name: own.get("wrong") for name, own in content["parts"].items()} == dict.fromkeys(gpu.PARTS)
    shown = capsys.readouterr().out
    assert all(what in shown for own in content["parts"].values() for what, _ in own["rows"])


def test_the_budgets_leave_eight_minutes():
    assert sum(seconds for _, seconds in gpu.PARTS.values()) <= 480


def refused(device, tiny, seconds):
    raise RuntimeError("out of memory\nand so on")


def test_a_part_that_fails_hangs_or_dies_loses_no_other(tmp_path, monkeypatch, capsys):
    parts = {
        "refused": (refused, 60.0),
        "hanging": (lambda *given: time.sleep(600), 0.3),
        "dead": (lambda *given: gpu.sys.exit(3), 60.0),
        "well": (lambda *given: [("a", "b")], 60.0),
    }
    monkeypatch.setattr(gpu, "PARTS", parts)
    gpu.main(["--rehearse", "--results", str(tmp_path), "--only", *parts])
    found = json.loads((tmp_path / "gpu.json").read_text())["parts"]
    assert found["refused"]["wrong"] == "RuntimeError: out of memory"
    assert found["hanging"]["wrong"].startswith("not done after") and found["hanging"]["seconds"] < 300
    assert found["dead"]["wrong"] == "ended without an answer"
    assert found["well"]["rows"] == [["a", "b"]]
    assert "| well | a | b |" in capsys.readouterr().out
