"""Doors through which foreign files come in, as functions of a path that a worker can call."""

import pickle

from cmarr.corpora import clips, features, mmsa
from cmarr.corpora.arrays import open_arrays
from cmarr.corpora.pickles import load_pickle
from cmarr.media.foreign import Foreign
from cmarr.media.worker_pool import IDLE
from cmarr.recognition.clips import find_clips
from cmarr.settings.load import read_yaml


def through(folder, file, door):
    """In a worker: open a file as a user does."""
    IDLE.keep(pickle.dumps(Foreign), 1)  # the reader's own worker stays for the next file
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
    list(open_arrays(path, ["a"]).read(["a"]))


def feature_table(path):
    features.read(path, features.Options())


def settings(path):
    read_yaml(path)


def transcript(path):
    find_clips([], transcript=path)
