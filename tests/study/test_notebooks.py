"""The notebooks run from top to bottom, in a folder that holds nothing."""

import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

sys.path.append(str(Path(__file__).parents[1] / "media"))
from recordings import face, tone, write_video

from tests.warm import python

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder, and one of clips."""
    import soundfile

    clips = tmp_path / "clips"
    clips.mkdir()
    soundfile.write(clips / "a.wav", tone(440, 3.0), 16_000)
    write_video(clips / "a.mp4", [face(x=70 + i) for i in range(20)])
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("CLIPS", str(clips))
    monkeypatch.setenv("PYTHONPATH", str(NOTEBOOKS.parent))
    return tmp_path / "here"


@pytest.mark.parametrize(
    ("name", "left", "shown"),
    [("own-features", "own-model/model.json", 3), ("own-clips", "course.svg", 3)],
)
def test_a_notebook_runs_and_shows_its_tables_and_pictures(folder, name, left, shown):
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}})
    client.create_kernel_manager().kernel_spec.argv[0] = python()
    client.execute()
    assert (folder / left).is_file()
    data = [out["data"] for cell in notebook.cells for out in cell.get("outputs", []) if "data" in out]
    assert sum("image/png" in own for own in data) == 1
    assert sum("text/html" in own or "image/png" in own for own in data) == shown
    told = "".join(
        out.get("text", "")
        for cell in notebook.cells
        for out in cell.get("outputs", [])
        if out.get("name") == "stderr"
    )
    assert "Traceback" not in told and "Warning" not in told
