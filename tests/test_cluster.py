"""Units of work on a Ray cluster of two nodes: the bytes of a local run, whatever dies on the way."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile

import cmarr.execution.ray
from cmarr.code_digest import package_digest
from cmarr.encoders.logmel import LogMel
from cmarr.encoders.registry import build_encoder
from cmarr.errors import UserError
from cmarr.execution.jobs import device_of, run_jobs
from cmarr.execution.ray import Cluster
from cmarr.features.extract import ShardJob, extract, make_shard, on_cluster
from cmarr.seals import write_json
from cmarr.training import trainings
from cmarr.training.job import run_job
from cmarr.utterance import Utterance
from stages import evaluate, pretrain, train
from tests.training.conftest import MACHINE, TRAIN, make_corpus


def needs_ray(test):
    absent = find_spec("ray") is None
    slow = [pytest.mark.slow, pytest.mark.timeout(2400)]  # starting Ray takes its time beside other work
    for mark in [*slow, pytest.mark.skipif(absent, reason="Ray is an extra: make cluster")]:
        test = mark(test)
    return test


OPTIONS = {"workers": 1, "threads": 1, "label": "test", "unit": "step", "units_per_job": 1}
RAY = {"address": "auto", "cpus": "auto", "gpus": "auto", "retries": 2}


@pytest.fixture(scope="module")
def nodes():
    """A head of one core and a second node of two."""
    patch = pytest.MonkeyPatch()
    patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    import ray
    from ray.cluster_utils import Cluster as Nodes

    config = {
        # A dead node is noticed in seconds. One that lives and is slow to answer is given its time.
        "health_check_period_ms": 500,
        "health_check_failure_threshold": 3,
        "health_check_initial_delay_ms": 0,
        "health_check_timeout_ms": 120_000,
        "worker_register_timeout_seconds": 240,
        "idle_worker_killing_time_threshold_ms": 600_000,  # one test after the other finds them
        # Whatever else runs on this machine, no unit is ended for want of memory or disk.
        "memory_monitor_refresh_ms": 0,
        "local_fs_capacity_threshold": 1.0,
    }
    head = {**NODE, "include_dashboard": False, "_system_config": config}
    nodes = Nodes(initialize_head=True, head_node_args=head)
    nodes.add_node(**NODE | {"num_cpus": 2})
    ray.init(nodes.address, log_to_driver=False)  # from here, so that workers import what lies here
    yield nodes
    ray.shutdown()
    nodes.shutdown()
    patch.undo()


NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
PATIENCE = 240.0
"""Seconds that bound a hang, and nothing else."""


@pytest.fixture
def cluster(nodes, tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    return Cluster(**RAY | {"address": nodes.address}, shared=shared)


def surroundings(job, tick):
    import torch

    tick()
    return job, torch.get_num_threads(), Path.cwd()


@needs_ray
def test_results_come_in_order_with_the_threads_and_the_folder_of_a_local_run(cluster):
    claim_one = replace(cluster, cpus=1.0)
    found = run_jobs(surroundings, [3, 1, 2], **OPTIONS | {"threads": 2}, cluster=claim_one)
    assert found == [(3, 2, Path.cwd()), (1, 2, Path.cwd()), (2, 2, Path.cwd())]
    assert not list(cluster.shared.iterdir())


class SlowCounter(cmarr.execution.ray._Counter):
    def begin(self, index):
        time.sleep(1)  # another worker could begin meanwhile
        super().begin(index)


def alone(place, tick):
    (place / "busy").mkdir()  # there while another is at it: an error
    time.sleep(3)
    (place / "busy").rmdir()


@needs_ray
def test_no_more_units_run_at_once_than_have_room_however_late_a_beginning_is_noted(
    cluster, tmp_path, monkeypatch
):
    monkeypatch.setattr(cmarr.execution.ray, "_Counter", SlowCounter)
    assert run_jobs(alone, [tmp_path] * 2, **OPTIONS, cluster=replace(cluster, cpus=2.0)) == [None] * 2


def refuse(job, tick):
    if job == 1:
        raise UserError("job 1 cannot be done")
    return job


@needs_ray
def test_a_jobs_error_reaches_the_user_in_its_own_words(cluster):
    with pytest.raises(UserError, match=r"^job 1 cannot be done$"):
        run_jobs(refuse, [0, 1, 2], **OPTIONS, cluster=cluster)


def wait(job, tick):
    (job / str(os.getpid())).touch()
    time.sleep(600)


@needs_ray
def test_an_interrupt_ends_the_units(cluster, tmp_path, monkeypatch):
    def interrupted(*arguments, **options):
        if list(tmp_path.glob("[0-9]*")):
            monkeypatch.undo()  # once: what is interrupted has to be tidied up
            raise KeyboardInterrupt
        return real(*arguments, **options)

    import ray

    real = ray.wait
    monkeypatch.setattr(ray, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_jobs(wait, [tmp_path] * 5, **OPTIONS, cluster=cluster)
    begun = [int(path.name) for path in tmp_path.glob("[0-9]*")]
    deadline = time.monotonic() + PATIENCE
    while any(Path(f"/proc/{pid}").exists() for pid in begun) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in begun if Path(f"/proc/{pid}").exists()]
    assert len(begun) < 5


def outcome(root: Path) -> dict[str, bytes]:
    """Everything a study of the tiny corpus leaves but how long it took."""
    found = [p for top in ("data", "metrics") for p in sorted((root / top).rglob("*")) if p.is_file()]
    timed = ("cost.json", "pretrain.json", "run.json")
    return {str(p.relative_to(root)): p.read_bytes() for p in found if p.name not in timed}


def study(root: Path, **machine) -> dict[str, bytes]:
    """A first stage, two trials, two seeds, and the evaluation of each model; the threads are the same everywhere."""
    corpus, both = make_corpus(root), {"seeds": [0, 1]}
    write_json(root / "data/tiny/settings/run.json", MACHINE | machine)
    corpus.settings("mmin", {"d": 8, "dropout": 0.3}, file="pretrain/mmin", first_stage=True, **both)
    trials = [{}, {"train": {"lr": 1e-2}}]
    corpus.settings("mmin", {"d": 8, "blocks": 2}, starts_from="mmin", trials=trials, **both)
    pretrain.main("tiny", "mmin")
    train.main("tiny", "mmin")
    evaluate.main("tiny", "mmin")
    return outcome(root)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A new folder to work in, as often as it is called."""
    monkeypatch.delenv("DVC_ROOT", raising=False)

    def enter(name: str) -> Path:
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        return tmp_path / name

    return enter


