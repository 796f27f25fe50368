"""Every reader on damaged files: each is read or refused in a sentence; none crashes, none hangs.

250 damaged copies of each file here; `FUZZ=5000 python -m pytest tests/corpora/test_fuzz.py` makes more.
"""

import os
import pickle
from dataclasses import dataclass
from pathlib import Path

import h5py
import miniatures
import numpy as np
import pandas as pd
import pytest
from mutations import mutated

from cmarr.corpora import mmin
from cmarr.corpora.hdf5 import Entry, Reader
from cmarr.corpora.headers import Header, read_headers
from cmarr.corpora.registry import read_corpus
from cmarr.errors import UserError
from cmarr.media.clips import Failure
from cmarr.media.worker_pool import decode

COUNT = int(os.environ.get("FUZZ", "250"))


@dataclass(frozen=True)
class Kind:
    """A corpus of one kind, of which one file is damaged."""

    reader: str
    make: object
    file: str
    options: tuple = ()


def csv_manifest(root):
    rows = (
        'id,text,audio,label,start,end,crop,split\n1,"a, b",a.wav,happy,0.5,1.5,left,dev\n2,c,,sad,,,,test\n'
    )
    miniatures.write(root / "manifest.csv", rows)


def parquet_manifest(root):
    pd.DataFrame({"id": list("abcd"), "text": ["x", None, "y", "z"], "start": [0.5, 1, 2, 3]}).to_parquet(
        root / "manifest.parquet"
    )


def mmsa_pickle(root):
    part = {"id": ["a$_$1", "b$_$2"], "raw_text": ["x", "y"], "regression_labels": np.array([1.0, -2.0])}
    part |= {"audio": np.ones((2, 3, 4), np.float32), "vision": np.ones((2, 3, 2)), "audio_lengths": [2, 3]}
    miniatures.write_bytes(
        root / "features.pkl", pickle.dumps({"train": part, "test": part | {"id": ["c", "d"]}})
    )


def targets(root):
    miniatures.mmin(root, sessions=(1,))
    for path in root.rglob("*.h5"):
        path.unlink()


def one_session(root):
    miniatures.iemocap(root, sessions=(1,), folder=".", media=False)


def one_msp_session(root):
    miniatures.msp_improv(root, sessions=(1,))


def listed(root):
    one_msp_session(root)
    miniatures.write(root / "ids.txt", "MSP-IMPROV-S01A-F01-S-FM01\nMSP-IMPROV-S01A-M01-S-MF02\n")


ALIGNED = "Session1/sentences/ForcedAlignment/Ses01F_impro01"
KINDS = {
    "IEMOCAP labels": Kind("iemocap", one_session, "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt"),
    "IEMOCAP transcript": Kind("iemocap", one_session, "Session1/dialog/transcriptions/Ses01F_impro01.txt"),
    "IEMOCAP word times": Kind("iemocap", one_session, f"{ALIGNED}/Ses01F_impro01_F000.wdseg"),
    "MSP-IMPROV evaluation": Kind("msp_improv", one_msp_session, "Evalution.txt"),
    "MSP-IMPROV ids": Kind("msp_improv", listed, "ids.txt", (("ids", "ids.txt"),)),
    "MELD table": Kind("meld", miniatures.meld, "train_sent_emo.csv"),
    "MOSI transcript": Kind("cmu", miniatures.mosi_raw, "Raw/Transcript/Segmented/v0.annotprocessed"),
    "MOSI labels": Kind("cmu", miniatures.mosi_raw, "label.csv"),
    "MOSEI transcript": Kind("cmu", miniatures.mosei_raw, "Raw/Transcript/Segmented/Combined/100178.txt"),
    "MOSEI labels": Kind("cmu", miniatures.mosei_raw, "aligned_50.pkl"),
    "MMSA pickle": Kind("mmsa", mmsa_pickle, "features.pkl"),
    "MMIN names": Kind("mmin", targets, "target/1/trn_int2name.npy"),
    "MMIN labels": Kind("mmin", targets, "target/1/trn_label.npy"),
    "CSV manifest": Kind("manifest", csv_manifest, "manifest.csv"),
    "Parquet manifest": Kind("manifest", parquet_manifest, "manifest.parquet"),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_damaged_file_is_read_or_refused(tmp_path, kind):
    kind.make(tmp_path)
    path = tmp_path / kind.file
    outcomes = {"read": 0, "refused": 0}
    for content in mutated(path.read_bytes(), COUNT):
        path.write_bytes(content)
        try:
            if kind.reader == "mmin":  # its features are not there, for each look at them starts a process
                utterances, rejected = mmin.read(tmp_path, mmin.Options())
            else:
                utterances, rejected = read_corpus(
                    kind.reader, tmp_path, dataset="damaged", **dict(kind.options)
                )
        except UserError as error:
            assert str(error)
            outcomes["refused"] += 1
        else:
            assert all(u.id for u in utterances) and all(r.reason for r in rejected)
            outcomes["read"] += 1
    assert sum(outcomes.values()) == COUNT
    print(kind.file, outcomes)


def test_a_damaged_hdf5_file_is_read_or_refused(tmp_path):
    with h5py.File(tmp_path / "whole.h5", "w") as opened:
        for i in range(4):
            opened[f"Ses01F_impro01_F00{i}"] = np.ones((5, 13), np.float32)
        opened.create_dataset("packed", data=np.ones((50, 13)), chunks=(10, 13), compression="gzip")
    paths = damaged(tmp_path, "whole.h5")
    listings = list(decode(Reader, ([Entry(path)] for path in paths), workers=1, seconds=60))
    assert all(isinstance(answer, dict | Failure) for answer in listings)
    held = [Entry(path, name) for path, names in zip(paths, listings, strict=True)
            if isinstance(names, dict) for name in names]  # fmt: skip
    contents = list(decode(Reader, ([entry] for entry in held), workers=1, seconds=60))
    assert all(isinstance(answer, np.ndarray | Failure) for answer in contents)
    assert sum(isinstance(answer, np.ndarray) for answer in contents) > COUNT  # most of most files is whole


@pytest.mark.parametrize("suffix", [".wav", ".avi", ".mp4"])
def test_a_damaged_header_is_read_or_refused(tmp_path, suffix):
    (miniatures.sound if suffix == ".wav" else miniatures.film)(tmp_path / f"whole{suffix}", 0.2)
    headers = read_headers(damaged(tmp_path, f"whole{suffix}"), workers=1, seconds=60)
    assert len(headers) == COUNT
    assert all(isinstance(answer, Header | Failure) for answer in headers.values())


def damaged(folder: Path, name: str) -> list[str]:
    whole = (folder / name).read_bytes()
    paths = []
    for i, content in enumerate(mutated(whole, COUNT)):
        paths.append(str(folder / f"{i:04d}{Path(name).suffix}"))
        Path(paths[-1]).write_bytes(content)
    return paths
