"""Corpora as people have them: a whole one of a random kind, and up to three things that went wrong with it.

`python tests/doctor/bad_corpora.py SEED FOLDER` makes one, to look at it.
"""

import csv
import pickle
import random
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[1] / "corpora"))
import miniatures
from mutations import mutated

FOUR = ["angry", "happy", "neutral", "sad"]
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n"


@dataclass
class Bad:
    """A corpus below `root`, the section of params.yaml that fits it, and what was done to it."""

    root: Path
    section: dict
    done: list = field(default_factory=list)
    table: list | None = None  # rows of a manifest or of an MMSA pickle, until it is written

    def media(self, *suffixes):
        wanted = suffixes or (".wav", ".avi", ".mp4")
        return sorted(p for p in self.root.rglob("*") if p.suffix in wanted and p.is_file())


def make(seed, root):
    """The corpus of a seed, written below `root`."""
    draw = random.Random(seed)
    kind = draw.choice(["manifest"] * 4 + ["mmsa", "mmsa", "features", "iemocap", "meld", "ravdess"])
    bad = globals()[f"_{kind}"](root, draw)
    damages = {"manifest": TABLE + MEDIA, "mmsa": PICKLE, "features": CELL + ARRAYS}.get(kind, MEDIA + TREE)
    for _ in range(draw.choice([0, 1, 1, 1, 2, 2, 3])):
        damage = draw.choice(damages)
        share = draw.choice([0.05, 0.08, 0.1, 0.12, 0.3, 1.0])
        bad.done.append(f"{damage.__name__[1:]} {share:g}")
        damage(bad, draw, share)
    if kind in ("manifest", "features") and bad.table is not None:
        _write_table(bad)
    if kind == "mmsa" and bad.table is not None:
        (root / "features.pkl").write_bytes(pickle.dumps(_splits(bad.table)))
    return bad


def section(kind, folds, features="encoders", classes=FOUR, **options):
    task = "classification" if classes else "regression"
    made = {"kind": kind, "task": task, "classes": classes, "merge": {}, "features": features, "folds": folds}
    return made | {"n_folds": 3, "options": options, "preset": "frozen"}


