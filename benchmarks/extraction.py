"""Extraction against the plain loop most people write, both in this run: `python -m benchmarks.extraction [--quick]`.

Speech and text: one utterance at a time through transformers, fp32, all cores. Video: one seek an utterance, the same
detector. Networks have the size of the published base models and random weights; recordings are made up. Prints a table
and, after it, JSON. Nothing is downloaded.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import soundfile
import torch
import transformers

from cmarr.data.store import build_store
from cmarr.encoders.bert import Bert
from cmarr.encoders.denseface import DensefaceRows
from cmarr.encoders.face_network import Denseface, save_weights
from cmarr.encoders.hog import Hog
from cmarr.encoders.wav2vec2 import Wav2vec2
from cmarr.features.extract import extract
from cmarr.features.shards import read_features
from cmarr.media import video
from cmarr.media.audio import read_audio
from cmarr.media.clips import RATE, Clip
from cmarr.media.detectors import SEARCH, build_detector
from cmarr.media.faces import FaceReader, Faces, cut
from cmarr.media.gradients import FaceGradients
from cmarr.utterance import Rejected, Utterance

CORES = len(os.sched_getaffinity(0))
WORDS = [
    "well",
    "I",
    "really",
    "do",
    "not",
    "know",
    "what",
    "you",
    "want",
    "from",
    "me",
    "happy",
    "now",
    "leave",
    "it",
]


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what the function gave."""
    torch.set_num_threads(CORES)
    started = time.perf_counter()
    given = function()
    return time.perf_counter() - started, given


def worst(ours: Iterable[Any], plain: list[np.ndarray]) -> float:
    """Largest absolute difference from the plain loop."""
    return max(float(np.abs(a.frames - b).max()) for a, b in zip(ours, plain, strict=True))


def lengths(count: int, seconds: float, seed: int = 0) -> np.ndarray:
    """Durations as in acted dialogue: log-normal, most between a second and ten."""
    rng = np.random.default_rng(seed)
    drawn = np.exp(rng.normal(0.0, 0.6, count))
    return np.clip(drawn * seconds / drawn.mean(), 0.6, 20.0)


def against_plain(
    plain: Callable[[str, list[Utterance], str], list[np.ndarray]],
    encoder: type[Any],
    model: str,
    utterances: list[Utterance],
    device: str,
) -> dict[str, Any]:
    """The plain loop, and the encoder in fp32 and bf16."""
    own = [encoder.Settings(model=model, precision=p) for p in ("fp32", "bf16")]
    encoders = {s.precision: encoder(s, device=device, workers=CORES) for s in own}
    plain_seconds, rows = timed(lambda: plain(model, utterances, device))
    result = {"utterances": len(utterances), "plain_seconds": plain_seconds, "device": device}
    for precision, made in encoders.items():
        seconds, ours = timed(lambda made=made: list(made.encode(utterances)))
        result[precision] = {
            "seconds": seconds,
            "speedup": plain_seconds / seconds,
            "largest_difference": worst(ours, rows),
        }
    return result


# ── Speech ────────────────────────────────────────────────────────────────────────────────────────


