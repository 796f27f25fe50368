"""Cost of training: one epoch of every method on 4446 utterances with the authors' feature sizes.

    python -m benchmarks.training                 the table, and benchmarks/results/training.json
    python -m benchmarks.training --steps 10      more steps a method, a steadier number

Random features (speech 60 x 130, video 50 x 342, text 22 x 1024), batches of 128, masks drawn as in training, Adam; a
row with features of other widths says so. A few steps are measured after a warm-up, and the epoch is extrapolated from
their median: it is not run whole. MB a step: weights, their gradients and Adam's two moments, and what the forward pass
keeps for the backward one; what lives for a moment comes on top. Calls a step: operations of torch that its forward and
backward pass ask for, views among them, whatever the machine. What the authors' own classes need is measured beside
ours by `python -m benchmarks.peers`. Nothing else should run on the machine meanwhile.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.machine import gflops, machine, sentence
from benchmarks.records import RESULTS, command_line, keep, markdown
from benchmarks.sizes import FULL, PUBLISHED_DICMOR, SHAPES, TASK, build
from cmarr.data.batch import Batch, hide
from cmarr.data.masks import draw_visible
from cmarr.layers.representation import stacked_gaussians
from cmarr.methods.asking import training_losses
from cmarr.methods.cmarr import CMARR
from cmarr.training.loop import limit_gradients

UTTERANCES = 4446
BATCH = 128

PAPER = {"s": (225, 768), "v": (45, 342), "t": (16, 768)}
"""What the encoders of CM-ARR's paper give of 4.5 seconds: wav2vec2 at 50 Hz, ten faces a second, BERT."""

DICMOR = {"s": (50, 5), "v": (50, 20), "t": (50, 768)}
"""What DiCMoR's public code is fed."""

LIKE_DICMOR = {"d": 32, "length": 50, "flow_steps": 32, "blocks": 20, "heads": 4}

RUNS: dict[str, dict[str, Any]] = {
    "masked": {"method": "masked", "settings": {"d": 128, "length": 50, "heads": 4}},
    "mcur": {"method": "mcur"},
    "cra": {"method": "cra"},
    "mmin": {"method": "mmin", "clip_by": "part"},
    "mmin, stage 1": {"method": "mmin", "first_stage": True, "clip_by": "part"},
    "if_mmin": {"method": "if_mmin", "clip_by": "part"},
    "if_mmin, stage 1": {"method": "if_mmin", "first_stage": True, "clip_by": "part"},
    "cif_mmin": {"method": "cif_mmin", "clip_by": "part"},
    "cif_mmin, stage 1": {"method": "cif_mmin", "first_stage": True, "clip_by": "part"},
    "dicmor": {"method": "dicmor", "settings": PUBLISHED_DICMOR, "clip_by": "value"},
    "dicmor (768/5/20)": {
        "method": "dicmor",
        "settings": PUBLISHED_DICMOR,
        "clip_by": "value",
        "batch": 32,
        "shapes": DICMOR,
    },
    "dicmor, stage 1": {
        "method": "dicmor",
        "settings": PUBLISHED_DICMOR,
        "first_stage": True,
        "clip_by": "value",
    },
    "cmarr, full": {"method": "cmarr", "settings": FULL},
    "cmarr, full, permutation": {"method": "cmarr", "settings": FULL | {"mixing": "permutation"}},
    "cmarr, dicmor": {"method": "cmarr", "settings": LIKE_DICMOR},
    "cmarr, dicmor, permutation": {"method": "cmarr", "settings": LIKE_DICMOR | {"mixing": "permutation"}},
    "cmarr, full (768/768/342)": {"method": "cmarr", "settings": FULL, "batch": 16, "shapes": PAPER},
    "cmarr, dicmor (768/5/20)": {"method": "cmarr", "settings": LIKE_DICMOR, "batch": 32, "shapes": DICMOR},
}


def random_batch(rows: int, shapes: Mapping[str, tuple[int, int]] = SHAPES) -> Batch:
    generator = torch.Generator().manual_seed(0)
    values, lengths = {}, {}
    for m, (frames, width) in shapes.items():
        values[m] = torch.randn(rows * frames, width, generator=generator)
        lengths[m] = torch.full((rows,), frames)
    labels = torch.randint(TASK.outputs, (rows,), generator=generator)
    return Batch(values, lengths, torch.ones(rows, 3, dtype=torch.bool), labels)


