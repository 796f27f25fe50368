"""A changed bit in any file that cmarr writes is refused in a sentence, or changes nothing of what is read."""

import itertools
import json
import os
import random
import resource
import struct
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from cmarr.analyses.sensitivity import read_results, write_results
from cmarr.cli import app
from cmarr.corpora.manifest import read_manifest, read_quarantine, write_manifest, write_quarantine
from cmarr.damage.tables import LEVELS, read_levels
from cmarr.data.normalise import Normaliser
from cmarr.errors import NotComputed, NotWhole, UserError
from cmarr.evaluation.predictions import (
    predictions_frame,
    read_predictions,
    usable_counts,
    write_predictions,
)
from cmarr.evaluation.spread import SPREAD, read_spread, spread_frame, write_spread
from cmarr.features.shards import (
    map_features,
    read_features,
    read_lengths,
    read_metadata,
    shard_path,
    write_shard,
)
from cmarr.folds.files import Fold, read_folds, read_rule, write_folds
from cmarr.masks.files import read_description, read_masks, write_description, write_masks
from cmarr.media.faces_file import SeenFaces, read_faces, write_faces
from cmarr.methods.described import read_description as read_model_description
from cmarr.methods.model import Model, load_model, save_model
from cmarr.methods.registry import build_method
from cmarr.recognition.export import export
from cmarr.recognition.pretrained import SHIPPED
from cmarr.recognition.trained import Trained, check_about, exported
from cmarr.seals import (
    BLANK,
    LIST,
    read_frame,
    read_json,
    read_listed_csv,
    write_frame,
    write_json,
    write_list,
)
from cmarr.settings.grid import COLUMNS
from cmarr.task import Task
from cmarr.training.progress import Checkpoint
from cmarr.utterance import FeatureSequence, Rejected, Utterance
from cmarr.verify import verify
from denseface.state import read_state, write_state
from stages import makes

FLIPS = int(os.environ.get("FLIPS", "40"))
TASK = Task(("calm", "tense"))
DIMS = {"s": 3, "t": 2}
NOTES = {"recipe": {"seed": 1}, "faces": "x", "validation": "y", "progress": {"epoch": 1}}
"""Of a state of Denseface's training."""


def model(path: Path, seed: int = 0) -> Model:
    torch.manual_seed(seed)
    settings = {"C": 1.0}
    method = build_method("linear", DIMS, TASK, settings)
    about = {
        "method": "linear",
        "first_stage": False,
        "settings": settings,
        "classes": list(TASK.classes),
        "dims": DIMS,
        "fold": 1,
        "seed": seed,
        "epoch": 1,
        "score": 0.5,
        "version": "0",
    }
    made = Model(method, Normaliser(DIMS), torch.tensor([0.5, 0.5]), TASK, about)
    save_model(path, made)
    return made


def sequences():
    rng = np.random.default_rng(0)
    return [
        FeatureSequence(
            f"u{i}", rng.standard_normal((3 + i, 4)).astype(np.float32), np.arange(3 + i, dtype=np.float32)
        )
        for i in range(5)
    ]


def predictions() -> pd.DataFrame:
    there = np.ones((4, 3), bool)
    return predictions_frame(
        ids=list("abcd"),
        speakers=["x", "x", "y", "z"],
        clusters=["x", "x", "y", "z"],
        labels=["calm", "tense", "calm", "calm"],
        n_usable=usable_counts(there, ["svt", "t"]),
        task=TASK,
        prior=[0.5, 0.5],
        fold=1,
        seed=0,
        logits={c: np.arange(8.0).reshape(4, 2) for c in ("svt", "t")},
    )


def frame_of(values) -> list:
    return [values.attrs, values.to_csv()]  # in which a NaN is equal to itself


def weights_of(path: Path) -> list:
    found = load_model(path)
    return [
        found.description,
        [(k, v.tolist()) for k, v in {**found.method.state_dict(), **found.normaliser.state_dict()}.items()],
        found.prior.tolist(),
    ]


def features_of(folder: Path) -> list:
    found = read_features(folder)
    return [found.ids, found.values.tolist(), found.offsets.tolist(), found.directions]


def exported_of(folder: Path) -> list:
    found = exported(folder)
    return [found.about.as_dict(), [weights_of(path) for path in found.weights]]


def unpacked(folder: Path) -> list:
    return map_features(folder, folder / "unpacked").values.tolist()


