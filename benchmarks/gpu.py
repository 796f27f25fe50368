"""All that a GPU is owed, in at most eight minutes: one table, and benchmarks/results/gpu.json.

    python -m benchmarks.gpu                        on the GPU
    python -m benchmarks.gpu --only training study  parts of it
    python -m benchmarks.gpu --rehearse             on the CPU at tiny sizes: shows that it runs, measures nothing

tests        every test marked `gpu`
determinism  two trainings of CM-ARR from one seed, and the same on the CPU: how far their losses lie apart
training     utterances a second of every method as it is declared, and of CM-ARR in the sizes of its paper, on features
             of the MMIN family's sizes; and the share of the time in which the device computes
study        the five folds of CM-ARR, in those sizes, at IEMOCAP's size, side by side: minutes for 100 epochs,
             extrapolated from a few. The aim is ten
extraction   rows a second of the encoders' networks in fp32 and bf16, random weights where none are shipped, and how
             far bf16 lies from fp32
denseface    the shipped recipe, with as many epochs as there is time for: accuracy on FER+'s test faces, aim 85 %

Each part is a process of its own with a budget in seconds; one that fails or takes longer is named, and loses no other.
What is done is kept after every part.
"""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from benchmarks.engine.stores import random_store
from benchmarks.machine import machine, sentence
from benchmarks.records import RESULTS, command_line, keep, markdown
from benchmarks.sizes import DIMS, FULL, SHAPES, TASK, build
from cmarr.data.normalise import Normaliser
from cmarr.data.store import Store
from cmarr.methods.protocol import Staged
from cmarr.methods.registry import method_class, method_names
from cmarr.training.loop import fit

STUDY = {"utterances": 3319, "validation": 1106, "folds": 5, "epochs": 100}
"""Of IEMOCAP."""

Row = tuple[str, str]
"""What was measured, and what came out."""


def store(rows: int, tiny: bool) -> Store:
    """Features of the MMIN family's widths, and of its lengths, or of two frames an utterance."""
    return random_store(rows, {m: (2, width) for m, width in DIMS.items()} if tiny else SHAPES)


def trained(
    method: torch.nn.Module, device: str, rows: int, epochs: int, validation: int = 0, tiny: bool = False
) -> tuple[list[float], list[float]]:
    """Seconds of each epoch but the first, and all losses, of a training as a study does it."""
    ends: list[float] = []
    torch.manual_seed(0)
    progress = fit(
        method.to(device),
        Normaliser(DIMS).to(device),
        store(rows, tiny).to(device),
        store(validation, tiny).to(device) if validation else None,
        task=TASK,
        seed=0,
        on_epoch=lambda epoch: ends.append(time.perf_counter()),
        again=[(epochs, [0.0] * epochs)] * (len(method.stages()) if isinstance(method, Staged) else 1),
        epochs=epochs,
        patience=0,
        batch_size=16 if validation else 64,
    )
    losses = [v for curve in progress.curves for name, v in curve.items() if name.startswith("loss/")]
    return np.diff(ends).tolist(), losses


