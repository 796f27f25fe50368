"""Studies on object storage: whole objects or none, sealed as files are, and the bytes of a local study."""

import hashlib
import json
import logging
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from cmarr import objects
from cmarr.corpora.manifest import read_manifest
from cmarr.corpora.registry import read_corpus
from cmarr.errors import NotComputed, NotWhole, UserError
from cmarr.evaluation.predicting import runs
from cmarr.evaluation.predictions import predictions_path, read_folder, write_predictions
from cmarr.features.extract import extract
from cmarr.features.shards import features_size, load_features, map_features, read_lengths, shard_path
from cmarr.files import atomic, file_digest, folder_digest, write_bytes, write_text
from cmarr.folds.files import read_folds, read_rule
from cmarr.masks.files import read_description as read_masks_description
from cmarr.methods.described import read_description
from cmarr.methods.model import load_model
from cmarr.recognition import trained
from cmarr.recognition.clips import find_clips
from cmarr.recognition.export import UNFINISHED, export
from cmarr.recognition.pretrained import pretrained
from cmarr.recognition.recognizer import Recognizer
from cmarr.recognition.trained import DESCRIPTION, exported
from cmarr.seals import LIST
from cmarr.task import Task
from cmarr.training.progress import Checkpoint
from cmarr.training.trainings import Trainings
from cmarr.utterance import FeatureSequence, Utterance
from cmarr.verify import verify
from stages.stage import located
from tests.training.conftest import CLASSES, TRAIN, make_corpus
from tests.warm import python

TASK = Task(tuple(CLASSES))
SETTINGS = {
    "method": "linear",
    "settings": {"C": 1.0},
    "train": TRAIN,
    "trials": [{}],
    "seeds": [0],
    "classes": CLASSES,
}


@pytest.fixture(scope="module")
def s3():
    """An S3 server of our own, with a bucket."""
    pytest.importorskip("s3fs", reason="s3fs is an extra: pip install 'cmarr[objects]'")
    server = pytest.importorskip("moto.server", reason="moto comes with what tests need: cmarr[dev]")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line a request
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    patch = pytest.MonkeyPatch()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "no_proxy": "127.0.0.1",
    }.items():
        patch.setenv(name, value)
    objects._store.cache_clear()
    objects._store("s3", os.getpid()).mkdir("bucket")
    yield Path("s3://bucket")
    patch.undo()
    objects._store.cache_clear()
    running.stop()


@pytest.fixture(params=["memory", "s3"])
def store(request):
    """A folder that nobody has written to, in either store."""
    base = Path("memory://bucket") if request.param == "memory" else request.getfixturevalue("s3")
    return base / request.node.originalname


def address(path: Path) -> str:
    """As a person writes it; a path has one slash only."""
    return str(path).replace(":/", "://", 1)


def uploaded(folder: Path, target: Path) -> None:
    for name, path in objects.below(folder).items():
        objects.put(path, target / name)


def study(root: Path) -> dict[str, bytes]:
    """Train on what lies there, and predict; the bytes of models and predictions."""
    data = root / "data/tiny"
    trainings = Trainings(
        label="test",
        settings=SETTINGS,
        manifest=data / "manifest.parquet",
        features=data / "features",
        folds=data / "folds.parquet",
        workers=1,
    )
    trainings.run(data / "unfinished", data / "models")
    features = load_features(data / "features")
    folds = read_folds(data / "folds.parquet")
    about = {"task": TASK, "cluster": "speaker", "masks": {}, "device": "cpu"}
    for one in runs(data / "models", data / "manifest.parquet", features, folds, [0], **about):
        write_predictions(
            predictions_path(data / "predictions", one.fold.number, one.seed), one.parts[0], TASK
        )
    assert len(read_folder(data / "predictions")) == 2
    made = {
        name: path for top in ("models", "predictions") for name, path in objects.below(data / top).items()
    }
    return {
        name: objects.read(path) if objects.is_remote(path) else path.read_bytes()
        for name, path in made.items()
    }


