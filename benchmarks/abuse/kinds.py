"""Good files and folders of every kind that comes from outside, and the doors through which damaged ones go."""

import pickle
import random
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import soundfile

from benchmarks.abuse import doors
from benchmarks.abuse.mutations import mutated, of_tree
from cmarr.corpora.manifest import write_manifest
from cmarr.features.shards import shard_path, write_shard
from cmarr.folds.files import Fold, write_folds
from cmarr.recognition.pretrained import SHIPPED
from cmarr.utterance import FeatureSequence, Utterance

TESTS = Path(__file__).parents[2] / "tests"
sys.path += [str(TESTS / name) for name in ("media", "corpora", "denseface")]
import damaged_media  # noqa: E402
import miniature  # noqa: E402
import miniatures  # noqa: E402

Door = Callable[[Path], Any]
IDS = [f"u{i}" for i in range(6)]
TABLE = "id,label,speaker,text\n" + "".join(
    f"u{i},{'calm' if i % 2 else 'tense'},s{i % 3},hi\n" for i in range(6)
)


@dataclass(frozen=True)
class Kind:
    """How a good one is made at a path of that name, and the door; `folder`: it is one, and damaged as such.

    sealed: whatever was accepted must be what it was before it was damaged
    """

    make: Callable[[Path], Any]
    door: Door
    name: str
    folder: bool = False
    sealed: bool = False

    def damage(self, good: Path, place: Path, draw: random.Random, marker: Path) -> None:
        """Put a damaged copy of what `make` has made into the folder `place`."""
        place.mkdir()
        if self.folder:
            shutil.copytree(good, place / self.name, symlinks=True)
            of_tree(place / self.name, draw, marker)
        else:
            content = mutated(good.suffix, good.read_bytes(), draw, marker)
            (place / self.name).write_bytes(content)


def _media(kind: str) -> Callable[[Path], None]:
    return damaged_media.KINDS[kind][1]


def _ogg(path: Path) -> None:
    soundfile.write(path, np.sin(np.arange(24_000) / 10), 48_000, format="OGG")


def _captions(text: str) -> Callable[[Path], None]:
    return partial(Path.write_text, data=text)


def _mmsa() -> dict[str, Any]:
    part = {
        "id": ["a$_$1", "b$_$2"], "raw_text": ["x", "y"], "regression_labels": np.array([1.0, -2.0]),
        "audio": np.ones((2, 3, 4), np.float32), "vision": np.ones((2, 3, 2)), "audio_lengths": [2, 3],
        "text_bert": np.ones((2, 3, 5)), "text": np.ones((2, 5, 3)),
    }  # fmt: skip
    return {"train": part, "test": part | {"id": ["c", "d"]}}


def _arrays(root: Path, save: Callable[[Path, dict[str, np.ndarray]], None]) -> None:
    root.mkdir()
    (root / "utterances.csv").write_text(TABLE)
    draw = np.random.default_rng(0)
    save(root, {name: draw.normal(size=(4, 3)) for name in IDS})


def _npy(root: Path, arrays: dict[str, np.ndarray]) -> None:
    (root / "speech").mkdir()
    for name, array in arrays.items():
        np.save(root / "speech" / f"{name}.npy", array)


def _npz(root: Path, arrays: dict[str, np.ndarray]) -> None:
    np.savez_compressed(root / "speech.npz", **arrays)
    np.savez(
        root / "text.npz", ids=np.array(IDS), features=np.stack(list(arrays.values())), lengths=[4] * len(IDS)
    )


