"""`cmarr predict`: what is typed, what comes out, how it ends."""

import json
import os

import pyarrow.parquet as pq
import pytest
import soundfile
from recordings import tone
from typer.testing import CliRunner

from cmarr.cli import app
from tests.warm import python


@pytest.fixture
def predict(project, borrowed):
    """Run the command in a project, on the session's model."""

    def run(*arguments):
        words = ["predict", *map(str, arguments), "--params", str(project / "params.yaml")]
        done = CliRunner().invoke(app, words)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, done.stdout, done.stderr

    return run


def lines(output):
    return [json.loads(line) for line in output.splitlines()]


def test_a_table_for_people(predict, clips):
    status, output, _ = predict(clips / "a.wav", clips / "loud.wav")
    assert status == 0
    header, first, second, warning = output.splitlines()
    assert header.split() == ["clip", "winner", "calm", "tense", "glad", "doubt", "s", "v", "t"]
    assert first.split()[-3:] == ["s", "~", "t"] and second.split()[-3:] == ["s", "~", "~"]
    assert "loud.wav: the sound is clipped" in warning


def test_of_one_clip_the_reasons_stand_below(predict, clips):
    status, output, _ = predict(clips / "a.wav", "--hide", "text")
    assert status == 0
    _, answer, *reasons = output.splitlines()
    assert answer.split()[-3:] == ["s", "~", "~"]
    assert reasons[:2] == ["? no video: not given", "? no text: hidden"]
    assert "? it rests on speech alone" in reasons
    assert "? video and text were not there, and were reconstructed from the rest" in reasons
    _, both, _ = predict(clips / "a.mp4", "--text", "words that tell something else")
    assert "? no speech: the file holds no such track" in both
    _, many, _ = predict(clips / "a.wav", clips / "long.wav")
    assert "\n?" not in many
    status, refused, _ = predict(clips / "silent.wav")
    assert status == 1 and "\n?" not in refused and "is silent" in refused


def test_json_lines_for_programs(predict, clips):
    status, output, _ = predict(
        clips / "a.mp4", "--format", "jsonl", "--hide", "video", "--text", "other words"
    )
    (answer,) = lines(output)
    assert status == 0
    assert answer["used"] == ["text"] and answer["recovered"] == ["speech", "video"]
    assert answer["missing"] == {"speech": "the file holds no such track", "video": "hidden"}
    assert sum(answer["probabilities"].values()) == pytest.approx(1) and answer["refused"] is None


def test_parquet(predict, clips, tmp_path):
    status, output, _ = predict(clips / "a.wav", clips / "silent.wav", "-o", tmp_path / "answers.parquet")
    assert status == 1 and output == ""
    one, other = pq.read_table(tmp_path / "answers.parquet").to_pylist()
    assert one["p_calm"] + one["p_tense"] + one["p_glad"] == pytest.approx(1)
    assert other["p_calm"] is None and "is silent" in other["refused"]


def test_a_folder_joins_what_has_the_same_name(predict, clips):
    status, output, _ = predict(clips, "--format", "jsonl")
    answers = {answer["id"]: answer for answer in lines(output)}
    assert list(answers) == ["a", "faceless", "long", "loud", "silent"]
    assert answers["a"]["used"] == ["speech", "video", "text"]
    assert answers["long"]["used"] == ["speech", "text"]
    assert status == 1 and "no face found" in answers["faceless"]["refused"]


def test_a_manifest(predict, clips, tmp_path):
    (tmp_path / "a.wav").write_bytes((clips / "a.wav").read_bytes())
    (tmp_path / "list.csv").write_text(
        "id,audio,text,start,end\nfirst,a.wav,so it is,0.2,0.8\nsecond,,only words,,\n"
    )
    status, output, _ = predict(tmp_path / "list.csv", "--format", "jsonl")
    first, second = lines(output)
    assert status == 0
    assert first["id"] == "first" and (first["start"], first["end"]) == (0.2, 0.8)
    assert second["used"] == ["text"]


