"""Units of work as tasks of a Ray cluster. Everything that knows Ray stands here."""

import contextlib
import os
import re
import secrets
import socket
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from tqdm import tqdm

from cmarr.code_digest import package_digest
from cmarr.errors import UserError
from cmarr.execution.local import Tick, set_threads
from cmarr.files import write_text
from cmarr.progress import progress_bar

J = TypeVar("J")
R = TypeVar("R")

REACH_SECONDS = 10.0
"""Time that the head of a cluster has to answer. Ray itself would go on trying for minutes."""

POLL_SECONDS = 0.5

ROOM_SECONDS = 60.0
"""Between two looks at whether any node that is left could take a unit."""


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster and what a unit of work claims of it; the section `ray` of params.yaml.

    address: `host:port` of its head; 'auto': the one named by RAY_ADDRESS, or that this machine is in;
        'local': one that is started on this machine and ends with this process
    cpus, gpus: claimed by a unit; 'auto': as many cores as it has threads, one GPU if it uses any
    retries: how often a unit is begun again whose worker or node died
    shared: an existing folder, absolute, that all nodes must see under the same path
    """

    address: str
    cpus: float | Literal["auto"]
    gpus: float | Literal["auto"]
    retries: int
    shared: Path


def cluster_results(
    function: Callable[[J, Tick], R],
    jobs: Sequence[J],
    *,
    cluster: Cluster,
    threads: int,
    label: str,
    unit: str,
    units_per_job: int,
    device: str = "cpu",
) -> Generator[R, None, None]:
    """Results of `function(job, tick)` in the order of the jobs, as soon as all before them are there.

    Every job is a task with `threads` CPU threads, in the folder of this process. A task whose worker or
    node died is begun again, `cluster.retries` times, on whatever node has room; it finds what it had saved.
    Closing the iterator ends the tasks that are left.

    Raises:
        UserError: raised by a job; Ray is not installed or not to be reached; no node has what a unit
            claims; a node does not see the files of this one, runs other code, or died too often.
    """
    ray = connected(cluster)
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    claims = _claims(cluster, threads, device)
    _check_room(ray, claims, label)
    with progress_bar(len(jobs) * units_per_job, label, unit) as bar, _probe(cluster.shared) as probe:
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        counter = ray.remote(_Counter).options(num_cpus=0, scheduling_strategy=here).remote()
        surroundings = _Surroundings(str(Path.cwd()), *probe, package_digest(), threads)
        task = ray.remote(_task).options(
            num_cpus=claims["CPU"],
            num_gpus=claims["GPU"],
            max_retries=cluster.retries,
            scheduling_strategy="SPREAD",
            name=label,
        )
        pending = [task.remote(function, job, index, surroundings, counter) for index, job in enumerate(jobs)]
        yield from _in_order(ray, pending, counter, claims, label, bar)


def _in_order(
    ray: Any, pending: list[Any], counter: Any, claims: Mapping[str, float], label: str, bar: Any
) -> Iterator[Any]:
    """What the tasks come to, in their order; whoever stops listening ends those that are left."""
    jobs, order = len(pending), {ref: index for index, ref in enumerate(pending)}
    ready: dict[int, Any] = {}
    given, room = 0, time.monotonic()
    try:
        while given < jobs:
            finished, pending = ray.wait(pending, num_returns=1, timeout=POLL_SECONDS)
            for ref in finished:
                result, sentence = _fetched(ray, ref, label)
                if sentence is not None:
                    raise UserError(sentence)
                ready[order[ref]] = result
            if time.monotonic() - room > ROOM_SECONDS:
                _check_room(ray, claims, label)  # nodes come and go
                room = time.monotonic()
            done, again = _fetched(ray, counter.counts.remote(), label)
            bar.update(max(0, min(done, bar.total) - bar.n))
            while given in ready:
                yield ready.pop(given)
                given += 1
        if again:
            tqdm.write(f"{label}: {again} of {jobs} units were begun again: a worker or a node died")
    finally:
        for ref in reversed(pending):  # what waits first, or it would begin where another has ended
            ray.cancel(ref, force=True)
        if pending:  # nothing may write any more when the caller goes on
            ray.wait(pending, num_returns=len(pending), timeout=REACH_SECONDS)
        ray.kill(counter)


class _Counter:
    """An actor beside this process that counts how often units were begun, and what they have done."""

    def __init__(self) -> None:
        self.begun: dict[int, int] = {}
        self.done = 0

    def begin(self, index: int) -> None:
        self.begun[index] = self.begun.get(index, 0) + 1

    def tick(self) -> None:
        self.done += 1

    def counts(self) -> tuple[int, int]:
        """Units of progress, and how many beginnings were not the first."""
        return self.done, sum(self.begun.values()) - len(self.begun)


@dataclass(frozen=True)
class _Surroundings:
    """What a task needs to be in the same place as the process that asks for it, whatever its node."""

    folder: str
    probe: Path
    word: str
    code: str
    threads: int

    def enter(self) -> None:
        """Go there. Raises UserError where this node sees other files or code."""
        node = f"node {socket.gethostname()}"
        try:
            seen = self.probe.read_text(encoding="utf-8")
            os.chdir(self.folder)
        except OSError as error:
            raise UserError(
                f"{node} does not see {error.filename}; the project must lie in a folder that all nodes of the "
                "cluster share, under the same path"
            ) from None
        if seen != self.word:
            raise UserError(f"{node} has a folder {self.probe.parent} of its own; all nodes must share one")
        if package_digest() != self.code:
            raise UserError(
                f"{node} runs other code of cmarr ({Path(__file__).parent}) than the machine that sent the work; "
                "start Ray there from the project's environment, and again after the code has changed"
            )
        set_threads(self.threads)  # Ray sets one of its own, and sums depend on it


def _task(
    function: Callable[[J, Tick], R], job: J, index: int, surroundings: _Surroundings, counter: Any
) -> tuple[R | None, str | None]:
    """One unit on a node: its result, or the sentence of its UserError."""
    # Waited for, or a worker that dies early would take the message with it. Not by ray.get: that lends the cores of
    # a task that waits to the next one, and then more run at once than their claims allow.
    counter.begin.remote(index).future().result()
    try:
        surroundings.enter()
        return function(job, counter.tick.remote), None
    except UserError as error:
        return None, str(error)


def _fetched(ray: Any, ref: Any, label: str) -> Any:
    try:
        return ray.get(ref)
    except ray.exceptions.RayError as error:
        if missing := re.search(r"ModuleNotFoundError: (.*)", str(error)):
            raise UserError(
                f"{label}: a node lacks a package ({missing[1]}); start Ray on every node from the project's "
                "environment, on a file system that all nodes share"
            ) from None
        if isinstance(error, ray.exceptions.RayTaskError):
            raise  # a defect of this product, with the traceback of the node
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{label}: a unit could not be finished on the cluster ({type(error).__name__}: {reason}); run again to go "
            "on where it stopped, with more cpus for a unit if memory is short"
        ) from None


def _claims(cluster: Cluster, threads: int, device: str) -> dict[str, float]:
    return {
        "CPU": float(threads if cluster.cpus == "auto" else cluster.cpus),
        "GPU": 0.0 if device == "cpu" else 1.0 if cluster.gpus == "auto" else float(cluster.gpus),
    }


def _check_room(ray: Any, claims: Mapping[str, float], label: str) -> None:
    """Refuse what no node could ever give: Ray would wait for such a node for ever, and say nothing."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(all(node.get(name, 0.0) >= much for name, much in claims.items()) for node in nodes):
        asked = " and ".join(f"{much:g} {name}" for name, much in claims.items() if much)
        there = "; ".join(", ".join(f"{node.get(name, 0.0):g} {name}" for name in claims) for node in nodes)
        raise UserError(
            f"{label}: a unit claims {asked}, which no node of the cluster has ({there}); lower ray.cpus or ray.gpus, "
            "set device, or start more nodes and run again"
        )


