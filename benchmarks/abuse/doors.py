"""Doors through which foreign files come in, as functions of a path that a worker can call.

Large libraries are imported by the door that needs them.
"""

import hashlib
import json
import math
import pickle
from pathlib import Path

import numpy as np

from cmarr.corpora import clips, features, mmsa
from cmarr.corpora.arrays import open_arrays
from cmarr.corpora.hdf5 import Reader
from cmarr.corpora.headers import MediaFile, Opener
from cmarr.corpora.inventory import corpus_files
from cmarr.corpora.manifest import read_manifest
from cmarr.corpora.pickles import load_pickle
from cmarr.corpora.registry import corpus_features, corpus_inventory, read_corpus
from cmarr.errors import Unreadable
from cmarr.features.shards import read_features
from cmarr.folds.files import read_folds
from cmarr.media.clips import Clip, Failure
from cmarr.media.foreign import Foreign
from cmarr.media.worker_pool import IDLE
from cmarr.recognition.clips import cut_windows, find_clips, passed_over
from cmarr.recognition.prediction import Refusal
from cmarr.utterance import Rejected

ROOT = Path(__file__).parents[2]


def through(folder, file, door):
    """In a worker: open a file as a user does. What the door gives is given back."""
    for kind in (Foreign, Reader):
        IDLE.keep(pickle.dumps(kind), 1)  # the reader's own worker stays for the next file
    return door(folder / file)


def pickled(path):
    load_pickle(path)


def mmsa_corpus(path):
    mmsa.read(path, mmsa.Options())


def manifest(path):
    clips.read(path, clips.Options())


def folder_with_manifest(path):
    clips.read(path.parent, clips.Options())


def arrays(path):
    found = open_arrays(path, ["a"])
    (array,) = found.read(["a"])
    if isinstance(array, Failure):
        raise Unreadable(array.reason)


def feature_table(path):
    features.read(path, features.Options())


def ferplus(path):
    from denseface.ferplus import read_part

    read_part(path.parent, "test")


def walk(path):
    corpus_files(path.parent)


def windows(path):
    (clip,) = find_clips([], transcript=path)
    cut_windows(clip.utterance, {}, 100.0, 0.05)


def heard(path):
    from cmarr.media.audio import Samples

    answer, *_ = Samples()([Clip(str(path))])
    if isinstance(answer, Failure):
        raise Unreadable(answer.reason)


def settings(path):
    from cmarr.settings.load import read_yaml

    read_yaml(path)


def whole_settings(path):
    from cmarr.settings.load import load_settings

    load_settings(path, ROOT / "presets")


def captions(path):
    clips = find_clips([path])
    for clip in clips:
        if not isinstance(clip, Refusal):
            cut_windows(clip.utterance, {}, 4.0, 2.0)


def clip_folder(path):
    """A folder of clips and the table of some of them, as `cmarr predict` takes both."""
    passed_over([path])
    for given in ([path], [path / "clips.csv"]):
        for clip in find_clips(given):
            if not isinstance(clip, Refusal):
                cut_windows(clip.utterance, {}, 4.0, 2.0)


def header(path):
    (answer,) = Opener()([MediaFile(str(path))])
    if isinstance(answer, Failure):
        raise Unreadable(answer.reason)


def seen(path):
    from cmarr.media.faces import FaceReader

    (answer,) = FaceReader()([Clip(str(path))])
    if isinstance(answer, Failure):
        raise Unreadable(answer.reason)
    _plain(answer.patches)


def corpus(kind, path):
    """A corpus whose folder is the path: read, counted, and its features handed out."""
    utterances, _ = read_corpus(kind, path, dataset="abused")
    corpus_inventory(kind, path, dataset="abused")
    for utterance in utterances:
        numbers = (utterance.score, utterance.start, utterance.end)
        assert utterance.id and all(n is None or math.isfinite(n) for n in numbers), utterance
    if kind in ("features", "mmsa", "mmin"):
        for modality in "svt":
            for result in corpus_features(kind, path, modality, dataset="abused").encode(utterances):
                if not isinstance(result, Rejected):
                    _plain(result.frames)


def model(path):
    """An exported model: what it would compute."""
    from cmarr.methods.model import load_model
    from cmarr.recognition.trained import exported

    trained = exported(path)
    found = hashlib.sha256(json.dumps(trained.about.as_dict(), sort_keys=True).encode())
    for weights in trained.weights:
        loaded = load_model(weights)
        for name, tensor in sorted(loaded.method.state_dict().items()):
            found.update(name.encode() + tensor.numpy().tobytes())
        found.update(json.dumps(loaded.description, sort_keys=True).encode())
    return found.hexdigest()


def written(path):
    """What the pipeline has written: the manifest, features, folds."""
    found = hashlib.sha256(repr(read_manifest(path / "manifest.parquet")).encode())
    found.update(repr(read_folds(path / "folds.parquet")).encode())
    table = read_features(path / "features")
    if table is None:
        raise Unreadable("there are no features")
    found.update(repr(table.ids).encode() + table.values.tobytes() + table.offsets.tobytes())
    return found.hexdigest()


def _plain(values):
    assert np.isfinite(values).all() and values.size, "it holds no finite numbers"


def transcript(path):
    find_clips([], transcript=path)
