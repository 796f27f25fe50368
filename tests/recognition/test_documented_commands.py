"""Every `cmarr export` and `cmarr predict` of README and docs, typed as it stands there."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
import soundfile
from recordings import tone
from typer.testing import CliRunner

from cmarr.cli import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands(page):
    blocks = re.findall(r"```bash\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    words = [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]
    return [line for line in words if line[:2] in (["cmarr", "export"], ["cmarr", "predict"])]


DOCUMENTED = [page for page in PAGES if commands(page)]


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
    return tmp_path


@pytest.mark.parametrize("page", DOCUMENTED, ids=lambda page: page.name)
def test_what_the_page_says_works(page, desk, borrowed):
    for words in commands(page):
        done = CliRunner().invoke(app, words[1:])
        told = f"{shlex.join(words)}\n{done.output}"
        if words[:4] == ["cmarr", "predict", "clip.mp4", "--model"] and words.count("--hide") == 2:
            assert done.exit_code == 1, told  # the clip of this test has video and text, and no sound
        else:
            assert done.exit_code == 0, told
        written = [words[i + 1] for i, word in enumerate(words) if word in ("--output", "--picture")]
        written += [f"{words[2]}/model.json"] if words[1] == "export" else []
        assert all((desk / name).is_file() for name in written), told