@needs_ray
def test_a_study_comes_out_to_the_byte_as_in_local_processes(nodes, project, monkeypatch):
    here = study(project("here"), executor="local")
    for own in ("cmarr.evaluation.units._answers", "cmarr.training.job._selected"):  # nodes import their own
        monkeypatch.setattr(own, lambda *_: pytest.fail("a unit of work has run here"))
    there = study(project("there"), executor="ray", ray=RAY | {"address": nodes.address})
    assert here.keys() == there.keys()
    assert [name for name in here if here[name] != there[name]] == []
    assert len([name for name in here if name.endswith(".safetensors")]) == 4 + 4
    assert len([name for name in here if "/predictions/" in name]) == 4


def clips(folder: Path) -> list[Utterance]:
    rng = np.random.default_rng(0)
    found = []
    for i in range(6):
        soundfile.write(folder / f"{i}.wav", 0.1 * rng.standard_normal(4000 + 800 * i), 16_000)
        found.append(Utterance(f"{i}", audio=str(folder / f"{i}.wav")))
    (folder / "2.wav").write_bytes(b"no sound")
    return found


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@needs_ray
def test_shards_come_out_to_the_byte_as_in_local_processes(cluster, tmp_path):
    options = {"shard_size": 2, "max_rejected": 0.2}
    utterances, encoder = clips(tmp_path), LogMel(LogMel.Settings(), workers=1)
    here = extract(utterances, encoder, tmp_path / "here", **options)
    elsewhere = on_cluster(partial(build_encoder, "logmel", workers=1), cluster)
    work = tmp_path / "work"
    work.mkdir()
    there = extract(utterances, encoder, tmp_path / "there", **options, resume=work, make=elsewhere)
    assert there == here and len(there.rejected) == 1
    assert files(tmp_path / "there") == files(tmp_path / "here")

    (tmp_path / "there/part-00001.parquet").unlink()  # made again, alone
    again = extract(utterances, encoder, tmp_path / "there", **options, resume=work, make=elsewhere)
    assert (again.shards, again.reused) == (3, 2)
    assert files(tmp_path / "there") == files(tmp_path / "here")


