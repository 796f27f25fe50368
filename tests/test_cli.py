"""`cmarr doctor`: what it says of whole and of damaged corpora, and how it ends."""

import re
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cmarr.cli import app
from cmarr.errors import many

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared/data"
sys.path.append(str(Path(__file__).parent / "corpora"))
import miniatures  # noqa: E402

MAKERS = {
    "iemocap": miniatures.iemocap,
    "iemocap_six": miniatures.iemocap,
    "iemocap_mmin": miniatures.mmin,
    "msp_improv": miniatures.msp_improv,
    "crema_d": lambda root: miniatures.crema_d(root, emotions=("ANG", "DIS", "FEA", "HAP", "NEU", "SAD")),
    "meld": miniatures.meld,
    "mosi_raw": miniatures.mosi_raw,
}


@pytest.fixture
def project(tmp_path):
    """A folder with the product's own params.yaml, in which the root of a dataset can be set."""
    (tmp_path / "presets").symlink_to(ROOT / "presets")
    text = (ROOT / "params.yaml").read_text().replace("\nworkers: auto", "\nworkers: 1", 1)
    text = text.replace("\n  text: auto ", "\n  text: hashing ", 1)  # the best one takes its time to load

    def place(dataset=None, root=None):
        nonlocal text
        if dataset:
            text = re.sub(rf"(\n  {dataset}: .*\n    kind: .*\n    root: ).*", rf"\g<1>{root}", text)
            text = re.sub(r"\ndataset: \w+", f"\ndataset: {dataset}", text)
        (tmp_path / "params.yaml").write_text(text)
        return tmp_path / "params.yaml"

    return place


