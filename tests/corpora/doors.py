"""Doors through which foreign files come in, as functions of a path that a worker can call."""

import pickle

from cmarr.corpora import clips, features, mmsa
from cmarr.corpora.arrays import open_arrays
from cmarr.corpora.hdf5 import Reader
from cmarr.corpora.inventory import corpus_files
from cmarr.corpora.pickles import load_pickle
from cmarr.errors import Unreadable
from cmarr.media.audio import Samples
from cmarr.media.clips import Clip, Failure
from cmarr.media.foreign import Foreign
from cmarr.media.worker_pool import IDLE
from cmarr.recognition.clips import cut_windows, find_clips
from cmarr.settings.load import read_yaml


def through(folder, file, door):
    """In a worker: open a file as a user does."""
    for kind in (Foreign, Reader):
        IDLE.keep(pickle.dumps(kind), 1)  # the reader's own worker stays for the next file
    door(folder / file)


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
    answer, *_ = Samples()([Clip(str(path))])
    if isinstance(answer, Failure):
        raise Unreadable(answer.reason)


def settings(path):
    read_yaml(path)


def transcript(path):
    find_clips([], transcript=path)