def test_text_alone(predict, tmp_path):
    status, output, _ = predict("--text", "what a day", "--format", "jsonl")
    assert status == 0 and lines(output)[0]["used"] == ["text"]
    (tmp_path / "said.vtt").write_text("WEBVTT\n\n00:01.000 --> 00:02.000\nwhat a day\n")
    _, same, _ = predict("--transcript", tmp_path / "said.vtt", "--format", "jsonl")
    assert lines(same)[0]["probabilities"] == lines(output)[0]["probabilities"]


def test_windows_follow_a_long_recording(predict, clips):
    status, output, _ = predict(clips / "long.wav", "--window", 2, "--hop", 1, "--format", "jsonl")
    answers = lines(output)
    assert status == 0
    assert [(a["start"], a["end"]) for a in answers] == [(0, 2), (1, 3), (2, 4), (3, 5)]
    assert [a["used"] for a in answers] == [
        ["speech", "text"],
        ["speech"],
        ["speech", "text"],
        ["speech", "text"],
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to predict"),
        (["nowhere.wav"], "nowhere.wav does not exist"),
        (["--text", "x", "--hide", "sound"], "'sound' is not a modality"),
        (
            ["--text", "x", "--format", "jsn"],
            "--format jsn: there are table, jsonl, parquet; did you mean 'jsonl'",
        ),
        (["--text", "x", "--format", "parquet"], "needs --output"),
        (["--text", "x", "--hop", "1"], "need --window"),
        (["--text", "x", "--window", "1", "--hop", "2"], "a hop 0.01 s and at most a window"),
        (["--text", "x", "--window", "1", "--picture", "a.jpg"], "must be .svg or .png"),
        (["--text", "x", "--weights", "speech"], "write speech=FOLDER"),
    ],
)
def test_a_wrong_request_ends_with_2_and_a_sentence(predict, arguments, message):
    status, output, told = predict(*arguments)
    assert status == 2 and output == ""
    assert message in told and "Traceback" not in told


def test_one_text_cannot_belong_to_two_clips(predict, clips):
    status, _, told = predict(clips / "a.wav", clips / "loud.wav", "--text", "x")
    assert status == 2 and "there are 2 clips and one text" in told


def test_hiding_everything_leaves_nothing_to_answer_from(predict, clips):
    hidden = [word for modality in ("speech", "video", "text") for word in ("--hide", modality)]
    status, output, _ = predict(clips / "a.mp4", *hidden, "--format", "jsonl")
    (answer,) = lines(output)
    assert status == 1 and answer["winner"] is None
    assert answer["missing"] == dict.fromkeys(("speech", "video", "text"), "hidden")
    assert "hidden" in answer["refused"]


@pytest.mark.parametrize(
    ("place", "message"), [("{}", "is a folder; name a file"), ("/dev/null/answers", "cannot be written")]
)
@pytest.mark.parametrize("ending", ["", ".parquet", ".jsonl"])
def test_where_nothing_can_be_written(predict, tmp_path, place, message, ending):
    target = tmp_path / f"folder{ending}"
    target.mkdir()
    place = place.format(target) + (ending if place.startswith("/dev") else "")
    status, _, told = predict("--text", "x", "--output", place)
    assert status == 2 and message in told and "Traceback" not in told