def tests(device: str, tiny: bool, seconds: float) -> list[Row]:
    """Every test marked `gpu`, in a Python of its own."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-n", "0", "-p", "no:cacheprovider"]
    where = ["tests/methods/test_cmarr.py", "--collect-only"] if tiny else []
    found = subprocess.run([*command, *where], capture_output=True, text=True, timeout=seconds, check=False)
    lines = found.stdout.strip().splitlines()
    wrong = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    if found.returncode and not wrong:
        raise RuntimeError("\n".join(lines[-5:]))
    return [("tests marked gpu", lines[-1]), *(("failed", line) for line in wrong)]


def determinism(device: str, tiny: bool, seconds: float) -> list[Row]:
    """The largest relative difference between losses."""

    def losses(where: str) -> np.ndarray:
        settings = {"d": 8, "length": 4, "heads": 2, "flow_steps": 2, "blocks": 1, "dropout": 0.0}
        return np.array(trained(build("cmarr", settings), where, 48, 2, tiny=True)[1])

    first, again, here = losses(device), losses(device), losses("cpu")
    apart = {"again": again, "on the CPU": here}
    return [
        (f"largest difference of a loss, {name}", f"{np.max(np.abs(x - first) / np.abs(first)):.1e}")
        for name, x in apart.items()
    ]


def training(device: str, tiny: bool, seconds: float) -> list[Row]:
    """Of every method that is trained."""
    names = [name for name in method_names() if hasattr(method_class(name), "training_losses")]
    sizes: dict[str, tuple[str, dict[str, Any]]] = {name: (name, {}) for name in names} | {
        "cmarr, full": ("cmarr", FULL)
    }
    if tiny:
        sizes = {"masked": ("masked", {"d": 8, "length": 4, "heads": 2})}
    began, rows = time.perf_counter(), []
    utterances, epochs = (16, 2) if tiny else (2048, 3)
    for name, (method, settings) in sizes.items():
        if time.perf_counter() - began > 0.9 * seconds:
            rows.append((name, "no time left"))
            continue
        try:
            made = build(method, dict(settings))
            with Watched(device) as busy:
                times, _ = trained(made, device, utterances, epochs, tiny=tiny)
        except Exception as error:  # the others count none the less
            rows.append((name, f"{type(error).__name__}: {str(error).splitlines()[0]}"))
            continue
        rows.append((name, f"{utterances / min(times):.0f} utterances a second, device busy {busy()}"))
    return rows


class Watched:
    """Calls back with the share of the time inside in which the device computed."""

    def __init__(self, device: str):
        on = [torch.profiler.ProfilerActivity.CUDA] if device != "cpu" else []
        self.profiler = torch.profiler.profile(activities=on) if on else None

    def __enter__(self) -> Callable[[], str]:
        self.began = time.perf_counter()
        if self.profiler:
            self.profiler.__enter__()
        return self._share

    def __exit__(self, *error: Any) -> None:
        if self.profiler:
            torch.cuda.synchronize()
        self.lasted = time.perf_counter() - self.began
        if self.profiler:
            self.profiler.__exit__(*error)

    def _share(self) -> str:
        if self.profiler is None:
            return "-"
        microseconds = sum(event.self_device_time_total for event in self.profiler.key_averages())
        return f"{microseconds / 1e4 / self.lasted:.0f} %"


def study(device: str, tiny: bool, seconds: float) -> list[Row]:
    """All folds at once, each a process."""
    folds, epochs = (2, 2) if tiny else (STUDY["folds"], 4)
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    running = [context.Process(target=_fold, args=(device, tiny, epochs, answers)) for _ in range(folds)]
    for process in running:
        process.start()
    found = [answers.get(timeout=seconds) for _ in running]
    for process in running:
        process.join()
    minutes = max(found) * STUDY["epochs"] / 60
    memory = torch.cuda.mem_get_info() if device != "cpu" else None
    rows = [("five folds of CM-ARR, 100 epochs", f"{minutes:.1f} minutes ({max(found):.2f} s an epoch)")]
    return rows + ([("memory of the device", f"{memory[1] / 2**30:.0f} GiB")] if memory else [])


def _fold(device: str, tiny: bool, epochs: int, answers: Any) -> None:
    torch.set_num_threads(1)
    settings = {"d": 8, "length": 4, "heads": 2, "flow_steps": 1, "blocks": 1} if tiny else FULL
    sizes = (16, 16) if tiny else (STUDY["utterances"], STUDY["validation"])
    times, _ = trained(build("cmarr", settings), device, sizes[0], epochs, sizes[1], tiny)
    answers.put(float(np.median(times)))


def extraction(device: str, tiny: bool, seconds: float) -> list[Row]:
    """Of speech, text and faces."""
    from cmarr.encoders.registry import build_encoder

    generator, rows = np.random.default_rng(0), []
    many = 1 if tiny else 64
    sound = [generator.normal(size=8000 if tiny else 64000).astype(np.float32) for _ in range(many)]
    pieces = [generator.integers(1000, 20000, 24) for _ in range(many)]
    faces = [generator.integers(0, 256, (1 if tiny else 4, 64, 64), dtype=np.uint8) for _ in range(many)]
    with tempfile.TemporaryDirectory() as folder:
        kinds: list[tuple[str, dict[str, Any], list[np.ndarray]]] = [
            ("wav2vec2", {"model": _speech_network(folder, tiny)}, sound),
            ("minilm", {}, pieces),
            ("denseface", {}, faces),
        ]
        for name, settings, inputs in kinds[2:] if tiny else kinds:
            found = {}
            for precision in ("fp32", "bf16"):
                encoder = build_encoder(name, settings | {"precision": precision}, device=device)
                network: Any = getattr(encoder, "network" if name != "denseface" else "rows")
                found[precision] = _rate(partial(network, inputs))
            (slow, exact), (fast, rounded) = found["fp32"], found["bf16"]
            off = np.abs(rounded - exact).mean() / np.abs(exact).mean()
            rows.append(
                (name, f"{slow:.0f} rows a second in fp32, {fast:.0f} in bf16, {100 * off:.1f} % off")
            )
    return rows


def _rate(work: Callable[[], list[np.ndarray]]) -> tuple[float, np.ndarray]:
    """Rows a second, the best of a few, and the rows."""
    found, times = work(), []
    for _ in range(3):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    rows = np.concatenate(found)
    return len(rows) / min(times), rows


def _speech_network(folder: str, tiny: bool) -> str:
    """wav2vec2-base's architecture with random weights."""
    import transformers

    if not tiny:
        transformers.Wav2Vec2Model(transformers.Wav2Vec2Config()).save_pretrained(folder)
        transformers.Wav2Vec2FeatureExtractor().save_pretrained(folder)  # type: ignore[no-untyped-call]
    return folder