def test_a_study_comes_out_to_the_byte_as_in_a_folder(store, tmp_path):
    make_corpus(tmp_path)
    uploaded(tmp_path / "data", store / "data")
    here = study(tmp_path)
    assert study(store) == here and len(here) == 4
    data = store / "data/tiny"
    assert read_manifest(data / "manifest.parquet") == read_manifest(tmp_path / "data/tiny/manifest.parquet")
    assert read_rule(data / "folds.parquet") == "" and not read_masks_description(data / "masks")["unseen"]
    assert folder_digest(data / "features") == folder_digest(tmp_path / "data/tiny/features")
    assert read_description(data / "models/fold1-seed0.safetensors")["fold"] == 1
    assert not list(Path().glob("s3:*")) and not list(Path().glob("memory:*")), (
        "nothing lies in a folder of that name"
    )

    damaged, word = data / "models/fold1-seed0.safetensors", b"cmarr"
    content = objects.read(damaged)
    at = content.index(word)
    write_bytes(damaged, content[:at] + b"d" + content[at + 1 :])
    with pytest.raises(
        NotWhole, match=r"fold1-seed0\.safetensors .*(damaged|no seal).*train it again"
    ) as caught:
        load_model(damaged)
    assert str(caught.value).startswith(address(damaged))
    objects.remove(data / "folds.parquet")
    with pytest.raises(NotComputed, match=r"folds\.parquet: does not exist; cut the folds again"):
        study(store)


class Letters:
    """An encoder of texts, a frame a letter."""

    modality, dim = "t", 1

    def describe(self):
        return {"encoder": "letters"}

    def encode(self, utterances):
        for one in utterances:
            frames = np.array([[ord(letter)] for letter in one.text], np.float32)
            yield FeatureSequence(one.id, frames, np.arange(len(frames), dtype=np.float32))


def test_shards_are_made_there_and_found_again(store, tmp_path):
    utterances = [Utterance(f"{i}", text="letters"[i:]) for i in range(4)]
    encoder = Letters()
    extract(utterances, encoder, tmp_path / "here", shard_size=2)
    first = extract(utterances, encoder, store / "features", shard_size=2, resume=store / "work")
    assert (first.shards, first.reused) == (2, 0) and not objects.below(store / "work")
    assert {n: file_digest(p) for n, p in objects.below(store / "features").items()} == {
        n: file_digest(p) for n, p in objects.below(tmp_path / "here").items()
    }
    objects.remove(shard_path(store / "features", 1))
    again = extract(utterances, encoder, store / "features", shard_size=2, resume=store / "work")
    assert (again.shards, again.reused) == (2, 1)
    assert read_lengths(store / "features") == read_lengths(tmp_path / "here")
    mapped = map_features(store / "features", tmp_path / "unpacked")
    assert mapped.values.nbytes == features_size(store / "features") > 0


def test_what_a_reader_says_of_an_object_is_not_laid_to_the_store():
    path = "memory://bucket/part.txt"
    write_text(path, "words")
    for said in (UserError("a sentence of ours"), ValueError("no number")):
        with pytest.raises(type(said), match=f"^{said}$"), objects.opened(path):
            raise said
    with pytest.raises(OSError, match=r"part\.txt"), objects.opened(path):
        raise RuntimeError("the store hung up")


def test_a_write_that_fails_leaves_what_was_there(store):
    place = store / "a/b.txt"
    write_text(place, "old")
    with pytest.raises(RuntimeError), atomic(place) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert objects.read(place) == b"old" and [*objects.below(store)] == ["a/b.txt"]
    state = Checkpoint(store / "x.state")
    assert state.load() is None
    state.save({"epoch": 3})
    assert state.load() == {"epoch": 3}
    state.clear()
    state.clear()
    assert state.load() is None