def make(kind: str, folder: Path) -> tuple[Path, object]:
    """A file of a kind, and what reads it."""
    folder.mkdir(exist_ok=True)
    path = folder / {"checkpoint": "x.state", "model": "fold1-seed0.safetensors"}.get(kind, f"{kind}.parquet")
    match kind:
        case "manifest":
            said = [Utterance(f"u{i}", text="a word", label="calm", ratings={"x": "calm"}) for i in range(9)]
            write_manifest(path, said)
            return path, lambda: read_manifest(path)
        case "quarantine":
            write_quarantine(path, [Rejected("u", "s", "reading", "nothing there")])
            return path, lambda: read_quarantine(path)
        case "folds":
            write_folds(path, [Fold(1, ["a", "b"], ["c"], ["d"])], "by hand")
            return path, lambda: [read_folds(path), read_rule(path)]
        case "masks":
            rows = {"fold": [1, 1], "id": ["a", "b"], "level": [0.1, 0.1], "condition": ["s", "svt"]}
            write_masks(folder, kind, pd.DataFrame(rows))
            return path, lambda: frame_of(read_masks(folder, kind))
        case "protocols":
            write_description(
                folder, {"protocols": {"rate": {"levels": [0.1]}}, "absent": {}, "unseen": True}
            )
            return folder / "protocols.json", lambda: read_description(folder)
        case "shard":
            write_shard(shard_path(folder, 0), sequences(), {"encoder": "x"})
            return shard_path(folder, 0), lambda: [features_of(folder), read_metadata(shard_path(folder, 0))]
        case "lengths":
            write_shard(shard_path(folder, 0), sequences(), {"encoder": "x"})
            return shard_path(folder, 0), lambda: read_lengths(folder)
        case "unpacked":
            write_shard(shard_path(folder, 0), sequences(), {})
            unpacked(folder)
            return folder / "unpacked", lambda: unpacked(folder)
        case "faces":
            write_faces(path, [SeenFaces("u", "x", "calm", np.zeros((2, 8, 8), np.uint8), 2, 2)])
            return path, lambda: [one.patches.tolist() for one in read_faces(path)]
        case "predictions":
            write_predictions(path, predictions(), TASK)
            return path, lambda: frame_of(read_predictions(path))
        case "spread":
            write_spread(
                folder / SPREAD,
                [spread_frame(["a"], {"s": torch.tensor([0.5]).double()}, "test", fold=1, seed=0)],
            )
            return folder / SPREAD, lambda: frame_of(read_spread(folder))
        case "levels":
            write_json(folder / LEVELS, {"kind": "noise", "levels": [{"level": 20.0}]})
            return folder / LEVELS, lambda: read_levels(folder)
        case "frame":
            write_frame(path, pd.DataFrame({"a": [1.0, np.nan], "b": ["x", None]}))
            return path, lambda: [list(map(str, row)) for row in read_frame(path, "").to_numpy()]
        case "settings":
            write_json(folder / "x.json", {"seeds": [0, 1], "train": {"lr": 1e-3}})
            return folder / "x.json", lambda: read_json(folder / "x.json", "")
        case "scores":
            (folder / "x.csv").write_text("a,b\n1,2\n")
            write_list(folder / f"{LIST}.evaluate", [folder / "x.csv"])
            return folder / "x.csv", lambda: frame_of(read_listed_csv(folder / "x.csv", ""))
        case "list":
            (folder / "x.csv").write_text("a,b\n1,2\n")
            write_list(folder / LIST, [folder / "x.csv"])
            return folder / LIST, lambda: frame_of(read_listed_csv(folder / "x.csv", ""))
        case "checkpoint":
            Checkpoint(path).save({"progress": {"epoch": 3}, "method": {"w": torch.arange(50.0)}})
            return path, lambda: Checkpoint(path).load()["method"]["w"].tolist()
        case "model":
            model(path)
            return path, lambda: weights_of(path)
        case "sensitivity":
            rows = [("k0", 1.0, 0.1, 10.0, "UAR", "svt", 0.5, 0.4, 0.6)]
            write_results(folder / "x.csv", pd.DataFrame(rows, columns=COLUMNS))
            return folder / "x.csv", lambda: frame_of(read_results(folder / "x.csv"))
        case "state of Denseface":
            path = folder / "state.safetensors"
            write_state(path, {"network": {"w": torch.arange(50.0)}}, NOTES)
            return path, lambda: [[read_state(path)[0]["network"]["w"].tolist()], read_state(path)[1]]
        case "description":
            model(folder / "fold1-seed0.safetensors")
            path = folder / "fold1-seed0.safetensors"
            return path, lambda: read_model_description(path)
    return made_export(kind, folder)


def made_export(kind: str, folder: Path) -> tuple[Path, object]:
    """One file of an exported folder, and what reads the folder."""
    model(folder / "fold1-seed0.safetensors")
    about = {
        "format": 1,
        "product": "0",
        "dataset": "tiny",
        "method": "linear",
        "classes": TASK.classes,
        "models": [
            {"file": "fold1-seed0.safetensors", "fold": 1, "seed": 0, "epoch": 1, "score": 0.5},
        ],
        "encoders": {"text": {"name": None, "settings": {}, "provenance": {}}},
        "settings": {},
        "train": {},
        "metrics": {},
    }
    out = folder / "out"
    export(Trained(check_about(about, "x"), (folder / "fold1-seed0.safetensors",)), out)
    names = {"exported weights": "fold1-seed0.safetensors", "exported list": LIST}
    return out / names.get(kind, "model.json"), lambda: exported_of(out)