def denseface(device: str, tiny: bool, seconds: float) -> list[Row]:
    """Train, then score the averaged weights."""
    from sklearn.metrics import accuracy_score

    from denseface.ferplus import FaceSet, label, read_part
    from denseface.recipe import load_settings
    from denseface.scoring import both_ways, log_probabilities
    from denseface.training import Training

    began, settings = time.perf_counter(), load_settings()
    if tiny:
        images = np.zeros((8, 48, 48), np.uint8)
        votes = np.tile(np.eye(10, dtype=np.int16)[:2] * 10, (4, 1))
        faces = dict.fromkeys(("train", "valid", "test"), FaceSet(tuple(map(str, range(8))), images, votes))
    else:
        faces = {part: read_part(settings.faces, part).real() for part in ("train", "valid", "test")}
    batch = 2 if tiny else 256
    changes = {"batch_size": batch, "restarts": (), "lr": settings.recipe.lr * (batch / 64) ** 0.5}
    with tempfile.TemporaryDirectory() as folder:

        def begun(epochs: int) -> Training:
            recipe = settings.recipe.model_copy(update=changes | {"epochs": epochs})
            return Training(recipe, faces["train"], faces["valid"], Path(folder), device=device)

        trial, steps = begun(1), 1 if tiny else 12  # an only epoch has faces in full size
        for _ in range(2):
            trial.step()
        started = time.perf_counter()
        for _ in range(steps):
            trial.step()
        whole = (time.perf_counter() - started) / steps * trial.batches
        # Small faces cost a step that waits for its calls as much as large ones.
        epochs = 1 if tiny else int((0.85 * seconds - (started - began)) / whole)
        training = begun(max(1, min(epochs, settings.recipe.epochs)))
        training.run(60.0, lambda told: None)
        network, test = training.averaged(), faces["test"]
        ways = [log_probabilities(network, test, device=device, mirrored=way) for way in (False, True)]
    truth = label(test.votes)
    scores = [float(accuracy_score(truth, x.argmax(1).numpy())) for x in (ways[0], both_ways(*ways))]
    lasted = time.perf_counter() - began
    return [
        ("epochs of the recipe, batches of " + str(batch), f"{training.recipe.epochs} in {lasted:.0f} s"),
        ("accuracy on all test faces", f"{100 * scores[0]:.1f} %, mirrored too {100 * scores[1]:.1f} %"),
    ]


Part = Callable[[str, bool, float], list[Row]]
PARTS: dict[str, tuple[Part, float]] = {
    "tests": (tests, 90),
    "determinism": (determinism, 20),
    "training": (training, 110),
    "study": (study, 60),
    "extraction": (extraction, 50),
    "denseface": (denseface, 140),
}
"""Name -> what measures it, and its seconds; 470 in all."""


def run(name: str, device: str, tiny: bool) -> dict[str, Any]:
    """A part in a process of its own: its rows, or what went wrong, and its seconds."""
    part, seconds = PARTS[name]
    context = multiprocessing.get_context("fork")  # this process has not touched the device
    mine, its = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(part, device, tiny, seconds, its))
    began = time.perf_counter()
    process.start()
    its.close()
    try:
        found = mine.recv() if mine.poll(seconds) else {"wrong": f"not done after {seconds:.0f} s"}
    except EOFError:
        found = {"wrong": "ended without an answer"}
    process.join(2 if "rows" in found else 0)
    process.kill()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(cast(int, process.pid), signal.SIGKILL)  # and whatever it has started
    process.join()
    return {"seconds": time.perf_counter() - began, **found}


def _answer(part: Part, device: str, tiny: bool, seconds: float, answer: Any) -> None:
    os.setsid()
    try:
        answer.send({"rows": part(device, tiny, seconds)})
    except Exception as error:  # a part that fails must not lose the others
        first = next(iter(str(error).strip().splitlines()), "")
        answer.send({"wrong": f"{type(error).__name__}: {first}"})


def table(content: Mapping[str, Any]) -> str:
    """Of what `main` keeps."""
    rows = []
    for name, own in content["parts"].items():
        took = f"{own['seconds']:.0f}"
        for what, found in own.get("rows", [("", own.get("wrong", ""))]):
            rows.append([name, what, found, took])
            name = took = ""
    return markdown(["part", "what", "found", "s"], rows)


def main(arguments: list[str] | None = None) -> None:
    """Run the parts in turn; keep and print what they found."""
    parser = command_line(__doc__)
    parser.add_argument("--only", nargs="*", default=list(PARTS), choices=list(PARTS), metavar="PART")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rehearse", action="store_true", help="on the CPU, at tiny sizes")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON file")
    options = parser.parse_args(arguments)
    device = "cpu" if options.rehearse else options.device
    content: dict[str, Any] = {"rehearsed": options.rehearse, "parts": {}}
    for name in options.only:
        print(f"{name} ...", flush=True)
        content["parts"][name] = run(name, device, options.rehearse)
        keep("gpu", content, options.results)
    if not options.rehearse:
        content["machine"] = machine()
        keep("gpu", content, options.results)
        print(sentence(content["machine"]))
    print(f"\n{table(content)}")


if __name__ == "__main__":
    main()
