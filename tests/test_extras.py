"""cmarr without its extras: features are trained on and predicted from, and the rest says what it needs."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from cmarr.extras import EXTRAS, NotInstalled, extra

ROOT = Path(__file__).parents[1]
FILES = sorted([*(ROOT / "cmarr").rglob("*.py"), *(ROOT / "stages").glob("*.py")])
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

SERVER = "cmarr/serving/"
"""`cmarr serve` requires the extra `serve` before it imports what lies here."""

GUARDED = {
    "cmarr/serving/pyfunc_model.py": "MLflow runs it",
    "cmarr/serving/register.py": "stages/track.py requires the extra `study` before",
    "cmarr/tracking/mirror.py": "its client is made before anything is logged",
    "cmarr/tracking/store.py": "what may fail is asked for before",
    "cmarr/execution/ray.py": "`connected` comes first",
    "cmarr/encoders/pretrained.py": "its networks are loaded by `_transformers`",
    "cmarr/media/egemaps.py": "the encoder looks for the package",
}
"""Files with further imports of what an extra brings, and why no one gets to them without it."""

WITHOUT = """
import os, sys
from importlib.machinery import PathFinder
away = set(os.environ["AWAY"].split())
class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in away else super().find_spec(name, path, target)
sys.meta_path[sys.meta_path.index(PathFinder)] = Without
"""

ASKED = r"""
import importlib, json, pkgutil, sys, warnings
from pathlib import Path
import numpy as np
import typer.testing
import cmarr
from cmarr.cli import app
from cmarr import objects
from cmarr.errors import UserError

here, told = Path.cwd(), {}

def ask(name, function):
    try:
        told[name] = repr(function())
    except UserError as error:
        told[name] = str(error)
    except BaseException as error:
        told[name] = f"{type(error).__name__}: {error}"

def command(*words):
    done = typer.testing.CliRunner().invoke(app, words)
    return f"{done.exit_code} {done.stderr.strip()}" if not done.exception or done.exit_code else done.exception

failed = {}
for module in pkgutil.walk_packages(cmarr.__path__, "cmarr."):
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as error:
        failed[module.name] = f"{type(error).__name__} {error}"

from cmarr.corpora.captions import read_captions
import torch
from cmarr.encoders.face_network import Denseface
from cmarr.encoders.pretrained import load_checkpoint
from cmarr.encoders.registry import build_encoder
from cmarr.execution.ray import Cluster, connected
from cmarr.tracking.mirror import track
from cmarr.tracking.results import Results

(here / "a.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nhello\n")
(here / "clip.wav").write_bytes(b"RIFF")
folder = str(here / "clip.wav")
ask("media: logmel", lambda: build_encoder("logmel"))
ask("media: hog", lambda: build_encoder("hog"))
ask("media: captions", lambda: read_captions(here / "a.srt"))
ask("media: predict", lambda: command("predict", folder))
ask("encoders: network", lambda: load_checkpoint("bert", str(here), "", families=(), preparation="tokenizer"))
ask("encoders: minilm", lambda: build_encoder("minilm"))
ask("encoders: hub", lambda: cmarr.Recognizer.from_pretrained("somebody/model"))
ask("study: registry", lambda: cmarr.Recognizer.from_pretrained("models:/emotion/1"))
ask("study: mirror", lambda: track(Results("demo", "late", {}, [], {}), root=here))
ask("serve: command", lambda: command("serve", "--port", "0"))
ask("cluster: ray", lambda: connected(Cluster("local", "auto", "auto", 0, here)))
ask("objects: store", lambda: objects.read("s3://bucket/model.json"))
ask("opensmile: egemaps", lambda: build_encoder("egemaps"))

