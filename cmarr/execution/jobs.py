"""The one way to run units of work: here, or on a cluster if there is one."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from cmarr.errors import UserError
from cmarr.execution import ray
from cmarr.execution.local import Tick, run_locally
from cmarr.execution.ray import Cluster

J = TypeVar("J")
R = TypeVar("R")


def run_jobs(
    function: Callable[[J, Tick], R],
    jobs: Sequence[J],
    *,
    workers: int,
    threads: int,
    label: str,
    unit: str,
    units_per_job: int,
    device: str = "cpu",
    cluster: Cluster | None = None,
) -> list[R]:
    """Run `function(job, tick)` for every job, results in the order of the jobs.

    Each job has `threads` CPU threads. Without a `cluster`, this process is one of the workers and takes
    jobs from the end; the others are processes that take them from the beginning, and die with this one, also
    when that is killed. On a cluster, where `device` says whether jobs need a GPU, the number of workers is the
    cluster's affair. `function` calls `tick()` after every unit of progress. Neither the place nor the number of
    workers ever changes a result.

    Raises:
        UserError: raised by a job (those not yet begun are cancelled), or a process that died.
    """
    told: dict[str, Any] = {"label": label, "unit": unit, "units_per_job": units_per_job}
    if cluster is None:
        return run_locally(function, jobs, workers=workers, threads=threads, **told)
    return list(ray.cluster_results(function, jobs, cluster=cluster, threads=threads, device=device, **told))


def device_of(setting: str, cluster: Cluster | None) -> str:
    """Where the tensors of units live that run here, or on the nodes of a cluster.

    Raises UserError for a device that is not there, or, on a cluster, for one by number: Ray deals them out.
    """
    if cluster is None:
        from cmarr.device import choose_device  # torch takes seconds to import, also where the ledger is kept

        return choose_device(setting)
    if setting.startswith("cuda:"):
        raise UserError(f"device: {setting!r} names one GPU, but Ray deals them out; write device: cuda")
    if setting != "auto":
        return setting
    return "cuda" if ray.connected(cluster).cluster_resources().get("GPU") else "cpu"