def _hdf5(root: Path, arrays: dict[str, np.ndarray]) -> None:
    with h5py.File(root / "speech.h5", "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, chunks=(2, 3), compression="gzip")


def _tables(root: Path, arrays: dict[str, np.ndarray]) -> None:
    rows = [{"id": name, "f0": r[0], "f1": r[1]} for name, array in arrays.items() for r in array]
    pd.DataFrame(rows).to_parquet(root / "speech.parquet")
    pd.DataFrame(rows).to_csv(root / "text.csv", index=False)
    lists = [{"id": name, "x": array.tolist()} for name, array in arrays.items()]
    pd.DataFrame(lists).to_parquet(root / "video.parquet")


def _manifest(path: Path) -> None:
    path.write_text(
        'id,text,audio,label,start,end,crop,split\n1,"a, b",a.wav,happy,0.5,1.5,left,dev\n2,c,,sad,,,,test\n'
    )


def _parquet(path: Path) -> None:
    pd.DataFrame({"id": list("abcd"), "text": ["x", None, "y", "z"], "start": [0.5, 1, 2, 3]}).to_parquet(
        path
    )


def _written(folder: Path) -> None:
    folder.mkdir()
    draw = np.random.default_rng(0)
    write_manifest(folder / "manifest.parquet", [Utterance(name, text="hi", label="calm") for name in IDS])
    write_folds(folder / "folds.parquet", [Fold(1, IDS[:3], IDS[3:4], IDS[4:])])
    made = [FeatureSequence(n, draw.normal(size=(4, 3)).astype("f4"), np.arange(4, dtype="f4")) for n in IDS]
    write_shard(shard_path(folder / "features", 0), made, {"encoder": "none"})


def _clips(folder: Path) -> None:
    folder.mkdir()
    miniatures.sound(folder / "a.wav", 0.2)
    (folder / "a.srt").write_text(SRT)
    (folder / "below").mkdir()
    miniatures.sound(folder / "below/b.wav", 0.2)
    (folder / "below/b.txt").write_text("hi")
    (folder / "clips.csv").write_text("id,audio,text,start,end\n1,a.wav,hi,0,0.1\n2,below/b.wav,,,\n")


def _corpus(kind: str, make: Callable[..., Any], **options: Any) -> Kind:
    return Kind(partial(make, **options), partial(doors.corpus, kind), "corpus", folder=True)


SRT = "".join(f"{i}\n00:00:0{i},000 --> 00:00:0{i},900\nline <b>{i}</b>\n\n" for i in range(9))
ASS = "[Script Info]\n[Events]\nFormat: Layer, Start, End, Style, Text\n" + "".join(
    f"Dialogue: 0,0:00:0{i}.00,0:00:0{i}.90,Default,{{\\an8}}line {i}\n" for i in range(9)
)
TTML = '<tt xmlns="http://www.w3.org/ns/ttml"><body><div><p begin="0s" end="1s">a<br/>b</p></div></body></tt>'
PARAMS = doors.ROOT / "params.yaml"

KINDS = {
    **{f"sound: {k}": Kind(_media(k), doors.heard, f"x.{k}") for k in ("wav", "flac", "mp3", "m4a")},
    "sound: ogg": Kind(_ogg, doors.heard, "x.ogg"),
    **{f"film: {k}": Kind(_media(k), doors.seen, f"x.{k}") for k in ("mp4", "avi")},
    "header: mp4": Kind(_media("mp4"), doors.header, "x.mp4"),
    "captions: srt": Kind(_captions(SRT), doors.captions, "x.srt"),
    "captions: vtt": Kind(_captions("WEBVTT\n\nNOTE x\n\n" + SRT.replace(",", ".")), doors.captions, "x.vtt"),
    "captions: ass": Kind(_captions(ASS), doors.captions, "x.ass"),
    "captions: ttml": Kind(_captions(TTML), doors.captions, "x.ttml"),
    "captions: lrc": Kind(_captions("[00:01.00]a\n[00:02.50]b\n"), doors.captions, "x.lrc"),
    "folder of clips": Kind(_clips, doors.clip_folder, "clips", folder=True),
    "pickle": Kind(lambda p: p.write_bytes(pickle.dumps(_mmsa(), 4)), doors.pickled, "x.pkl"),
    "MMSA corpus": Kind(lambda p: p.write_bytes(pickle.dumps(_mmsa(), 2)), partial(doors.corpus, "mmsa"), "x.pkl"),
    "manifest: csv": Kind(_manifest, doors.manifest, "x.csv"),
    "manifest: parquet": Kind(_parquet, doors.manifest, "x.parquet"),
    "features: npy": _corpus("features", _arrays, save=_npy),
    "features: npz": _corpus("features", _arrays, save=_npz),
    "features: hdf5": _corpus("features", _arrays, save=_hdf5),
    "features: tables": _corpus("features", _arrays, save=_tables),
    "settings": Kind(lambda p: shutil.copyfile(PARAMS, p), doors.whole_settings, "params.yaml"),
    "IEMOCAP tree": _corpus("iemocap", miniatures.iemocap, sessions=(1,), folder=".", media=False),
    "MELD tree": _corpus("meld", miniatures.meld),
    "MSP-IMPROV tree": _corpus("msp_improv", miniatures.msp_improv, sessions=(1,)),
    "MOSI tree": _corpus("cmu", miniatures.mosi_raw, videos=2),
    "MOSEI tree": _corpus("cmu", miniatures.mosei_raw, videos=3),
    "MMIN tree": _corpus("mmin", miniatures.mmin, sessions=(1,)),
    "FER+ zip": Kind(lambda p: miniature.write_zip(p, miniature.faces(4)), doors.ferplus, "FER2013Test.zip"),
    "exported model": Kind(
        lambda p: shutil.copytree(SHIPPED / "starter-open", p), doors.model, "model", folder=True, sealed=True
    ),
    "written by a study": Kind(_written, doors.written, "written", folder=True, sealed=True),
}  # fmt: skip