def speech_corpus(folder: Path, count: int, seconds: float = 4.5) -> list[Utterance]:
    """WAV files at 16 kHz: noise that swells and fades like syllables."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    utterances = []
    for i, duration in enumerate(lengths(count, seconds)):
        times = np.arange(int(duration * RATE)) / RATE
        samples = 0.1 * rng.standard_normal(len(times)) * (1.1 + np.sin(2 * np.pi * 4 * times))
        path = folder / f"{i:04d}.wav"
        soundfile.write(path, samples.astype(np.float32), RATE)
        utterances.append(Utterance(f"{i:04d}", audio=str(path)))
    return utterances


def speech_model(folder: Path, **size: Any) -> str:
    """wav2vec2-base in all but its weights; `size` makes it smaller."""
    torch.manual_seed(0)
    transformers.Wav2Vec2Model(transformers.Wav2Vec2Config(**size)).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return str(folder)


def plain_speech(folder: str, utterances: list[Utterance], device: str) -> list[np.ndarray]:
    """One utterance at a time."""
    network = transformers.AutoModel.from_pretrained(folder).eval().to(device)
    prepare = transformers.AutoFeatureExtractor.from_pretrained(folder)
    rows = []
    with torch.no_grad():
        for utterance in utterances:
            samples, rate = soundfile.read(utterance.audio, dtype="float32")
            inputs = prepare(samples, sampling_rate=rate, return_tensors="pt").input_values.to(device)
            rows.append(network(inputs).last_hidden_state[0].cpu().numpy())
    return rows


def measure_speech(scratch: Path, count: int, device: str) -> dict[str, Any]:
    """Plain, fp32, bf16; the share of decoding."""
    model, utterances = speech_model(scratch / "speech"), speech_corpus(scratch / "wav", count)
    result = against_plain(plain_speech, Wav2vec2, model, utterances, device)
    decoding, _ = timed(lambda: [read_audio(Clip(u.audio)) for u in utterances])
    result["seconds_alone"] = {
        "decoding": decoding,
        "network": max(result["fp32"]["seconds"] - decoding / CORES, 0.0),
    }
    return result


# ── Text ──────────────────────────────────────────────────────────────────────────────────────────


def text_corpus(count: int) -> list[Utterance]:
    """Sentences of some dozen words."""
    rng = np.random.default_rng(0)
    counts = np.clip(np.round(lengths(count, 12.0, seed=1)), 1, 60).astype(int)
    return [Utterance(f"{i:05d}", text=" ".join(rng.choice(WORDS, n))) for i, n in enumerate(counts)]


def text_model(folder: Path, **size: Any) -> str:
    """bert-base-uncased in all but its weights and its vocabulary."""
    torch.manual_seed(0)
    transformers.BertModel(transformers.BertConfig(**size)).save_pretrained(folder)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    (folder / "vocab.txt").write_text("\n".join([*special, *sorted({w.lower() for w in WORDS})]))
    transformers.BertTokenizer(str(folder / "vocab.txt"), model_max_length=512).save_pretrained(folder)
    return str(folder)


def plain_text(folder: str, utterances: list[Utterance], device: str) -> list[np.ndarray]:
    """One text at a time."""
    network = transformers.AutoModel.from_pretrained(folder).eval().to(device)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    rows = []
    with torch.no_grad():
        for utterance in utterances:
            inputs = tokenizer(utterance.text, return_tensors="pt").to(device)
            rows.append(network(**inputs).last_hidden_state[0].cpu().numpy())
    return rows


def measure_text(scratch: Path, count: int, device: str) -> dict[str, Any]:
    """Plain, fp32, bf16."""
    return against_plain(plain_text, Bert, text_model(scratch / "text"), text_corpus(count), device)


# ── Video ─────────────────────────────────────────────────────────────────────────────────────────


def dialogue(path: Path, seconds: float, width: int = 720, height: int = 480, rate: int = 25) -> None:
    """Two drawn faces side by side that sway, on a noisy ground; MPEG-4 as in IEMOCAP's AVI files."""
    rng = np.random.default_rng(0)
    ground = cv2.GaussianBlur(rng.integers(60, 160, (height, width), np.uint8), (0, 0), 3)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = width, height, "yuv420p", 1_500_000
        for number in range(int(seconds * rate)):
            image = ground.copy()
            for actor in (0, 1):
                sway = np.sin(number / 40 + actor)
                _draw_face(
                    image, int(width * (0.25 + 0.5 * actor) + 40 * sway), int(height * 0.5 + 20 * sway), 90
                )
            frame = av.VideoFrame.from_ndarray(image, format="gray")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _draw_face(image: np.ndarray, x: int, y: int, radius: int) -> None:
    def oval(dx: float, dy: float, across: float, down: float, shade: int) -> None:
        middle = (int(x + dx * radius), int(y + dy * radius))
        cv2.ellipse(image, middle, (int(across * radius), int(down * radius)), 0, 0, 360, shade, -1)

    oval(0, 0, 0.75, 1, 200)
    for side in (-1, 1):
        oval(0.32 * side, -0.2, 0.2, 0.11, 60)
        oval(0.32 * side, -0.42, 0.26, 0.06, 80)
    oval(0, 0.15, 0.1, 0.2, 170)
    oval(0, 0.55, 0.3, 0.1, 90)