KINDS = (
    "manifest", "quarantine", "folds", "masks", "protocols", "shard", "lengths", "unpacked", "faces", "predictions",
    "spread", "levels", "frame", "settings", "scores", "list", "checkpoint", "model", "description", "sensitivity",
    "state of Denseface",
    "exported weights", "exported description", "exported list",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_is_refused_or_changes_nothing(kind, tmp_path):
    path, read = make(kind, tmp_path)
    content, expected, draw = path.read_bytes(), read(), random.Random(kind)
    refused = 0
    for _ in range(FLIPS):
        place, bit = draw.randrange(len(content)), 1 << draw.randrange(8)
        then = path.stat()
        path.write_bytes(content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :])
        os.utime(path, ns=(then.st_atime_ns, then.st_mtime_ns))  # as on a disk that forgets
        try:
            found = read()
        except UserError as error:
            assert str(tmp_path) in str(error), "it names the file"
            assert "\n" not in str(error)
            refused += 1
        else:
            assert found == expected, (place, bit)
    if kind not in ("lengths", "description", "exported list", "unpacked"):  # read in part, or made anew
        assert refused == FLIPS


@pytest.mark.parametrize("damage", ["cut", "grown", "emptied", "zeroed", "of another kind"])
@pytest.mark.parametrize("kind", KINDS)
def test_other_damage_is_refused_or_changes_nothing(kind, damage, tmp_path):
    path, read = make(kind, tmp_path)
    content, expected = path.read_bytes(), read()
    middle = len(content) // 2
    changed = {
        "cut": content[:middle],
        "grown": content + b"x",
        "emptied": b"",
        "zeroed": content[: middle - 8] + bytes(16) + content[middle + 8 :],
        "of another kind": b"not a file of ours, and longer than a seal is, which has a hundred and forty letters"
        * 3,
    }[damage]
    path.write_bytes(changed)
    try:
        assert read() == expected
    except UserError as error:
        assert str(tmp_path) in str(error)


def test_a_file_that_is_not_there_is_not_called_damaged(tmp_path):
    with pytest.raises(NotComputed, match=r"folds\.parquet: does not exist; cut the folds again"):
        read_folds(tmp_path / "folds.parquet")


def test_a_file_of_an_earlier_version_is_told_from_a_damaged_one(tmp_path):
    pd.DataFrame({"fold": [1], "id": ["a"], "role": ["test"]}).to_parquet(tmp_path / "folds.parquet")
    with pytest.raises(NotWhole, match=r"has no seal: an earlier version of cmarr wrote it.*cut the folds"):
        read_folds(tmp_path / "folds.parquet")
    save_file({"w": torch.zeros(3)}, tmp_path / "x.safetensors", {"cmarr": json.dumps({"classes": []})})
    with pytest.raises(NotWhole, match=r"has no seal.*train it again"):
        load_model(tmp_path / "x.safetensors")
    path, read = make("exported description", tmp_path / "export")
    (path.parent / LIST).unlink()
    with pytest.raises(NotWhole, match=rf"model\.json is named in no {LIST} beside it: an earlier version"):
        read()


@pytest.mark.parametrize("name", ["a list", "a header", "a footer", "a description"])
def test_what_says_that_it_is_huge_is_not_read_into_memory(tmp_path, name):
    (tmp_path / "x").write_bytes((2**34).to_bytes(8, "little"))
    file = {"a list": LIST, "a header": "x.safetensors", "a footer": "x.parquet", "a description": "x.json"}
    path = (tmp_path / "x").rename(tmp_path / file[name])
    with path.open("r+b") as opened:
        os.truncate(opened.fileno(), 2**35)  # holes
        opened.seek(-8, os.SEEK_END)
        opened.write(struct.pack("<I4s", 2**32 - 1, b"PAR1"))
    limits = resource.getrlimit(resource.RLIMIT_AS)
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + 2**30, limits[1]))
    try:
        (verdict,) = verify([tmp_path])
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
    assert "is damaged" in verdict.fault


def test_a_pipe_is_nothing_to_verify(tmp_path):
    os.mkfifo(tmp_path / "x.json")
    with pytest.raises(UserError, match="is a pipe or a device"):
        list(verify([tmp_path / "x.json"]))