def timed(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(
    method: str,
    steps: int,
    settings: dict[str, Any] | None = None,
    first_stage: bool = False,
    clip_by: str = "whole",
    batch: int = BATCH,
    shapes: Mapping[str, tuple[int, int]] = SHAPES,
) -> dict[str, Any]:
    """Milliseconds a sample and training step (draw masks, losses, backward, clip, Adam), and its megabytes."""
    widths = {m: width for m, (_, width) in shapes.items()}
    made, data = build(method, settings or {}, first_stage, widths), random_batch(batch, shapes)
    optimiser = torch.optim.Adam(made.parameters(), lr=1e-4, fused=True)
    generator = torch.Generator().manual_seed(0)
    conditions = ("svt",) if first_stage else "seven"

    def step() -> None:
        visible = draw_visible(data.available, generator, conditions=conditions)
        losses = training_losses(made, data, visible)
        optimiser.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        limit_gradients(made, 1.0, clip_by)
        optimiser.step()

    for _ in range(2):
        step()
    times = [timed(step) for _ in range(steps)]
    per_sample = statistics.median(times) / batch
    found = {
        "ms_per_sample": 1000 * per_sample,
        "fastest_ms_per_sample": 1000 * min(times) / batch,
        "samples_a_second": 1 / per_sample,
        "epoch_seconds": per_sample * UTTERANCES,
        "parameters": sum(p.numel() for p in made.parameters()),
        "bytes": held(made, data, draw_visible(data.available, generator, conditions=conditions)),
        "calls": calls(made, data, draw_visible(data.available, generator, conditions=conditions)),
        "batch": batch,
        "steps": steps,
    }
    if isinstance(made, CMARR):
        found["shares"] = shares(made, data, generator, max(2, steps // 2))
    return found


def held(made: nn.Module, data: Batch, visible: Tensor) -> int:
    """Bytes of the weights, their gradients and Adam's moments, and of all that the forward pass keeps."""
    weights = {p.untyped_storage().data_ptr() for p in made.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()  # once, however many views of it are kept
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        losses = training_losses(made, data, visible)
    assert losses
    return sum(kept.values()) + 4 * sum(p.nbytes for p in made.parameters() if p.requires_grad)


class Counted(TorchDispatchMode):
    """Counts the operations that are asked for inside."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def calls(made: nn.Module, data: Batch, visible: Tensor) -> int:
    """Operations of a forward and a backward pass."""
    with Counted() as counted:
        torch.stack(list(training_losses(made, data, visible).values())).sum().backward()
    return counted.count


def shares(method: CMARR, data: Batch, generator: torch.Generator, steps: int) -> dict[str, float]:
    """Where CM-ARR's time goes, as shares of the whole step, forward and backward.

    Each part is measured by running it alone on the inputs that it gets; `rest` holds losses, clipping and Adam.
    """
    visible = draw_visible(data.available, generator)
    usable = visible[:, [0, 1, 2]]

    def both(forward: Callable[[], Tensor]) -> float:
        times = [timed(lambda: forward().backward()) for _ in range(steps + 1)]
        method.zero_grad(set_to_none=True)
        return statistics.median(times[1:])

    def align() -> Tensor:
        encoded = method._encode(data, gaussians=True)
        mu, sigma = stacked_gaussians(encoded)
        x = torch.stack([e.x for e in encoded.values()])
        return method.distribution_contrast(mu, sigma, data.available) + x.sum() * 1e-6

    with torch.no_grad():
        encoded = method._encode(data, gaussians=True)
        x = {m: e.x.detach() for m, e in encoded.items()}
        latents = {m: torch.randn_like(own) for m, own in x.items()}
        completed = method._complete(hide(data, visible), encoded)
        restored = {m: own[0] for m, own in completed.x.items()}
    hidden = ~usable

    def flow() -> Tensor:
        """Forward where something is recovered from it, inverse where it is recovered: as in a step."""
        total = torch.zeros(())
        for i, m in enumerate(method.modalities):
            needed = usable[:, i] & hidden.any(1)
            total = total + method.recovery.latent(m, x[m][needed]).sum()
            total = total + method.recovery._inverse(m, latents[m][hidden[:, i]]).sum()
        return total * 1e-6

    def recover() -> Tensor:
        networks = method.recovery.reconstructions
        return sum(networks[m](x[m][hidden[:, i]]).sum() for i, m in enumerate(method.modalities)) * 1e-6  # type: ignore[return-value]

    def fuse() -> Tensor:
        inputs = {m: own.detach().requires_grad_() for m, own in restored.items()}
        return method.fusion(inputs, completed.recovered[0]).sum() * 1e-6

    def everything() -> Tensor:
        return torch.stack(list(training_losses(method, data, visible).values())).sum()

    whole = both(everything)
    parts = {"alignment": align, "flows": flow, "recovery": recover, "fusion": fuse}
    found = {name: both(part) / whole for name, part in parts.items()}
    return found | {"rest": 1 - sum(found.values())}


def table(results: dict[str, Any]) -> str:
    rows = [
        [
            name,
            f"{run['batch']}",
            f"{run['ms_per_sample']:.2f}",
            f"{run['samples_a_second']:.0f}",
            f"{run['epoch_seconds']:.0f}",
            f"{run['bytes'] / 1e6:.0f}",
            f"{run['calls']:,}" if "calls" in run else "",
            f"{run['parameters']:,}",
        ]
        for name, run in results["runs"].items()
    ]
    head = [
        "method",
        "batch",
        "ms an utterance",
        "utterances a second",
        "s an epoch",
        "MB a step",
        "calls a step",
    ]
    return markdown([*head, "parameters"], rows)


def shares_table(results: dict[str, Any]) -> str:
    """Where CM-ARR's step goes."""
    found = {name: run["shares"] for name, run in results["runs"].items() if "shares" in run}
    parts = list(next(iter(found.values()), {}))
    rows = [[name, *(f"{100 * own[p]:.0f} %" for p in parts)] for name, own in found.items()]
    return markdown(["share of a step", *parts], rows) if found else ""


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--steps", type=int, default=5, help="steps measured a method")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--only", nargs="*", default=list(RUNS), choices=list(RUNS), help="rows of the table")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    on = machine()
    runs = {name: measure(steps=options.steps, **RUNS[name]) for name in options.only}
    results = {
        "machine": on,
        "gflops_after": gflops(),  # far from the first: something else was running
        "steps": options.steps,
        "runs": runs,
    }
    print(
        f"{sentence(results['machine'])}, {results['gflops_after']:.0f} afterwards\n"
        f"one epoch = {UTTERANCES} utterances, extrapolated from {options.steps} steps of each method\n\n"
        f"{table(results)}\n\n{shares_table(results)}"
    )
    keep("training", results, options.results)


if __name__ == "__main__":
    main()