def test_a_model_is_exported_to_a_store_and_answers_from_there(store, tmp_path):
    model = pretrained("starter-open")
    export(model, tmp_path / "model")
    assert export(model, store / "model") == store / "model"
    here, there = objects.below(tmp_path / "model"), objects.below(store / "model")
    assert {n: objects.read(p) for n, p in there.items()} == {n: p.read_bytes() for n, p in here.items()}
    with (
        Recognizer.from_pretrained(f"{store}/model", keep=0) as one,
        Recognizer.load(tmp_path / "model", keep=0) as two,
    ):
        assert one.predict(text="what a day") == two.predict(text="what a day")
    assert pretrained(store / "model" / DESCRIPTION).about == model.about

    with pytest.raises(UserError, match="holds a model already"):
        export(model, store / "model")
    write_text(store / "model/notes/a.txt", "mine")
    export(model, store / "model", force=True)
    assert objects.is_file(store / "model/notes/a.txt")
    with pytest.raises(UserError, match="holds other things"):
        export(model, store / "model/notes", force=True)


def test_an_export_to_a_store_that_was_killed_is_finished_by_the_same_command(tmp_path, monkeypatch):
    store, model = Path("memory://bucket/killed"), pretrained("starter-open")
    put, count = objects.put, 0
    for kills in range(12):

        def until(file, path, left=kills):
            nonlocal count
            count += 1
            if count > left:
                raise KeyboardInterrupt
            put(file, path)

        count = 0
        monkeypatch.setattr(objects, "put", until)
        try:
            export(model, store)
        except KeyboardInterrupt:
            with pytest.raises(UserError, match=r"holds no model\.json"):
                exported(store)
            continue
        break
    assert kills == len(objects.below(store)) + 1 and UNFINISHED not in objects.below(store)
    assert exported(store).about == model.about


def test_a_model_in_a_store_that_is_not_whole_is_named(store):
    model = pretrained("starter-open")
    export(model, store)
    weights = store / model.about.models[0].file
    for place, match in ((weights, "is damaged"), (store / "README.md", "is damaged")):
        content = objects.read(place)
        write_bytes(place, content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
        with pytest.raises(NotWhole, match=f"{match}.*export the model again") as caught:
            pretrained(store)
        assert str(caught.value).startswith(address(place))
        write_bytes(place, content)
    objects.remove(weights)
    with pytest.raises(NotComputed, match=r"safetensors: does not exist; export the model again") as missing:
        pretrained(store)
    assert str(missing.value).startswith(address(weights))
    with pytest.raises(UserError, match=r"//.*nothing holds no model\.json; make one .* with `cmarr export`"):
        pretrained(store / "nothing")


def test_what_is_wrong_with_a_model_in_a_store_is_said_of_its_address(store):
    export(pretrained("starter-open"), store)
    about = json.loads(objects.read(store / DESCRIPTION))
    weights = store / about["models"][0]["file"]
    foreign = {"text": about["encoders"]["text"] | {"name": "nobodys"}}
    wrong = (
        {"format": 9},
        {"classes": [3]},
        {"encoders": foreign},
        {"method": "nobodys", "plugins": [{"kind": "method", "name": "nobodys", "file": "own.py"}]},
    )
    for change in wrong:
        write_listed(store, DESCRIPTION, json.dumps(about | change).encode())
        with pytest.raises(UserError) as caught:
            pretrained(store)
        assert str(caught.value).startswith(address(store / DESCRIPTION)), caught.value
    write_listed(store, DESCRIPTION, json.dumps(about).encode())
    write_listed(store, weights.name, b"no weights")
    with pytest.raises(UserError) as caught:
        Recognizer.from_pretrained(store)
    assert str(caught.value).startswith(address(weights)), caught.value


def write_listed(folder: Path, name: str, content: bytes) -> None:
    """Change a file of a model so that only its content is wrong, and its list is right."""
    write_bytes(folder / name, content)
    lines = objects.read(folder / LIST).decode().splitlines()
    own = f"{hashlib.sha256(content).hexdigest()}  {name}"
    write_text(folder / LIST, "".join(f"{own if x.endswith(name) else x}\n" for x in lines))


def test_a_model_in_a_store_is_fetched_within_a_budget(store, monkeypatch):
    export(pretrained("starter-open"), store)
    fetched = []
    monkeypatch.setattr(objects, "fetch", lambda path, file: fetched.append(path))
    with monkeypatch.context() as less:
        less.setattr(trained, "MOST_BYTES", 1000)
        with pytest.raises(UserError, match=r"files of a model .*at most 1e-06 GB.*copy it here") as caught:
            pretrained(store)
        assert str(caught.value).startswith(address(store) + " holds")
        less.setattr(trained, "MOST_BYTES", 2**40)
        less.setattr(trained.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 4, 5))
        with pytest.raises(UserError, match=r"where 5e-09 GB are free here"):
            pretrained(store)
        less.undo()
        less.setattr(trained, "MOST_FILES", 3)
        with pytest.raises(UserError, match=r"holds [4-9] files of a model .* in 3 files .*copy it here"):
            pretrained(store)
    assert not fetched