@needs_ray
def test_too_many_failures_stop_extraction_with_the_same_words(cluster, tmp_path):
    utterances, encoder = clips(tmp_path), LogMel(LogMel.Settings(), workers=1)
    told = []
    for make in (None, on_cluster(partial(build_encoder, "logmel", workers=1), cluster)):
        with pytest.raises(UserError) as caught:
            extract(utterances, encoder, tmp_path / "out", shard_size=2, max_rejected=0.1, make=make)
        told.append(str(caught.value))
        assert not (tmp_path / "out/part-00001.parquet").exists()  # tried again next time
    assert told[0] == told[1]


LISTENING = """
import json, sys
from pathlib import Path
from cmarr.execution.ray import connected
from cmarr.execution.ray import Cluster

ray = connected(Cluster("local", "auto", "auto", 0, Path(sys.argv[1])))
ray.get(ray.remote(lambda: None).remote())  # a worker is there, too
from ray.thirdparty_files import psutil

found = []
for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
    try:
        heard = [c.laddr.ip for c in process.net_connections() if c.status == "LISTEN"]
        found.append((process.name(), heard))
    except psutil.NoSuchProcess:  # Ray's own come and go
        pass
print(json.dumps(found))
"""


@needs_ray
def test_a_cluster_of_this_machine_alone_hears_nobody_else(tmp_path):
    """In a process of its own: Ray settles when it is imported where it listens."""
    run = subprocess.run(
        [sys.executable, "-c", LISTENING, str(tmp_path)], capture_output=True, text=True, check=True
    )
    found = json.loads(run.stdout)
    assert {"gcs_server", "raylet"} <= {name for name, heard in found if heard}
    assert {address for _, heard in found for address in heard} <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}


@needs_ray
def test_what_no_node_has_is_refused_at_once(cluster):
    with pytest.raises(
        UserError, match=r"a unit claims 3 CPU, which no node of the cluster has \(. CPU, 0 GPU; . CPU"
    ):
        run_jobs(refuse, [0], **OPTIONS, cluster=replace(cluster, cpus=3.0))
    with pytest.raises(UserError, match=r"a unit claims 1 CPU and 0.5 GPU, which no node"):
        run_jobs(refuse, [0], **OPTIONS, cluster=replace(cluster, gpus=0.5), device="cuda")
    assert device_of("auto", cluster) == "cpu"  # no node has a GPU


def hurt_once(marks: Path, hurt, job, tick):
    """A training of which every epoch is noted, and that is hurt after two of them the first time it is tried."""
    epochs = []

    def noted():
        epochs.append(1)
        with (marks / "epochs").open("a") as opened:
            opened.write(f"{os.getpid()}\n")
        tick()
        if len(epochs) == 2:
            with contextlib.suppress(FileExistsError):  # another was first: only one is hurt
                (marks / "hurt").touch(exist_ok=False)
                hurt()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cmarr.training.loop.SAVE_EVERY", 0.0)
        return run_job(job, noted)