def turns(path: Path, seconds: float, count: int) -> list[Utterance]:
    """Utterances of two speakers in turn; every fourth begins before the last one has ended."""
    step = seconds / count
    spans = [(i * step - (0.8 if i % 4 == 3 else 0.0), (i + 1) * step - 0.2) for i in range(count)]
    return [
        Utterance(f"{path.stem}-{i:03d}", video=str(path), start=a, end=b, crop="left" if i % 2 else "right")
        for i, (a, b) in enumerate(spans)
    ]


def plain_video(
    utterances: list[Utterance], rate: float = 10.0, margin: float = 0.1
) -> tuple[list[int], int]:
    """One seek an utterance, the same detector on every chosen frame; faces of each, frames decoded."""
    detector, search = build_detector("mtcnn"), SEARCH["mtcnn"]
    gradients = FaceGradients(FaceReader, 16, 2)
    counts, decoded = [], 0
    for utterance in utterances:
        capture = cv2.VideoCapture(utterance.video)
        capture.set(cv2.CAP_PROP_POS_MSEC, 1000 * utterance.start)
        patches, due = [], utterance.start
        while True:
            now = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            there, image = capture.read()
            decoded += there
            if not there or now >= utterance.end:
                break
            if now + 1e-6 < due:
                continue
            due += 1 / rate
            gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
            half = gray.shape[1] // 2
            gray = np.ascontiguousarray(gray[:, :half] if utterance.crop == "left" else gray[:, -half:])
            small, scale = search.reduced(gray)
            boxes = detector(small, search.least(small), max(small.shape))
            if boxes:
                box = max(boxes, key=lambda b: b[2] * b[3])
                patches.append(cut(gray, tuple(round(v * scale) for v in box), margin))
        capture.release()
        if patches:
            gradients.rows(np.stack(patches))
        counts.append(len(patches))
    return counts, decoded


def frames_decoded(utterances: list[Utterance]) -> int:
    """Frames that reading the faces of all utterances of one file decodes."""
    count, timed_frames = 0, video.timed_frames

    def counting(*arguments: Any) -> Iterable[Any]:
        nonlocal count
        for item in timed_frames(*arguments):
            count += 1
            yield item

    video.timed_frames = counting
    try:
        FaceReader(detector=lambda *_: [])(_clips(utterances))
    finally:
        video.timed_frames = timed_frames
    return count


def _clips(utterances: list[Utterance]) -> list[Clip]:
    return [Clip(u.video, u.start, u.end, u.crop) for u in utterances]


def measure_video(scratch: Path, seconds: float, count: int) -> dict[str, Any]:
    """A dialogue against one seek an utterance; decoding, search and network alone."""
    path = scratch / "dialogue.avi"
    dialogue(path, seconds)
    utterances = turns(path, seconds, count)
    frames = int(seconds * 25)
    plain_seconds, (plain, plain_decoded) = timed(lambda: plain_video(utterances))
    ours_seconds, ours = timed(lambda: list(Hog(Hog.Settings(), workers=CORES).encode(utterances)))
    found = [0 if isinstance(answer, Rejected) else len(answer.frames) for answer in ours]
    decoding, _ = timed(lambda: FaceReader(detector=lambda *_: [])(_clips(utterances)))
    reading, faces = timed(lambda: FaceReader()(_clips(utterances)))
    weights = scratch / "denseface.safetensors"
    save_weights(weights, Denseface())
    encoder = DensefaceRows(DensefaceRows.Settings(weights=str(weights)), device="cpu", workers=CORES)
    patches = np.concatenate([one.patches for one in faces if isinstance(one, Faces)])
    torch.set_num_threads(1)
    started = time.perf_counter()
    for first in range(0, len(patches), encoder.batch_faces):
        encoder.rows([patches[first : first + encoder.batch_faces]])
    network = time.perf_counter() - started
    whole, _ = timed(lambda: list(encoder.encode(utterances)))
    return {
        "utterances": count,
        "frames": frames,
        "decoded": frames_decoded(utterances),
        "plain_decoded": plain_decoded,
        "faces": sum(found),
        "plain_faces": sum(plain),
        "plain_seconds": plain_seconds,
        "hog": {"seconds": ours_seconds, "speedup": plain_seconds / ours_seconds},
        "denseface": {"seconds": whole},
        "seconds_alone": {
            "decoding": decoding,
            "face search": max(reading - decoding, 0.0),
            "network": network,
        },
    }


