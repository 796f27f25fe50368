"""Folds and seeds of one method side by side: several processes, or one with the weights of all stacked.

    python -m benchmarks.many_jobs                 the table, and benchmarks/results/many_jobs.json
    python -m benchmarks.many_jobs --device cuda   the same on a GPU

alone      the trainings one after the other, on one thread
processes  as many at once as there are cores, each on one thread: what a training stage does (`workers`)
stacked    one process on as many threads: `torch.func.vmap` over stacked weights, a batch a training
all rows   CM-ARR recovers in the rows that need it, which vmap cannot do: stacked, it has to work on all of them. The
           step of one model that does so, alone, on one thread

Stacking wants batches of the same shapes, so all utterances have the same lengths here; of a real corpus they would
have to be padded to the longest. Every figure is milliseconds an utterance and step (losses, gradients, Adam), over all
trainings. In the sizes of the preset `frozen`, batches of 64, features of the MMIN family's widths.
"""

import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.machine import machine, sentence
from benchmarks.records import command_line, keep, markdown
from benchmarks.sizes import FROZEN, SHAPES, build
from benchmarks.training import random_batch
from cmarr.data.batch import Batch
from cmarr.data.masks import draw_visible
from cmarr.methods.asking import training_losses

BATCH = 64
METHODS = {"masked": {"d": 64, "length": 16, "heads": 4}, "cmarr": FROZEN}
LONGEST = {m: frames for m, (frames, _) in SHAPES.items()}


class Loss(nn.Module):
    """A method's summed loss as a forward pass, which is what can be stacked."""

    def __init__(self, method: nn.Module, batch: Batch):
        super().__init__()
        self.method, self.lengths, self.available = method, batch.lengths, batch.available

    def forward(self, values: dict[str, Tensor], labels: Tensor, visible: Tensor) -> Tensor:
        batch = Batch(values, self.lengths, self.available, labels, LONGEST)
        # What is hidden stays where it is, unused: stacked trainings need one shape for all masks.
        seen = replace(batch, available=batch.available & visible)
        losses: dict[str, Tensor] = self.method.training_losses(seen, batch)  # type: ignore[operator]
        return torch.stack(list(losses.values())).sum()


def ready(name: str, device: str) -> tuple[nn.Module, Batch, Tensor]:
    """A method whose first step is over, a batch, and masks."""
    method, batch = build(name, METHODS[name]), random_batch(BATCH)
    visible = draw_visible(batch.available, torch.Generator().manual_seed(0))
    training_losses(method, batch, visible)
    values = {m: own.to(device) for m, own in batch.values.items()}
    lengths = {m: own.to(device) for m, own in batch.lengths.items()}
    moved = Batch(values, lengths, batch.available.to(device), batch.labels.to(device), LONGEST)
    return method.to(device), moved, visible.to(device)


def stepping(name: str, device: str) -> Callable[[], None]:
    """One step of one training."""
    method, batch, visible = ready(name, device)
    optimiser = torch.optim.Adam(method.parameters(), lr=1e-4, fused=True)
    loss = Loss(method, batch)

    def step() -> None:
        optimiser.zero_grad()
        loss(dict(batch.values), batch.labels, visible).backward()
        optimiser.step()

    return step


def everywhere(mask: Tensor, training: bool = True) -> Tensor:
    return torch.arange(len(mask), device=mask.device)


def stacked(name: str, jobs: int, device: str) -> Callable[[], None]:
    """One step of all trainings together."""
    method, batch, visible = ready(name, device)
    models = [Loss(method, batch) for _ in range(jobs)]
    parameters, buffers = stack_module_state(models)  # type: ignore[arg-type]
    optimiser = torch.optim.Adam(list(parameters.values()), lr=1e-4, fused=True)
    values = {m: own.expand(jobs, *own.shape).contiguous() for m, own in batch.values.items()}
    labels, seen = (own.expand(jobs, *own.shape).contiguous() for own in (batch.labels, visible))

    def one(parameters: Any, buffers: Any, values: Any, labels: Tensor, seen: Tensor) -> Tensor:
        return functional_call(models[0], (parameters, buffers), (values, labels, seen))

    every = torch.vmap(one, randomness="different")

    def step() -> None:
        optimiser.zero_grad()
        with sdpa_kernel(
            SDPBackend.MATH
        ):  # the fused attention of a CPU would be called training by training
            every(parameters, buffers, values, labels, seen).sum().backward()
        optimiser.step()

    return step


def timed(step: Callable[[], None], steps: int, device: str) -> float:
    """Seconds a step, the median."""
    times = []
    for _ in range(steps + 2):
        start = time.perf_counter()
        step()
        if device != "cpu":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:])


def _worker(name: str, steps: int, device: str, barrier: Any, answers: Any) -> None:
    torch.set_num_threads(1)
    step = stepping(name, device)
    step()
    barrier.wait()
    answers.put(timed(step, steps, device))


def processes(name: str, workers: int, steps: int, device: str) -> float:
    """Seconds a step of each of `workers` processes that run at once, the mean."""
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(workers), context.Queue()
    running = [
        context.Process(target=_worker, args=(name, steps, device, barrier, answers)) for _ in range(workers)
    ]
    for process in running:
        process.start()
    found = [answers.get() for _ in running]
    for process in running:
        process.join()
    return statistics.mean(found)


def measure(name: str, jobs: int, workers: int, steps: int, device: str) -> dict[str, float]:
    scale = 1000 / BATCH
    print(f"{name} ...", flush=True)
    torch.set_num_threads(1)
    found = {"alone": scale * timed(stepping(name, device), steps, device)}
    found["processes"] = scale * processes(name, workers, steps, device) / workers
    torch.set_num_threads(workers)
    with mock.patch("cmarr.layers.recovery.worked_rows", everywhere):
        try:
            found["stacked"] = scale * timed(stacked(name, jobs, device), steps, device) / jobs
        except RuntimeError as error:
            print(f"{name} cannot be stacked: {str(error).splitlines()[0]}")
        torch.set_num_threads(1)
        found["all rows"] = scale * timed(stepping(name, device), steps, device)
    return found


def table(content: Mapping[str, Any]) -> str:
    """What `main` keeps, as a table."""
    names = {
        "alone": "alone, one thread",
        "processes": "two processes",
        "stacked": f"{content['jobs']} stacked, two threads",
        "all rows": "alone, on all rows",
    }
    rows = [
        [name, *(f"{own[n]:.2f}" if n in own else "-" for n in names)]
        for name, own in content["result"].items()
    ]
    return markdown(["ms an utterance", *names.values()], rows)


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--jobs", type=int, default=5, help="trainings that are stacked")
    parser.add_argument("--workers", type=int, default=2, help="processes, and threads of the stacked one")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--only", nargs="*", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    found = {
        name: measure(name, options.jobs, options.workers, options.steps, options.device)
        for name in options.only
    }
    torch.set_num_threads(options.workers)
    on = machine()
    content = {"machine": on, "device": options.device, "jobs": options.jobs, "result": found}
    print(f"{sentence(on)}\n\n{table(content)}")
    keep("many_jobs", content)


if __name__ == "__main__":
    main()
