"""Every command of README and docs is run by a test; one that is not says why, and is parsed by the tool itself."""

import os
import re
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cmarr.cli import app
from cmarr.settings.load import load_settings
from cmarr.settings.resolve import resolve

sys.path.append(str(Path(__file__).parent))
from documented import PAGES, ROOT, lines

RUN_BY = {
    r"cmarr (export|predict|serve) ": "tests/recognition/test_documented_commands.py",
    r"cmarr serve$": "tests/recognition/test_page.py",
    r"curl .*/predict ": "tests/recognition/test_service.py",
    r"(curl|printf) .*/invocations": "tests/recognition/test_server.py",
    r"(SERVING_MODEL_CONFIG=.* )?mlflow models serve ": "tests/recognition/test_mlflow_serve.py",
    r"cmarr compare ": "tests/pipeline/test_compare.py",
    r"dvc exp run (-n half )?-S beta=0\.5": "tests/pipeline/test_experiments.py",
    r"cmarr verify": "tests/pipeline/test_pipeline.py",
    r"cmarr doctor ": "tests/test_documented_commands.py",
    r"dvc exp (save -n|apply) first": "tests/pipeline/test_compare.py",
    r"dvc (repro settings|commit -f)": "tests/pipeline/test_code_of_stages.py",
    r"dvc queue start": "tests/pipeline/test_experiments.py",
    r"dvc (remote|push|pull|repro$|exp (push|pull|apply half))": "tests/pipeline/test_experiments.py",
    r"git (push|pull|add|commit)": "tests/pipeline/test_experiments.py",
    r"CMARR_PLUGINS=.* python -m pytest .*-k average": "tests/training/test_add_a_method.py",
}
"""Beginning of a command -> the test that runs it, or the same on other files."""

NOT_RUN = {
    r"make (demo|test)$": "makes an environment of 6 GB; the gate runs them",
    r"make ui$": "does not end",
    r"make cluster$": "adds Ray to the environment; the gate runs it, for `make test` depends on it",
    r"pip install ": "needs an index; tests/test_install.py holds that the extras exist",
    r"docker (build|run) ": "needs Docker's daemon; tests/test_install.py reads the Dockerfile",
    r"ray (start|status|stop|get-auth-token)": "acts on a whole machine; tests/test_cluster.py starts nodes in "
    "Ray's own way, tests/test_docs.py has Ray parse the words",
    r"export RAY_AUTH_MODE=": "of the shell that the user types in",
    r"(sbatch|squeue) ": "needs SLURM; tests/test_docs.py checks the script",
    r"dvc (config|cache dir) ": "depends on the disks of the reader; parsed here",
    r"dvc (exp show|queue status|queue logs)": "shows what is there; parsed here",
    r"make (denseface|card)$": "needs FER+ and days, or a GPU",
    r"dvc exp run .*dataset=(iemocap|ravdess)": "a corpus that must be asked for, or fetched",
    r"dvc exp run .*preset=paper": "pretrained networks, and hours",
    r"dvc exp run ": "minutes to hours of training; its settings are resolved here",
    r"python -m benchmarks\.controls$": "trains every method; tests/corpora/test_controls.py runs its parts",
    r"python -m benchmarks\.claim ": "hours; tests/benchmarks/test_claim.py runs its parts",
    r"\. \.venv/bin/activate$": "of the shell that the user types in",
    r"export (MLFLOW_TRACKING_URI|AWS_ENDPOINT_URL)=": "of the shell that the user types in",
}
"""Beginning of a command -> why no test runs it."""

EVERY = sorted({re.sub(r"\s+#.*", "", line) for page in PAGES for line in lines(page)})
TRAINED = [line for line in EVERY if line.startswith("dvc exp run")]


@pytest.mark.parametrize("line", EVERY)
def test_a_command_is_run_or_says_why_not(line):
    """The first pattern that fits counts."""
    found = next((where for pattern, where in {**RUN_BY, **NOT_RUN}.items() if re.match(pattern, line)), None)
    assert found is not None, "no test runs it; write one, or say here why there is none"
    if found.startswith("tests/"):
        assert (ROOT / found).is_file()


@pytest.mark.parametrize("pattern", [*RUN_BY, *NOT_RUN])
def test_nothing_is_excused_that_is_not_there(pattern):
    assert any(re.match(pattern, line) for line in EVERY)


@pytest.mark.parametrize("line", TRAINED)
def test_the_settings_of_an_experiment_resolve(line, tmp_path):
    """DVC's own overrides, and what the settings stage makes of them."""
    given = [override for word, override in pairwise(shlex.split(line)) if word == "-S"]
    assert given
    if "plugins=[../mine/" in line:  # the file that the page has its reader write
        pytest.skip("the page adds it; tests/training/test_add_a_method.py and tests/test_guides.py do")
    path = tmp_path / "params.yaml"
    path.write_bytes((ROOT / "params.yaml").read_bytes())
    from dvc.utils.hydra import apply_overrides

    apply_overrides(path, given)
    files = resolve(load_settings(path, ROOT / "presets"))
    assert set(files["report"]["methods"]) <= set(files)


def test_what_is_trained_on_complete_data_alone_never_meets_a_missing_modality(tmp_path):
    """The command that docs/protocols.md gives for MissMAC-Bench."""
    from dvc.utils.hydra import apply_overrides

    (line,) = [line for line in lines(ROOT / "docs/protocols.md") if line.endswith("# MissMAC-Bench")]
    path = tmp_path / "params.yaml"
    path.write_bytes((ROOT / "params.yaml").read_bytes())
    words = shlex.split(line, comments=True)
    apply_overrides(path, [override for word, override in pairwise(words) if word == "-S"])
    files = resolve(load_settings(path, ROOT / "presets"))
    trained = [files[name]["train"] for name in files["report"]["methods"]]
    assert len(trained) == 3 and all(own["holes"] == 0 for own in trained)
    for own in trained:
        assert tuple(own["mask_conditions"]) == ("svt",) and own["selection"] == "complete"


@pytest.mark.parametrize("line", [line for line in EVERY if line.startswith("dvc ")])
def test_dvc_parses_it(line):
    from dvc.cli import parse_args

    assert parse_args(shlex.split(line)[1:]).func


@pytest.mark.parametrize("line", [line for line in EVERY if line.startswith("make ")])
def test_make_knows_it(line):
    environment = {k: v for k, v in os.environ.items() if k != "MAKEFLAGS"}
    done = subprocess.run(
        ["make", "-n", *shlex.split(line)[1:]],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("line", [line for line in EVERY if " mlflow " in f" {line}"])
def test_mlflow_parses_it(line):
    from mlflow.models.cli import serve

    words = shlex.split(line)
    with serve.make_context("serve", words[words.index("serve") + 1 :]) as context:
        assert context.params["model_uri"] == "models:/cmarr-demo/1"
        assert context.params["env_manager"] == "local" and context.params["host"] == "127.0.0.1"


@pytest.mark.parametrize("line", [line for line in EVERY if line.startswith("cmarr doctor")])
def test_the_doctor_looks_or_says_what_is_missing(line, monkeypatch):
    monkeypatch.chdir(ROOT)
    done = CliRunner().invoke(app, shlex.split(line)[1:])
    assert done.exit_code in (0, 1) and done.output and "Traceback" not in done.output
    assert done.exception is None or isinstance(done.exception, SystemExit)