def _manifest(root, draw):
    rows = []
    for i in range(draw.choice([12, 24, 30])):
        row = {"id": f"u{i:02d}", "text": f"line {i}", "label": FOUR[i % 4], "speaker": f"s{i // 4}"}
        row |= {
            "session": str(i // 8 % 3),
            "split": ("train", "valid", "test")[i % 3],
            "audio": f"m/u{i:02d}.wav",
        }
        miniatures.sound(root / row["audio"], 0.5)
        if draw.random() < 0.3:
            row["video"] = f"m/u{i:02d}.avi"
            miniatures.film(root / row["video"], 0.5)
        rows.append(row)
    folds = draw.choice(["speaker", "official", "session" if len(rows) > 12 else "speaker"])
    return Bad(root, section("manifest", folds), table=rows)


def _features(root, draw):
    rows = [
        {
            "id": f"u{i:02d}",
            "label": FOUR[i % 4],
            "speaker": f"s{i // 4}",
            "split": ("train", "valid", "test")[i % 3],
        }
        for i in range(24)
    ]
    root.mkdir(parents=True, exist_ok=True)
    for name in ("speech", "text"):
        arrays = {row["id"]: np.full((3, 4), i + 1.0, np.float32) for i, row in enumerate(rows)}
        np.savez(root / f"{name}.npz", **arrays)
    return Bad(root, section("features", draw.choice(["speaker", "official"]), "corpus"), table=rows)


def _arrays_damaged(bad, draw, share):
    """Arrays of one modality gone, of another shape, of zeros, or of what is no number."""
    path = bad.root / f"{draw.choice(['speech', 'text'])}.npz"
    if not path.is_file():
        return
    with np.load(path) as opened:
        arrays = dict(opened)
    value = draw.choice([np.nan, np.inf, 0.0, None, "gone"])
    bad.done[-1] += f" {path.stem}={value}"
    for name in some(draw, arrays, share):
        if value == "gone":
            del arrays[name]
        else:
            arrays[name] = np.ones((3, 5)) if value is None else np.full((3, 4), value)
    np.savez(path, **arrays)


def _array_file_damaged(bad, draw, share):
    path = draw.choice(sorted(bad.root.glob("*.npz")) or [None])
    if path and share > 0.1:
        whole = path.read_bytes()
        path.write_bytes(
            draw.choice([POINTER, b"", whole[: len(whole) // 2], next(mutated(whole, 1, draw.randrange(99)))])
        )


ARRAYS = [_arrays_damaged, _arrays_damaged, _array_file_damaged]


def _write_table(bad):
    columns = list(dict.fromkeys(key for row in bad.table for key in row))
    name = "manifest.csv" if bad.section["kind"] == "manifest" else "utterances.csv"
    with (bad.root / name).open("w", newline="", encoding="utf-8") as opened:
        writer = csv.DictWriter(opened, columns, restval="")
        writer.writeheader()
        writer.writerows(bad.table)


def _mmsa(root, draw):
    rows = []
    for i in range(draw.choice([12, 30])):
        row = {"id": f"v{i // 2}$_${i}", "raw_text": f"line {i}", "regression_labels": float(i % 7 - 3)}
        made = {"audio": (5, 3), "vision": (5, 2), "text": (5, 4)}
        row |= {name: np.ones(shape, np.float32) * (i + 1) for name, shape in made.items()}
        rows.append(row)
    root.mkdir(parents=True, exist_ok=True)
    return Bad(root, section("mmsa", "official", "corpus", []), table=rows)


def _splits(rows):
    parts = {"train": rows[::3], "valid": rows[1::3], "test": rows[2::3]}
    return {
        part: {
            key: (np.stack if isinstance(own[0][key], np.ndarray) else list)([row[key] for row in own])
            for key in own[0]
        }
        for part, own in parts.items()
        if own
    }


def _iemocap(root, draw):
    miniatures.iemocap(root, sessions=(1, 2, 3), media=draw.random() < 0.9)
    for path in root.rglob("*.txt"):  # few enough for the doctor to try them all
        if path.parent.name == "EmoEvaluation":
            path.write_text("\n".join(line for line in path.read_text().split("\n") if "\tfru\t" not in line))
    made = section("iemocap", "session") | {"classes": ["angry", "happy", "neutral"]}
    return Bad(root, made)


def _meld(root, draw):
    miniatures.meld(root, sounding=draw.random() < 0.9)
    return Bad(root, section("meld", "official", classes=["angry", "disgust", "happy", "neutral", "sad"]))


def _ravdess(root, draw):
    for actor in range(1, 7):
        for emotion in ("03", "04", "05"):
            for statement in ("01", "02"):
                miniatures.sound(
                    root / f"Actor_{actor:02d}/03-01-{emotion}-01-{statement}-01-{actor:02d}.wav", 0.3
                )
    return Bad(root, section("ravdess", "speaker", classes=["angry", "happy", "sad"]))


def some(draw, things, share):
    """A share of things: exactly so many, drawn."""
    return draw.sample(list(things), min(len(things), round(share * len(things))))


def _files_gone(bad, draw, share):
    for path in some(draw, bad.media(), share):
        path.unlink()


def _sounds_gone(bad, draw, share):
    for path in some(draw, bad.media(".wav"), share):
        path.unlink()


def _empty_files(bad, draw, share):
    for path in some(draw, bad.media(), share):
        path.write_bytes(b"")


def _pointers(bad, draw, share):
    for path in some(draw, bad.media(), share):
        path.write_bytes(POINTER)


def _damaged_files(bad, draw, share):
    for path in some(draw, bad.media(), share):
        path.write_bytes(next(mutated(path.read_bytes(), 1, seed=draw.randrange(1 << 30))))


def _cut_files(bad, draw, share):
    for path in some(draw, bad.media(), share):
        content = path.read_bytes()
        path.write_bytes(content[: draw.randrange(len(content) + 1)])


def _silence(bad, draw, share):
    for path in some(draw, bad.media(".wav"), share):
        path.write_bytes(path.read_bytes()[:44] + bytes(max(len(path.read_bytes()) - 44, 0)))


def _text_for_media(bad, draw, share):
    for path in some(draw, bad.media(), share):
        path.write_text("<html>404 not found</html>")


def _folders_for_files(bad, draw, share):
    for path in some(draw, bad.media(), share):
        path.unlink()
        path.mkdir()


def _swapped(bad, draw, share):
    """Films under the names of sounds, and the other way round."""
    sounds, films = bad.media(".wav"), bad.media(".avi", ".mp4")
    for one, other in zip(some(draw, sounds, share), films, strict=False):
        content = one.read_bytes()
        one.write_bytes(other.read_bytes())
        other.write_bytes(content)


MEDIA = [_files_gone, _sounds_gone, _empty_files, _pointers, _damaged_files, _cut_files, _silence, _text_for_media,
         _folders_for_files, _swapped]  # fmt: skip


def _damaged_text(bad, draw, share):
    texts = sorted(p for p in bad.root.rglob("*") if p.suffix in (".txt", ".csv"))
    for path in some(draw, texts, share):
        path.write_bytes(next(mutated(path.read_bytes(), 1, seed=draw.randrange(1 << 30))))


def _texts_gone(bad, draw, share):
    texts = sorted(p for p in bad.root.rglob("*") if p.suffix in (".txt", ".csv"))
    for path in some(draw, texts, share):
        path.unlink()


def _strange_names(bad, draw, share):
    for i, path in enumerate(some(draw, bad.media(), share)):
        path.rename(path.with_name(draw.choice([f"._{path.name}", f"x{i}{path.suffix}", path.name.upper()])))


def _strange_folder(bad, draw, share):
    """A folder whose name is no UTF-8."""
    if share and (paths := bad.media()):
        folder = paths[0].parent
        shutil.move(folder, folder.with_name("caf\udce9"))


def _a_folder_gone(bad, draw, share):
    folders = sorted(p for p in bad.root.rglob("*") if p.is_dir())
    if share and folders:
        shutil.rmtree(draw.choice(folders))


TREE = [_damaged_text, _texts_gone, _strange_names, _strange_folder, _a_folder_gone]

CELLS = {
    "audio": ["nan", "None", "", " ", "gone.wav", "m", "x" * 300 + ".wav", "m\\u01.wav", "https://a.org/b.wav", "u",
              "u.opus", "C:\\a.wav", "m/u00.wav", "../u.wav", "a\0b", "~/a.wav", "~nobody/a.wav", "/etc/passwd", ".",
              "m/u00.avi"],
    "video": ["nan", "gone.avi", "m/u00.wav", "m/u01.avi"],
    "text": ["", " ", "nan", "\u200b", "?", "😀", "x" * 5000, "\u0301"],
    "label": ["", "nan", "hapy", "HAPPY", "fear", "4"],
    "speaker": ["", "nan", "s0 ", "S0", "s0"],
    "session": ["", "nan", "0.0"],
    "start": ["", "0", "0.1", "0.6", "500", "-1", "nan", "inf", "soon", "1e-9", "0,5"],
    "end": ["", "0.2", "0.45", "900", "0", "-2", "1e-7", "1e308"],
    "split": ["", "dev", "nan", "train", "later"],
    "sex": ["f", "m", "", "x", "nan"],
    "crop": ["left", "right", "", "middle"],
    "score": ["", "nan", "1", "x"],
    "id": ["", "u00", " u01 ", "a/b", "..", "\u200b", "é" * 200, "nan"],
}  # fmt: skip


def _cells(bad, draw, share):
    """Cells of one column: all alike, as a program writes them."""
    column = draw.choice(list(CELLS))
    value = draw.choice(CELLS[column])
    bad.done[-1] += f" {column}={value[:12]!r}"
    for row in some(draw, bad.table or [], share):
        row[column] = value


def _mixed_cells(bad, draw, share):
    for row in some(draw, bad.table or [], share):
        column = draw.choice(list(CELLS))
        row[column] = draw.choice(CELLS[column])


def _column_gone(bad, draw, share):
    column = draw.choice(["text", "audio", "label", "speaker", "session", "split"])
    for row in bad.table or []:
        row.pop(column, None)


def _column_more(bad, draw, share):
    for row in bad.table or []:
        row[draw.choice(["emotion", "Audio", "", "Unnamed: 0"])] = "1"


def _rows_gone(bad, draw, share):
    if bad.table:
        bad.table[:] = bad.table[round(share * len(bad.table)) :] or bad.table[:1]


def _damaged_table(bad, draw, share):
    if share and bad.table is not None:
        _write_table(bad)
        path = bad.root / "manifest.csv"
        path.write_bytes(next(mutated(path.read_bytes(), 1, seed=draw.randrange(1 << 30))))
        bad.table = None


def _one_recording(bad, draw, share):
    for row in some(draw, bad.table or [], share):
        row["audio"] = "m/u00.wav"


CELL = [_cells, _cells, _mixed_cells, _rows_gone]
TABLE = [
    _cells,
    _cells,
    _cells,
    _mixed_cells,
    _column_gone,
    _column_more,
    _rows_gone,
    _damaged_table,
    _one_recording,
]


def _no_numbers(bad, draw, share):
    column = draw.choice(["audio", "vision", "text"])
    value = draw.choice([np.nan, np.inf, 1e39, 0.0, 1e5])
    bad.done[-1] += f" {column}={value:g}"
    for row in some(draw, bad.table or [], share):
        row[column] = np.full_like(row[column], value, dtype=np.float64)


def _no_scores(bad, draw, share):
    for row in some(draw, bad.table or [], share):
        row["regression_labels"] = draw.choice([float("nan"), float("inf"), 99.0])


def _same_ids(bad, draw, share):
    for row in some(draw, bad.table or [], share):
        row["id"] = draw.choice(["v0$_$0", row.get("id", "")])


def _blank_texts(bad, draw, share):
    for row in some(draw, bad.table or [], share):
        row["raw_text"] = draw.choice(["", " ", "\u200b"])


def _pickle_column_gone(bad, draw, share):
    column = draw.choice(["audio", "vision", "text", "raw_text", "regression_labels", "id"])
    for row in bad.table or []:
        row.pop(column, None)


def _pickle_rows_gone(bad, draw, share):
    if bad.table:
        bad.table[:] = bad.table[round(share * len(bad.table)) :] or bad.table[:1]


def _damaged_pickle(bad, draw, share):
    if share and bad.table is not None:
        whole = pickle.dumps(_splits(bad.table))
        content = draw.choice(
            [POINTER, b"", whole[: len(whole) // 2], next(mutated(whole, 1, seed=draw.randrange(99)))]
        )
        (bad.root / "features.pkl").write_bytes(content)
        bad.table = None


def _lengths(bad, draw, share):
    for row in bad.table or []:
        row["audio_lengths"] = row["vision_lengths"] = 5
    for row in some(draw, bad.table or [], share):
        row["audio_lengths"] = draw.choice([0, -1, 3, 99])


PICKLE = [_no_numbers, _no_numbers, _no_scores, _same_ids, _blank_texts, _pickle_column_gone, _pickle_rows_gone,
          _damaged_pickle, _lengths]  # fmt: skip


if __name__ == "__main__":
    print(make(int(sys.argv[1]), Path(sys.argv[2])))