# ── Shards and memory ─────────────────────────────────────────────────────────────────────────────


def measure_shards(scratch: Path, count: int) -> dict[str, Any]:
    """Reading shards of a 768-d encoder back into training tensors."""

    class Noise:
        modality, dim = "s", 768

        def describe(self) -> dict[str, str]:
            return {"encoder": "noise", "revision": "1", "libraries": "", "parameters": ""}

        def encode(self, utterances: list[Utterance]) -> Iterable[Any]:
            from cmarr.utterance import FeatureSequence

            rng = np.random.default_rng(0)
            for utterance, duration in zip(utterances, lengths(len(utterances), 4.5), strict=True):
                frames = rng.standard_normal((int(50 * duration), 768)).astype(np.float32)
                yield FeatureSequence(utterance.id, frames, np.arange(len(frames), dtype=np.float32) / 50)

    utterances = [Utterance(f"{i:05d}", audio=f"/{i}.wav") for i in range(count)]
    writing, _ = timed(lambda: extract(utterances, Noise(), scratch / "shards"))

    def read() -> Any:
        table = read_features(scratch / "shards")
        store = build_store(table.ids, {"s": table}, [0] * len(table.ids))
        return store, store.batch(torch.arange(min(64, len(store))))

    seconds, (store, _) = timed(read)
    size = store.values["s"].nbytes / 1e6
    return {
        "utterances": count,
        "megabytes": size,
        "write_seconds": writing,
        "read_seconds": seconds,
        "read_MB_per_s": size / seconds,
    }