def test_a_reader_that_goes_away_is_no_error(project, tmp_path):
    """`cmarr predict ... | head`: the pipe is closed before anything is written."""
    import subprocess
    from pathlib import Path

    words = ["predict", "--text", "hello", "--params", str(project / "params.yaml")]
    done = subprocess.Popen(
        [python(), "-m", "cmarr.cli", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    done.stdout.close()
    assert (done.wait(240), done.stderr.read()) == (1, "")
    done.stderr.close()


def test_a_folder_whose_names_are_of_all_kinds(predict, clips, tmp_path):
    folder = tmp_path / "my clips für Ärzte"
    (folder / "día 1").mkdir(parents=True)
    for name in ("día 1/a b.wav", "😀.wav", "'; rm -rf x.wav"):
        (folder / name).write_bytes((clips / "a.wav").read_bytes())
    (folder / "día 1/a b.txt").write_text("good day")
    status, output, _ = predict(folder, "--format", "jsonl")
    answers = {answer["id"]: answer["used"] for answer in lines(output)}
    assert status == 0
    assert answers == {"'; rm -rf x": ["speech"], "día 1/a b": ["speech", "text"], "😀": ["speech"]}


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"\x00\x01\x02", b"", b"caf\xe9"])
def test_a_transcript_that_cannot_be_read_costs_the_text_alone(predict, clips, tmp_path, content):
    (tmp_path / "a.wav").write_bytes((clips / "a.wav").read_bytes())
    (tmp_path / "a.txt").write_bytes(content)
    status, output, _ = predict(tmp_path / "a.wav", "--format", "jsonl")
    assert status == 0 and "speech" in lines(output)[0]["used"]


def test_a_transcript_that_is_far_too_large_is_told(predict, clips, tmp_path):
    """Beside a recording it costs the text alone; on its own, or asked for by name, there is no answer."""
    (tmp_path / "a.wav").write_bytes((clips / "a.wav").read_bytes())
    with (tmp_path / "a.srt").open("wb") as file:
        file.truncate(70 * 2**20)  # a file with a hole: it takes no room
    for arguments in ([tmp_path], [tmp_path / "a.wav"], [tmp_path / "a.wav", "--window", 0.5]):
        status, output, _ = predict(*arguments, "--format", "jsonl")
        for answer in lines(output):
            assert status == 0 and answer["used"] == ["speech"]
            assert "a.srt has 73.4 MB, too much for a text file" in answer["missing"]["text"]
            assert answer["warnings"] == [f"text not used: {answer['missing']['text']}"]
    status, output, _ = predict(tmp_path / "a.srt", "--format", "jsonl")
    assert status == 1 and "too much for a text file" in lines(output)[0]["refused"]
    status, _, told = predict(clips / "a.wav", "--transcript", tmp_path / "a.srt")
    assert status == 2 and "too much for a text file" in told


def test_no_file_of_a_folder_vanishes(predict, clips, tmp_path):
    folder = tmp_path / "phone"
    folder.mkdir()
    for name in ("one.caf", "two.weba"):
        (folder / name).write_bytes((clips / "a.wav").read_bytes())
    for name in ("notes.pdf", "b.jpg", "two.txt", "two.srt", ".hidden.wav", *(f"{i}.xyz" for i in range(19))):
        (folder / name).write_bytes(b"x")
    (folder / "one.wav").write_bytes((clips / "a.wav").read_bytes())
    (folder / "gone.wav").symlink_to(folder / "annex")
    os.mkfifo(folder / "waits.wav")
    status, output, notes = predict(folder)
    names = [line.split()[0] for line in output.splitlines()[1:]]
    assert status == 1 and [name for name in names if name != "!"] == ["gone", "one", "one.wav", "two"]
    assert f"is a link to {folder / 'annex'}, which is not there" in output
    assert "passed over, having no ending of sound, video or text, or captions beside them:" in notes
    assert (
        "b.jpg" in notes
        and "and 2 more files" in notes
        and "passed over: 2 hidden files or folders, or pipes" in notes
    )


def test_sound_on_another_scale_is_named(predict, tmp_path):
    soundfile.write(tmp_path / "a.wav", 32767 * tone(440, 1.0), 16_000, subtype="FLOAT")
    _, output, _ = predict(tmp_path / "a.wav")
    assert "its samples reach 16384: they were taken as whole numbers, and brought to full scale 1" in output