def test_a_model_of_mlflows_answers_from_a_store(store):
    model = pretrained("starter-open")
    write_text(store / "MLmodel", "flavors: {}")
    export(model, store / "artifacts/model")
    for name in (store, f"{store}/MLmodel", store / "artifacts/model"):
        assert pretrained(name).about == model.about
    objects.remove(store / "artifacts/model" / model.about.models[0].file)
    with pytest.raises(NotComputed, match=r"artifacts/model/fold\d-seed\d\.safetensors: does not exist"):
        pretrained(store)


def test_a_store_that_does_not_answer_is_one_sentence(s3):
    with pytest.raises(UserError, match=r"folds\.parquet: does not exist; cut the folds again"):
        read_folds("s3://nonesuch-bucket/folds.parquet")
    with pytest.raises(OSError, match="nonesuch-bucket") as caught:
        write_text("s3://nonesuch-bucket/a.txt", "x")
    assert caught.value.filename and caught.value.errno
    for reads in (
        lambda path: find_clips([path]),
        lambda path: list(verify([path])),
        lambda path: read_corpus("manifest", located(path), dataset="mine"),
    ):
        with pytest.raises(UserError, match=r"s3://bucket/clips:? lies on object storage; copy it here"):
            reads("s3://bucket/clips")
    with pytest.raises(UserError, match=r"az:// cannot be used .*what fsspec needs"):
        objects.read("az://bucket/x")


def test_results_of_a_study_go_to_a_bucket_and_come_back(s3, tmp_path):
    """As docs/sharing.md says: what a stage leaves is pushed to a remote of DVC's, and pulled from there."""
    pytest.importorskip("dvc_s3", reason="dvc-s3 comes with what tests need: cmarr[dev]")
    own = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DVC_NO_ANALYTICS": "1"}
    own |= {k: v for k, v in os.environ.items() if k.startswith("AWS_") or k in ("no_proxy", "PYTHONPATH")}

    def dvc(*arguments):
        done = subprocess.run(
            [python(), "-m", "dvc", *arguments],
            cwd=tmp_path,
            env=own,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    make_corpus(tmp_path)
    features = tmp_path / "data/tiny/features"
    before = folder_digest(features)
    dvc("init", "-q", "--no-scm")
    dvc("remote", "add", "-q", "--default", "team", "s3://bucket/study")
    dvc("add", "-q", "data/tiny/features")
    dvc("push", "-q")
    for folder in (features, tmp_path / ".dvc/cache"):
        shutil.rmtree(folder)
    dvc("pull", "-q")
    assert folder_digest(features) == before and len(read_lengths(features / "speech"))