def doctor(params, *arguments):
    result = CliRunner().invoke(app, ["doctor", *arguments, "--params", str(params)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


@pytest.mark.parametrize("dataset", MAKERS)
def test_a_whole_miniature_is_ready(project, tmp_path, dataset):
    root = tmp_path / "corpus"
    root.mkdir()
    MAKERS[dataset](root)
    miniatures.litter(root)
    status, output = doctor(project(dataset, root), dataset)
    assert status == 0, output
    warnings = re.findall(r"!! (.*)", output)
    media = dataset != "iemocap_mmin"
    due = [r"[\d.]+ % of .* is here: \d+ utterances"]  # it is a miniature
    due += (
        ["speech: 18 of 21 utterances", "video: 18 of 21"] if dataset == "meld" else []
    )  # a clip a part is not there
    due += ["a face in 0 % of the frames"] if media else []  # its videos show nobody, and are all the same
    due += [r"\d+ recordings? in several rows each \(as copies under several names\)"] if media else []
    due += ["100 % of the test transcripts"] if dataset in ("msp_improv", "meld", "mosi_raw") else []
    assert len(warnings) == len(due) and all(map(re.match, due, warnings)), warnings
    assert f"0 problems, {many(len(due), 'warning')}; ready: dvc exp run -S dataset={dataset}" in output
    assert "    XX " not in output and "\x1b" not in output  # plain where no terminal is


def test_iemocap_is_compared_by_session_and_a_missing_one_is_said(project, tmp_path):
    miniatures.iemocap(tmp_path / "corpus", sessions=(1, 2, 4, 5))
    status, output = doctor(project("iemocap", tmp_path / "corpus"))
    assert status == 0
    assert re.search(r"Session1 +4/229 +8/278 +4/384 +4/194", output)
    assert re.search(r"Session3 +0/240 +0/286 +0/320 +0/305", output)
    assert "!! nothing at all of Session3\n       -> copy what is missing" in output
    assert "4 folds, leave one session out" in output


def test_both_counts_of_msp_improv_stand_beside_what_was_found(project, tmp_path):
    miniatures.msp_improv(tmp_path / "corpus")
    _, output = doctor(project("msp_improv", tmp_path / "corpus"))
    assert re.search(r"happy +12 +1048 +999\n", output)
    assert (
        "published (1): scenario S, before the rule" in output
        and "published (2): scenario S with a" in output
    )


def test_media_that_cannot_be_opened_are_named(project, tmp_path):
    miniatures.iemocap(tmp_path / "corpus")
    sentences = sorted((tmp_path / "corpus").rglob("*.wav"))
    sentences[0].write_bytes(b"")
    sentences[1].write_bytes(b"RIFF")
    params = project("iemocap", tmp_path / "corpus")
    status, output = doctor(params)
    assert status == 0  # few enough to be quarantined
    assert "!! speech of 2 of 100 utterances cannot be read:" in output
    assert f"{sentences[0].stem}: {sentences[0]} is empty (0 bytes)" in output
    for video in sorted((tmp_path / "corpus").rglob("*.avi"))[:3]:
        video.write_bytes(b"nonsense")
    status, output = doctor(params)
    assert status == 1
    assert "XX video of 30 of 100 utterances cannot be read:" in output
    assert "extraction would stop (max_rejected = 0.1): fetch the files again, or raise it" in output
    assert "1 problem, 4 warnings; this will not run" in output


def test_a_film_without_sound_does_not_pass_for_speech(project, tmp_path):
    miniatures.meld(tmp_path / "corpus", sounding=False)
    status, output = doctor(project("meld", tmp_path / "corpus"))
    assert status == 1 and "has no sound track" in output


def test_times_beyond_the_end_of_a_file_are_noticed(project, tmp_path):
    miniatures.mosei_raw(tmp_path / "corpus")
    path = next((tmp_path / "corpus").rglob("100178.txt"))
    path.write_text(path.read_text().replace("___0.2___0.3___", "___70.5___73.25___"))
    _, output = doctor(project("mosi_raw", tmp_path / "corpus"))
    assert "!! 1 utterance beyond the end of the file (100178$_$2)" in output


def test_absent_modalities_are_told_by_dialogue(project, tmp_path):
    miniatures.iemocap(tmp_path / "corpus")
    next((tmp_path / "corpus").rglob("Ses01M_impro01.avi")).unlink()
    next((tmp_path / "corpus").rglob("transcriptions/Ses02F_impro01.txt")).unlink()
    _, output = doctor(project("iemocap", tmp_path / "corpus"))
    assert "!! video: 126 of 140 utterances; it is missing from 1 whole dialogue (Ses01M_impro01)" in output
    assert "!! text: 126 of 140 utterances; it is missing from 1 whole dialogue (Ses02F_impro01)" in output


def test_folds_and_classes_that_cannot_be_are_problems(project, tmp_path):
    miniatures.iemocap(tmp_path / "two", sessions=(1, 2), media=False)
    status, output = doctor(project("iemocap", tmp_path / "two"))
    assert status == 1 and "XX folds: leaving one session out needs three sessions" in output
    miniatures.crema_d(tmp_path / "five")
    status, output = doctor(project("crema_d", tmp_path / "five"))
    assert status == 1 and "XX classes: no utterance is labelled 'disgust'" in output


def test_a_wrong_width_in_the_feature_tree_is_a_warning(project, tmp_path):
    miniatures.mmin(tmp_path / "tree", wrong_width=True)
    status, output = doctor(project("iemocap_mmin", tmp_path / "tree"))
    assert status == 0
    assert "!! A/comparE.h5: 1 utterance of another shape, as Ses01F_impro01_F000 (7, 129)" in output


def test_a_root_that_is_not_there_says_which_key_to_set(project, tmp_path):
    status, output = doctor(project("iemocap", tmp_path / "nowhere"))
    assert status == 1
    assert f"XX datasets.iemocap.root: {tmp_path / 'nowhere'} does not exist; set it to where" in output
    assert "this will not run" in output


def test_the_demo_is_generated_and_not_missing(project):
    status, output = doctor(project())
    assert status == 0 and "-- not generated yet\n       -> the pipeline generates it" in output


def test_errors_of_the_user_are_one_sentence(project, tmp_path):
    status, output = doctor(project(), "iemcap")
    assert status == 1 and "no dataset 'iemcap'; did you mean 'iemocap'?" in output
    status, output = doctor(tmp_path / "absent.yaml")
    assert status == 1 and "absent.yaml is not there; run this in the project's folder" in output
    status, output = doctor(project(), "--all")
    assert status == 1 and "no dataset's root exists" in output


def test_all_and_a_name_contradict_each_other(project):
    status, output = doctor(project(), "demo", "--all")
    assert status == 1
    assert "name demo, or --all, not both" in output


def test_all_takes_every_corpus_that_is_there(project, tmp_path):
    project("iemocap_mmin", miniatures.mmin(tmp_path / "tree"))
    (tmp_path / "crema").mkdir()
    params = project("crema_d", MAKERS["crema_d"](tmp_path / "crema"))
    _, output = doctor(params, "--all")
    assert [line.split()[0] for line in output.split("\n") if "(kind " in line] == ["iemocap_mmin", "crema_d"]


@pytest.mark.parametrize("weights", ["present", "absent"])
def test_weights_that_are_not_here_are_said_before_the_run(project, tmp_path, weights, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    model = tmp_path / "model" if weights == "present" else "someone/never-published"
    (tmp_path / "model").mkdir()
    params = project("crema_d", MAKERS["crema_d"](tmp_path / "crema"))
    text = params.read_text().replace("  text: hashing ", "  text: bert ", 1)
    params.write_text(text.replace("model: bert-base-uncased", f"model: {model}"))
    _, output = doctor(params)
    if weights == "present":
        assert f"ok text: bert from the folder {model}" in output
    else:
        assert (
            "XX text: bert, someone/never-published is not on this machine, and the model hub cannot be"
            in output
        )
        assert "set encoders.bert.model to a folder" in output


@pytest.mark.skipif(not SHARED.is_dir(), reason="the corpora in ../shared/data are not on this machine")
def test_the_real_corpora_are_ready(project):
    params = project("ravdess", SHARED / "ravdess")
    status, output = doctor(params, "ravdess")
    assert status == 0
    assert "672 utterances, 24 speakers (12 female, 12 male)" in output
    assert "5 of 9 counts differ, none of them of this task's classes" in output
    assert "672 files, 24.7 MB, 0.69 hours of utterances; every header can be opened" in output
    status, output = doctor(project("mosi", SHARED / "mosi/mosi_utterance.pkl"), "mosi")
    assert status == 0
    assert "mosi_utterance.pkl is none of the four files that MMSA hands out" in output
    assert "the whole agrees, but not by split (train, valid, test)" in output
    assert re.search(r"train +1150/1284\n +valid +297/229\n +test +752/686\n", output)


def test_the_doctor_looks_at_the_presets_encoders_of_the_dataset_that_it_is_asked_about(project, tmp_path):
    MAKERS["crema_d"](tmp_path / "crema")
    params = project("crema_d", tmp_path / "crema")
    text = params.read_text().replace("\ndataset: crema_d", "\ndataset: demo", 1)
    before, after = text.split("\n  crema_d: ", 1)
    params.write_text(before + "\n  crema_d: " + after.replace("preset: frozen", "preset: paper-frozen", 1))
    _, output = doctor(params, "crema_d")
    assert "speech: wav2vec2" in output


def test_what_the_first_stage_would_refuse_is_a_problem(project, tmp_path):
    MAKERS["crema_d"](tmp_path / "crema")
    params = project("crema_d", tmp_path / "crema")
    params.write_text(params.read_text().replace("\ncross: []", "\ncross: [nowhere]", 1))
    status, output = doctor(params)
    assert status == 1
    assert "XX cross: 'nowhere' has no section under 'datasets'" in output


def test_the_version_and_shell_completion_are_there():
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.output) == (0, f"cmarr {version('cmarr')}\n")
    assert "--install-completion" in CliRunner().invoke(app, ["--help"]).output


def test_the_package_says_that_it_is_typed():
    assert (ROOT / "cmarr/py.typed").is_file()
    assert "py.typed" in (ROOT / "pyproject.toml").read_text()