draw = np.random.default_rng(0)
speech = draw.normal(size=(60, 4)) + np.arange(60)[:, None] % 2 * 4
corpus = cmarr.Corpus.from_arrays(
    labels=["ab"[i % 2] for i in range(60)], speech=speech, text=speech[:, :2],
    speakers=[f"s{i // 2 % 10}" for i in range(60)], folder=here / "study",
)
model = cmarr.train(corpus)
scores = cmarr.evaluate(model).scores
told["face"] = str(Denseface()(torch.zeros(1, 1, 64, 64))[0].shape)
told["scores"] = float(scores.query("metric == 'UAR' and condition == 's'")["mean"].item())
told["predicted"] = model.predict(features={"speech": speech[1]}).winner
print(json.dumps({"failed": failed, "told": told}))
"""


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """What a Python in which no extra is installed comes to."""
    folder = tmp_path_factory.mktemp("bare")
    (folder / "sitecustomize.py").write_text(WITHOUT)
    away = [*(package for packages in EXTRAS.values() for package in packages), "torchaudio", "torchvision"]
    environment = os.environ | {
        "AWAY": " ".join(away),
        "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", ASKED],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_features_are_trained_on_and_predicted_from(bare):
    assert bare["told"]["scores"] > 0.9 and bare["told"]["predicted"] == "b"


def test_whoever_needs_an_extra_says_so_in_one_sentence(bare):
    asked = {name: told for name, told in bare["told"].items() if ": " in name}
    assert {name.partition(":")[0] for name in asked} == set(EXTRAS)
    for name, told in asked.items():
        assert f"pip install 'cmarr[{name.partition(':')[0]}]'" in told, (name, told)
        assert "Error" not in told and "\n" not in told, (name, told)


def test_what_cannot_be_imported_without_an_extra_names_it(bare):
    plain = {name: told for name, told in bare["failed"].items() if not name.startswith("cmarr.serving.")}
    assert all(
        re.match(r"NotInstalled \w+ is not installed; pip install", told) for told in plain.values()
    ), plain
    lower = ("cmarr.media.", "cmarr.damage.", "cmarr.corpora.demo.", "cmarr.doctor.fairness")
    assert all(name.startswith(lower) for name in plain), plain


def guarded(tree: ast.AST) -> set[ast.AST]:
    """Import statements in a `with extra(...)`, or that only a type checker sees."""
    blocks = [
        node
        for node in ast.walk(tree)
        if (isinstance(node, ast.With) and "extra(" in ast.unparse(node.items[0]))
        or (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    ]
    return {inner for block in blocks for inner in ast.walk(block)}


def imported(path: Path):
    """(package, whether it is guarded) of each import statement."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    safe = guarded(tree)
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
        yield from ((name.partition(".")[0], node in safe) for name in names)


def test_every_import_of_an_extra_is_guarded():
    packages = {package for several in EXTRAS.values() for package in several}
    bare = {
        str(path.relative_to(ROOT))
        for path in FILES
        for package, safe in imported(path)
        if package in packages and not safe
        if not (str(path.relative_to(ROOT)).startswith(SERVER) and package in EXTRAS["serve"])
    }
    assert bare == set(GUARDED)


def requirements(several: list[str]) -> set[str]:
    return {re.split(r"[\[<>=~! ]", one)[0].lower().replace("_", "-") for one in several}


def test_the_extras_are_those_of_the_package_and_the_core_has_all_else():
    optional = {name: requirements(of) for name, of in PROJECT["optional-dependencies"].items()}
    distributions = packages_distributions()
    brought = {"dvc_data", "alembic", "sqlalchemy", "huggingface_hub", "tokenizers", "h11"}
    """Dependencies of what is named; and one whose package several distributions share."""
    for name, packages in EXTRAS.items():
        known = {package: distributions.get(package, []) for package in packages if package not in brought}
        missing = {
            p: d
            for p, d in known.items()
            if d and not {x.lower().replace("_", "-") for x in d} & optional[name]
        }
        assert not missing, name
    extras = {package for several in EXTRAS.values() for package in several}
    core = requirements(PROJECT["dependencies"])
    foreign = {
        package: distributions[package]
        for path in FILES
        for package, _ in imported(path)
        if package in distributions and package not in extras
    }
    unnamed = {
        package: names
        for package, names in foreign.items()
        if not {name.lower().replace("_", "-") for name in names} & core
        and package not in ("cmarr", "stages", "markupsafe", "pydantic_core")
    }
    assert not unnamed


def test_nothing_imports_what_needs_a_torch_for_gpus():
    """As their wheels from the usual index do."""
    folders = ("cmarr", "stages", "denseface", "starter", "benchmarks", "notebooks")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert not [
        path for path in files for package, _ in imported(path) if package in ("torchaudio", "torchvision")
    ]


def test_another_package_that_is_missing_is_no_matter_of_an_extra():
    with pytest.raises(ModuleNotFoundError, match="nonesuch") as raised, extra("media"):
        import nonesuch  # noqa: F401
    assert not isinstance(raised.value, NotInstalled)