def most_cores(cluster: Cluster) -> float:
    """Cores of the node that has most."""
    nodes = [node["Resources"] for node in connected(cluster).nodes() if node["Alive"]]
    return max((node.get("CPU", 0.0) for node in nodes), default=1.0)


@contextlib.contextmanager
def _probe(shared: Path) -> Iterator[tuple[Path, str]]:
    """A file that only nodes see which share the folder, and the word in it."""
    word = secrets.token_hex(16)
    path = shared / f"seen-by-all-{word}"
    write_text(path, word)
    try:
        yield path, word
    finally:
        path.unlink(missing_ok=True)


def connected(cluster: Cluster) -> Any:
    """The module `ray`, connected. Raises UserError when it is not installed or nobody answers."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray's way to be: it hides all GPUs from a task that claims none. It says so at every start unless told to.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")
    if cluster.address == "local":  # whoever else is on this machine or its network has no word to say
        # Off, Ray takes 127.0.0.1 for its address on any system, and then all its servers listen there alone.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    try:
        import ray
    except ImportError:
        raise UserError(
            "executor: ray needs Ray, which is not installed: `make cluster` in the project, or "
            "pip install 'cmarr[cluster]'; or write executor: local"
        ) from None
    if ray.is_initialized():
        return ray
    options: dict[str, Any] = {"address": cluster.address, "log_to_driver": False, "logging_level": "ERROR"}
    if cluster.address == "local":
        options |= {"include_dashboard": False, "object_store_memory": 100 * 2**20}
    else:
        _reach(cluster.address)
    try:
        ray.init(**options)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"ray.address: {cluster.address!r}: no cluster to work on ({reason}); `ray status` shows whether one is "
            "running; or write executor: local"
        ) from None
    return ray


def _reach(address: str) -> None:
    found = os.environ.get("RAY_ADDRESS", "") if address == "auto" else address
    host, _, port = found.rpartition(":")
    if not host or not port.isdigit():  # Ray looks for the cluster of this machine
        return
    try:
        socket.create_connection((host, int(port)), REACH_SECONDS).close()
    except OSError as error:
        raise UserError(
            f"ray.address: nobody answers at {found} ({error.strerror or error}); is the head running there "
            "(`ray start --head`), and may this machine reach it?"
        ) from None