def peak_memory(count: int) -> dict[str, float]:
    """Peak MB of this process and of its largest worker over `count` utterances; run in a process of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        size = {
            "hidden_size": 192,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": 256,
        }
        model = speech_model(folder / "model", **size, conv_dim=(64,) * 7)
        files = speech_corpus(folder / "wav", 50, seconds=2.0)
        utterances = [Utterance(f"{i:05d}", audio=files[i % len(files)].audio) for i in range(count)]
        extract(
            utterances, Wav2vec2(Wav2vec2.Settings(model=model), device="cpu", workers=2), folder / "features"
        )
    who = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    main, worker = (resource.getrusage(w).ru_maxrss / 1024 for w in who)
    return {"main_MB": main, "worker_MB": worker}


def measure_memory() -> dict[str, Any]:
    """Peak memory for 200 and for 2000 utterances."""
    result: dict[str, Any] = {}
    for count in (200, 2000):
        command = [sys.executable, "-m", "benchmarks.extraction", "--memory", str(count)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        result[str(count)] = json.loads(done.stdout.splitlines()[-1])
    total = {k: v["main_MB"] + v["worker_MB"] for k, v in result.items()}
    return {**result, "growth": total["2000"] / total["200"] - 1}


# ── The table ─────────────────────────────────────────────────────────────────────────────────────


def table(results: dict[str, Any]) -> str:
    """What was measured against what was aimed at."""
    lines = [f"{'':34}{'plain loop':>12}{'here':>10}{'speed-up':>10}{'aim':>8}{'largest difference':>20}"]
    aims = {("text", "fp32"): 3.0, ("text", "bf16"): 6.0, ("speech", "fp32"): 1.0, ("speech", "bf16"): 1.6}
    for (part, precision), aim in aims.items():
        if part in results:
            r, p = results[part], results[part][precision]
            name = f"{part}, {r['utterances']} utterances, {precision}"
            lines.append(
                f"{name:34}{r['plain_seconds']:>10.1f} s{p['seconds']:>8.1f} s{p['speedup']:>9.2f}x{aim:>7.1f}x"
                f"{p['largest_difference']:>20.1e}"
            )
    if "video" in results:
        r = results["video"]
        lines.append(
            f"{'video (hog), ' + str(r['utterances']) + ' utterances':34}{r['plain_seconds']:>10.1f} s"
            f"{r['hog']['seconds']:>8.1f} s{r['hog']['speedup']:>9.2f}x{1.5:>7.1f}x"
        )
        lines.append(
            f"  frames decoded: {r['decoded']} of {r['frames']} ({r['decoded'] / r['frames']:.3f}x, aim 1.05x; plain "
            f"loop {r['plain_decoded'] / r['frames']:.2f}x); faces {r['faces']} (plain loop {r['plain_faces']})"
        )
    for part in ("speech", "video"):
        if part in results:
            alone = results[part]["seconds_alone"]
            shares = ", ".join(f"{k} {v:.1f} s ({v / sum(alone.values()):.0%})" for k, v in alone.items())
            lines.append(f"  {part}, each alone: {shares}")
    if "video" in results:
        alone = sum(results["video"]["seconds_alone"].values())
        lines.append(
            f"  video (denseface), beside one another: {results['video']['denseface']['seconds']:.1f} s, "
            f"one after another {alone:.1f} s"
        )
    if "shards" in results:
        r = results["shards"]
        lines.append(
            f"shards to training tensors: {r['megabytes']:.0f} MB in {r['read_seconds']:.2f} s, "
            f"{r['read_MB_per_s']:.0f} MB/s"
        )
    if "memory" in results:
        r = results["memory"]
        lines.append(
            f"peak memory, 200 utterances: {r['200']['main_MB']:.0f} + {r['200']['worker_MB']:.0f} MB, 2000: "
            f"{r['2000']['main_MB']:.0f} + {r['2000']['worker_MB']:.0f} MB ({r['growth']:+.1%}, aim within 10 %)"
        )
    if results["load_before"] > 1:
        lines.append(
            f"other programs kept {results['load_before']:.1f} cores busy before this began: rough numbers"
        )
    gpu = results["gpu"]
    lines.append(
        f"GPU, bf16 against the plain loop in fp32: speech {gpu['speech']['bf16']['speedup']:.1f}x, text "
        f"{gpu['text']['bf16']['speedup']:.1f}x (aim 10x)"
        if isinstance(gpu, dict)
        else f"GPU: {gpu}"
    )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a quarter of the work; rougher numbers")
    parser.add_argument("--only", nargs="*", default=["text", "speech", "video", "shards", "memory"])
    parser.add_argument("--memory", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    if arguments.memory:
        print(json.dumps(peak_memory(arguments.memory)))
        return
    share = 4 if arguments.quick else 1
    measures: dict[str, Callable[[Path], Any]] = {
        "text": lambda scratch: measure_text(scratch, 512 // share, "cpu"),
        "speech": lambda scratch: measure_speech(scratch, 64 // share, "cpu"),
        "video": lambda scratch: measure_video(scratch, 180.0 / share, 40 // share),
        "shards": lambda scratch: measure_shards(scratch, 1000 // share),
        "memory": lambda scratch: measure_memory(),
    }
    results: dict[str, Any] = {"cores": CORES, "bf16_units": _bf16_units(), "torch": torch.__version__}
    results["load_before"] = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as scratch:
        for name in arguments.only:
            results[name] = measures[name](Path(scratch))
            print(f"{name} done", file=sys.stderr)
        results["gpu"] = "not measured"
        if torch.cuda.is_available():
            results["gpu"] = {
                "speech": measure_speech(Path(scratch), 512 // share, "cuda"),
                "text": measure_text(Path(scratch), 2048 // share, "cuda"),
            }
    print(table(results))
    print(json.dumps(results, indent=2))


def _bf16_units() -> bool:
    path = Path("/proc/cpuinfo")
    return path.is_file() and any(flag in path.read_text() for flag in ("amx_bf16", "avx512_bf16"))


if __name__ == "__main__":
    main()
