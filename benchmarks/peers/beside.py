"""Our method beside its authors' class, step by step in turns, on the same tensors."""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.peers.theirs import Data, Peer
from benchmarks.sizes import TASK, build
from cmarr.data.batch import Batch
from cmarr.data.dialogues import Dialogues
from cmarr.data.masks import draw_visible
from cmarr.methods.asking import predictions, training_losses

WARM = 2
"""Steps that are not counted."""


class Stopped(Exception):
    """A peer could not be asked; the message says why."""


def measured(name: str, peer: Peer, checkouts: Path, steps: int, patience: float) -> dict[str, Any]:
    """Milliseconds an utterance of both, and how far equal weights answer alike; or `why` there is none of it."""
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder)
        try:
            data = tensors(peer, steps + WARM)
            torch.save(data, own / "data.pt")
            theirs = Theirs(name, peer, place(peer, checkouts), own / "data.pt", patience)
        except Stopped as stopped:
            return {"repository": peer.repository, "why": str(stopped)}
        try:
            return _in_turns(peer, data, theirs, steps, own)
        except Stopped as stopped:
            return {"repository": peer.repository, "why": str(stopped)}
        finally:
            theirs.close()


def place(peer: Peer, checkouts: Path) -> Path:
    """The folder that the peer's scripts are run in."""
    folder = checkouts / peer.repository.rpartition("/")[2]
    if not folder.is_dir():
        raise Stopped(f"no checkout: git clone https://github.com/{peer.repository} into the folder")
    if not (folder / peer.root).is_dir():
        raise Stopped(f"the checkout has no folder {peer.root}")
    return folder / peer.root


def tensors(peer: Peer, steps: int) -> Data:
    """What both are given."""
    generator = torch.Generator().manual_seed(0)
    data = {m: torch.randn(peer.batch, *shape, generator=generator) for m, shape in peer.shapes.items()}
    data["labels"] = torch.randint(TASK.outputs, (peer.batch,), generator=generator)
    available = torch.ones(peer.batch, 3, dtype=torch.bool)
    drawn = [draw_visible(available, generator, conditions="six") for _ in range(steps)]
    return data | {"masks": torch.stack(drawn)}


def batch_of(peer: Peer, data: Data) -> Batch:
    """The same tensors as a batch of ours."""
    rows = peer.batch
    values = {m: data[m].flatten(0, 1) for m in peer.shapes}
    lengths = {m: torch.full((rows,), shape[0]) for m, shape in peer.shapes.items()}
    at = torch.arange(rows)
    place_in = at % peer.dialogue
    dialogues = Dialogues(at // peer.dialogue, place_in, place_in // 2 % 2) if peer.dialogue > 1 else None
    available = torch.ones(rows, 3, dtype=torch.bool)
    return Batch(values, lengths, available, data["labels"], dialogues=dialogues)


class Theirs:
    """A peer in a process of its own."""

    def __init__(self, name: str, peer: Peer, checkout: Path, data: Path, patience: float):
        widths = {m: width for m, (_, width) in peer.shapes.items()}
        sizes = {**peer.sizes, "widths": widths, "classes": TASK.outputs, "length": peer.dialogue}
        job = {"peer": name, "sizes": sizes, "checkout": str(checkout.resolve()), "data": str(data)}
        self.patience = patience
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__).with_name("theirs.py")), json.dumps(job)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip
        try:
            self.parameters = self._answer()["parameters"]
        except Stopped:
            self.close()
            raise

    def ask(self, **asked: Any) -> dict[str, Any]:
        """What it answers; raises Stopped when it cannot."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(asked) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Stopped(f"its process ended with status {self.process.wait()}") from None
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        late = threading.Timer(self.patience, self.process.kill)
        late.start()
        line = self.process.stdout.readline()
        in_time = late.is_alive()
        late.cancel()
        if not line:
            raise Stopped(
                f"its process ended with status {self.process.wait()}"
                if in_time
                else f"no answer in {self.patience:.0f} s"
            )
        found: dict[str, Any] = json.loads(line)
        if "why" in found:
            raise Stopped(found["why"])
        return found

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()


def _in_turns(peer: Peer, data: Data, theirs: Theirs, steps: int, folder: Path) -> dict[str, Any]:
    widths = {m: width for m, (_, width) in peer.shapes.items()}
    ours, batch = build(peer.method, dict(peer.settings), dims=widths), batch_of(peer, data)
    alike = compared(peer, ours, batch, theirs, folder)
    optimiser = torch.optim.Adam([p for p in ours.parameters() if p.requires_grad], lr=1e-4, fused=True)

    def step(at: int) -> float:
        start = time.perf_counter()
        losses = training_losses(ours, batch, data["masks"][at])
        optimiser.zero_grad()
        torch.stack([x for name, x in losses.items() if name in (peer.losses or losses)]).sum().backward()
        optimiser.step()
        return time.perf_counter() - start

    def other(at: int) -> float:
        return float(theirs.ask(do="step", at=at)["seconds"])

    times: list[dict[str, float]] = []
    for at in range(WARM + steps):
        turns = [("ours", step), ("theirs", other)]
        times.append({who: work(at) for who, work in turns[:: 1 if at % 2 else -1]})
    median = {
        who: 1000 * statistics.median(t[who] for t in times[WARM:]) / peer.batch for who in ("ours", "theirs")
    }
    return {
        "repository": peer.repository,
        "batch": peer.batch,
        "ours_ms": median["ours"],
        "theirs_ms": median["theirs"],
        "ours_parameters": sum(p.numel() for p in ours.parameters() if p.requires_grad),
        "theirs_parameters": theirs.parameters,
        "equal": alike,
    }


def compared(peer: Peer, ours: nn.Module, batch: Batch, theirs: Theirs, folder: Path) -> Mapping[str, Any]:
    """`difference`, the largest of any logit of complete utterances under equal weights, or `why` there is none."""
    if not peer.equal:
        return {"why": peer.unlike}
    weights = {name: list(ours.get_submodule(own).parameters()) for own, name in peer.equal}
    torch.save({n: [p.detach() for p in x] for n, x in weights.items()}, folder / "weights.pt")
    unfit = theirs.ask(do="equal", weights=str(folder / "weights.pt"), out=str(folder / "logits.pt"))["unfit"]
    if unfit:
        return {"why": f"not the same shapes: {', '.join(unfit)}"}
    ours.eval()
    with torch.no_grad():
        own = predictions(ours, batch, {"svt": batch.available})["svt"].logits
    ours.train()
    answered = torch.load(folder / "logits.pt", weights_only=True)
    return {"difference": float((own - answered).abs().max()), "largest": float(own.abs().max())}
