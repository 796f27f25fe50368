"""Every `cmarr export`, `predict` and `serve` of README and docs, typed as it stands there."""

import shlex
import shutil
import sys
from pathlib import Path

import pytest
import soundfile
from recordings import tone
from typer.testing import CliRunner

from cmarr import objects
from cmarr.cli import app
from cmarr.recognition.export import export
from cmarr.recognition.pretrained import pretrained

sys.path.append(str(Path(__file__).parents[1]))
from documented import PAGES
from documented import commands as every_command


def commands(page, *kinds):
    """With a store that this process keeps in the place of S3, which tests/test_objects.py tries."""
    own = [words for words in every_command(page) if words[0] == "cmarr" and words[1] in kinds]
    return [[word.replace("s3://", "memory://") for word in words] for words in own]


DOCUMENTED = [page for page in PAGES if commands(page, "export", "predict")]


@pytest.fixture
def desk(project, clips, tmp_path, monkeypatch):
    """A project's folder with the files that the pages name."""
    shutil.copytree(project, tmp_path, dirs_exist_ok=True)
    (tmp_path / "clips").mkdir()
    for name in ("a.wav", "a.mp4", "a.txt"):
        shutil.copy(clips / name, tmp_path / "clips" / name)
    shutil.copy(clips / "a.mp4", tmp_path / "clip.mp4")
    shutil.copy(clips / "long.srt", tmp_path / "said.srt")
    shutil.copy(clips / "long.srt", tmp_path / "clip.srt")
    (tmp_path / "list.csv").write_text("id,video,text\none,clip.mp4,so it is\n")
    soundfile.write(tmp_path / "interview.wav", tone(440, 9.0), 16_000)
    (tmp_path / "interview.wav").rename(tmp_path / "interview.mp4")  # files are read by content
    shutil.copy(clips / "long.srt", tmp_path / "interview.srt")
    sound = tmp_path / "data/demo/corpus/audio/s01f-008.wav"
    sound.parent.mkdir(parents=True)
    shutil.copy(clips / "a.wav", sound)
    monkeypatch.chdir(tmp_path)
    for path in objects.below("memory://bucket").values():
        objects.remove(path)
    return tmp_path


@pytest.mark.parametrize("page", DOCUMENTED, ids=lambda page: page.name)
def test_what_the_page_says_works(page, desk, borrowed):
    for words in commands(page, "export", "predict"):
        done = CliRunner().invoke(app, words[1:])
        told = f"{shlex.join(words)}\n{done.output}"
        if words[:4] == ["cmarr", "predict", "clip.mp4", "--model"] and words.count("--hide") == 2:
            assert done.exit_code == 1, told  # the clip of this test has video and text, and no sound
        else:
            assert done.exit_code == 0, told
        written = [words[i + 1] for i, word in enumerate(words) if word in ("--output", "--picture")]
        written += [f"{words[2]}/model.json"] if words[1] == "export" else []
        assert all(objects.is_file(name) for name in written), told


SERVED = [words for page in PAGES for words in commands(page, "serve")]


@pytest.mark.parametrize("words", SERVED, ids=shlex.join)
def test_a_server_comes_up(words, desk, borrowed, monkeypatch):
    """All but its loop: the tests of the server send it requests."""
    served = []

    def serve(service, listening, budgets, announce, **_):
        served.append(service)
        announce()

    monkeypatch.setattr("cmarr.serving.server.serve", serve)
    if "memory://bucket/model" in words:
        export(pretrained("starter-open"), "memory://bucket/model")
    done = CliRunner().invoke(app, [*words[1:], *([] if "--port" in words else ["--port", "0"])])
    assert done.exit_code == 0, done.output
    assert "answers at http://127.0.0.1:" in done.output and len(served) == 1