def kill_worker():
    os.kill(os.getpid(), signal.SIGKILL)


def kill_node():
    os.kill(int(os.environ["RAY_RAYLET_PID"]), signal.SIGKILL)
    kill_worker()


@needs_ray
@pytest.mark.parametrize("hurt", [kill_worker, kill_node])
def test_a_training_goes_on_elsewhere_to_the_same_bytes(nodes, project, tmp_path, monkeypatch, capsys, hurt):
    def trained(name, **machine):
        corpus = make_corpus(project(name))
        write_json(corpus.root / "data/tiny/settings/run.json", MACHINE | machine)
        corpus.settings("cra", {"d": 8}, train=TRAIN | {"epochs": 6})
        train.main("tiny", "cra")
        return outcome(corpus.root)

    here = trained("here", executor="local")
    (marks := tmp_path / "marks").mkdir()
    monkeypatch.setattr(trainings, "run_job", partial(hurt_once, marks, hurt))
    if hurt is kill_node:
        # two have two cores now: one of them dies, the other takes over
        nodes.add_node(**NODE | {"num_cpus": 2})
    there = trained("there", executor="ray", ray=RAY | {"address": nodes.address, "cpus": 2})
    assert [name for name in here if here[name] != there.get(name)] == []
    assert "1 of 2 units were begun again: a worker or a node died" in capsys.readouterr().out
    epochs = (marks / "epochs").read_text().split()
    assert len(epochs) in (6 + 6, 6 + 7)  # it went on: at most its last epoch had not been saved yet
    assert len(set(epochs)) > 1


def test_a_gpu_by_number_is_refused(tmp_path):
    with pytest.raises(
        UserError, match=r"device: 'cuda:1' names one GPU, but Ray deals them out; write device: cuda"
    ):
        device_of("cuda:1", Cluster(**RAY, shared=tmp_path))


def test_without_ray_one_sentence_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(
        UserError, match=r"needs Ray, which is not installed: `make cluster` in the project, or pip"
    ):
        run_jobs(refuse, [0], **OPTIONS, cluster=Cluster(**RAY, shared=tmp_path))


def test_without_a_cluster_one_sentence_says_so(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(
            UserError, match=rf"nobody answers at {address} \(Connection refused\); is the head running"
        ):
            cmarr.execution.ray._reach(address)
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(UserError, match=f"nobody answers at {address}"):
            cmarr.execution.ray._reach("auto")


class TestANodeThatIsNotInTheSamePlace:
    def place(self, tmp_path, **changes):
        (tmp_path / "probe").write_text("word")
        here = {
            "folder": str(tmp_path),
            "probe": tmp_path / "probe",
            "word": "word",
            "code": package_digest(),
            "threads": 1,
        }
        return cmarr.execution.ray._Surroundings(**here | changes)

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"probe": Path("/nowhere/probe")}, r"does not see /nowhere/probe; the project must lie in a folder"),
            ({"folder": "/nowhere"}, r"does not see /nowhere; the project must lie in a folder that all nodes"),
            ({"word": "another"}, r"has a folder .* of its own; all nodes must share one"),
            ({"code": "another"}, r"runs other code of cmarr \(.*\) than the machine that sent the work"),
        ],
    )  # fmt: skip
    def test_it_says_which_and_what(self, tmp_path, monkeypatch, changes, words):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(UserError, match=f"^node {socket.gethostname()} {words}"):
            self.place(tmp_path, **changes).enter()

    def test_other_recordings_are_no_features(self, tmp_path):
        utterances = clips(tmp_path)
        job = ShardJob(
            partial(build_encoder, "logmel"), 0, utterances, {"modality": "s"}, str(tmp_path), "x", tmp_path
        )
        with pytest.raises(UserError, match=r"not the recordings that were asked for lie here"):
            make_shard(job, lambda: None)