def test_equal_content_is_equal_bytes_and_other_programs_read_it(tmp_path):
    for kind in ("manifest", "folds", "shard", "predictions", "model", "checkpoint", "settings"):
        (tmp_path / kind / "one").mkdir(parents=True)
        (tmp_path / kind / "two").mkdir()
        one, two = (make(kind, tmp_path / kind / place)[0] for place in ("one", "two"))
        assert one.read_bytes() == two.read_bytes(), kind
        assert BLANK.encode() not in one.read_bytes()
    assert pd.read_parquet(tmp_path / "folds/one/folds.parquet")["role"].tolist() == [
        "train", "train", "validation", "test",
    ]  # fmt: skip


def test_what_holds_the_mark_of_a_seal_cannot_be_sealed(tmp_path):
    with pytest.raises(UserError, match="cannot be sealed"):
        write_json(tmp_path / "x.json", {"text": BLANK})
    assert list(tmp_path.iterdir()) == []


def test_verify_names_what_is_not_whole(tmp_path):
    root = tmp_path / "project"
    (root / "data/tiny/corpus").mkdir(parents=True)
    (root / "metrics/tiny/linear").mkdir(parents=True)
    (root / "params.yaml").write_text("dataset: tiny\n")
    for place, kind in itertools.product([root / "data/tiny"], ("manifest", "folds", "predictions", "model")):
        make(kind, place)
    (root / "data/tiny/corpus/own.json").write_text("{}")  # the corpus' own
    write_json(root / "data/tiny/corpus/inventory.json", {"files": 1})
    scores = root / "metrics/tiny/linear.json"
    scores.write_text("{}")
    write_list(root / f"metrics/tiny/linear/{LIST}.evaluate", [scores])
    collected = root / "metrics/tiny/sensitivity.csv"
    collected.write_text(",".join(COLUMNS) + "\n")  # nothing in it that a bit could change
    weights = root / "data/tiny/best.safetensors"  # whose digest stands beside them, as that of Denseface's
    weights.write_bytes(b"numbers")
    write_list(root / "data/tiny/best.safetensors.sha256", [weights])
    assert [verdict.fault for verdict in verify([root])] == [""] * 7
    weights.write_bytes(b"Numbers")
    scores.write_text("{} ")
    collected.write_text(",".join(COLUMNS) + "\nk0,1,0.1,10,UAR,svt,0.5,0.4,0.6\n")
    damaged = root / "data/tiny/folds.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-20])
    wrong = [verdict for verdict in verify([root]) if verdict.fault]
    assert {verdict.path.name for verdict in wrong} == {
        "best.safetensors", "folds.parquet", "linear.json", "sensitivity.csv",
    }  # fmt: skip
    scores.unlink()
    assert "linear.json is not there" in " ".join(verdict.fault for verdict in verify([root]))
    with pytest.raises(UserError, match="does not exist"):
        list(verify([tmp_path / "nowhere"]))


def test_what_comes_with_cmarr_is_whole():
    for folder in SHIPPED.iterdir():
        found = list(verify([folder]))
        assert len(found) == 8
        assert not [verdict for verdict in found if verdict.fault]


@pytest.mark.parametrize(
    ("path", "command"),
    [
        ("data/demo/folds.parquet", "dvc repro -f -s split"),
        ("data/demo/features/text/part-00000.parquet", "dvc repro -f -s extract@text"),
        ("metrics/demo/cmarr/curves.csv", "dvc repro -f -s train@cmarr"),
        ("metrics/demo/cmarr.json", "dvc repro -f -s evaluate@cmarr"),
        ("metrics/demo/report/tables/results.csv", "dvc repro -f -s report"),
        ("data/ravdess/manifest.parquet", "dvc exp run -S dataset=ravdess -f -s prepare"),
        (".cmarr/unfinished/train-demo/x.state", "rm '.cmarr/unfinished/train-demo/x.state'"),
        ("data/demo/notes.txt", None),
        ("/tmp/elsewhere", None),
    ],
)
def test_the_command_that_makes_a_file_again_is_read_from_the_pipeline(path, command):
    root = Path(__file__).parents[1]
    assert makes.command(root / path, root) == command


def test_the_command_line_names_what_is_damaged(tmp_path):
    make("exported weights", tmp_path)
    done = CliRunner().invoke(app, ["verify", str(tmp_path / "out")])
    assert done.exit_code == 0 and done.output == "3 files whole, 0 not\n"
    with (tmp_path / "out/fold1-seed0.safetensors").open("r+b") as opened:
        opened.write(b"x")
    done = CliRunner().invoke(app, ["verify", str(tmp_path / "out")])
    assert done.exit_code == 1
    assert (
        "fold1-seed0.safetensors is damaged: it does not hold what was written; make it again" in done.output
    )
    assert CliRunner().invoke(app, ["verify", str(tmp_path / "nowhere")]).exit_code == 2
