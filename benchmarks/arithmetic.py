"""What moves between machines: the same study from the same recordings, under the arithmetic of other processors.

    python -m benchmarks.arithmetic                          the demo, CM-ARR, `masked` and `linear`

Features are extracted, methods trained (one seed) and asked anew under each of `VARIANTS`; what a library picks by
itself on another processor is chosen for it here. A run goes on where the last one stopped, as long as the commit is
the same. results/arithmetic.json holds every score; a page shows `table`, how far they lie from the first's.
"""

import datetime
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.records import command_line, keep, kept, markdown
from benchmarks.studies.copy import Copy
from benchmarks.studies.plan import RESULTS, ROOT, study
from benchmarks.studies.publish import machine
from cmarr.damage.kinds import KINDS
from cmarr.errors import UserError
from cmarr.evaluation.predictions import columns, read_folder
from cmarr.evaluation.sufficient_statistics import ROWS
from cmarr.evaluation.summary import summarise
from cmarr.files import folder_digest
from cmarr.modalities import NAMES
from cmarr.seals import read_json, write_json
from cmarr.task import Task

NARROW = {"MKL_CBWR": "COMPATIBLE", "ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"}
AVX2 = {"MKL_CBWR": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
AVX2 |= {"OPENBLAS_CORETYPE": "Haswell", "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX"}
NARROW |= {"OPENBLAS_CORETYPE": "Prescott", "OPENCV_CPU_DISABLE": "AVX2,FMA3,AVX"}
NARROW |= {"NPY_DISABLE_CPU_FEATURES": f"AVX2 FMA3 {AVX2['NPY_DISABLE_CPU_FEATURES']}"}

VARIANTS: Mapping[str, Mapping[str, str]] = {
    "as it comes": {},
    "once more": {},
    "MKL_CBWR=COMPATIBLE": {"MKL_CBWR": "COMPATIBLE"},
    "OpenBLAS for AVX-512": {"OPENBLAS_CORETYPE": "SkylakeX"},
    "a processor without AVX-512": AVX2,
    "a processor without AVX": NARROW,
    "products of bf16": {"matmul": "medium"},
    "two threads": {
        "threads": "2",
        "OMP_WAIT_POLICY": "PASSIVE",
    },  # a thread that waits leaves its core to others
}
"""Name -> variables of the environment; `threads` of a training and `matmul`, torch's precision of products, beside."""
LINKED = ("corpus", "manifest.parquet", "quarantine.parquet", "folds.parquet", "masks", "damaged")


def measure(root: Path, methods: Sequence[str], out: Path) -> dict[str, Any]:
    """Variant -> digest of the features, and method -> the summary of its answers and how many are others'."""
    found: dict[str, Any] = {}
    first: dict[str, Any] = {}
    data = root / "data/demo"
    for name, setting in VARIANTS.items():
        folder = out / name.lower().replace(" ", "-").replace("=", "-")
        paths = prepared(data, folder, setting, methods)
        for order in [("extract", m) for m in NAMES.values()] + [
            (stage, m) for m in methods for stage in ("pretrain", "train", "evaluate")
        ]:
            stage(root, folder, setting, *order)
        own: dict[str, Any] = {
            "features": {m: folder_digest(paths / "features" / m)[:12] for m in NAMES.values()}
        }
        for method in methods:
            task = Task(tuple(read_json(paths / "settings/evaluate" / f"{method}.json", _AGAIN)["classes"]))
            frames = read_folder(paths / "predictions" / method)
            answers = [frame[columns(task)].to_numpy() for frame in frames]
            first.setdefault(method, answers)
            others = sum(
                int((a.argmax(1) != b.argmax(1)).sum()) for a, b in zip(answers, first[method], strict=True)
            )
            summary = summarise(frames, task, resamples=2)
            own[method] = {
                "scores": {
                    metric: {row: summary[metric][row]["mean"] for row in ROWS} for metric in ("UAR", "WAR")
                },
                "answers": sum(map(len, answers)),
                "others": others,
                "same bits": all((a == b).all() for a, b in zip(answers, first[method], strict=True)),
            }
        found[name] = own
        print(f"{name}: done", flush=True)
    return found


_AGAIN = "resolve the settings of the study again"


def prepared(data: Path, folder: Path, setting: Mapping[str, str], methods: Sequence[str]) -> Path:
    """A folder in which stages find the corpus, its folds and their settings; where its data lie."""
    paths = folder / "data" / data.name
    paths.mkdir(parents=True, exist_ok=True)
    for name in LINKED:
        if not (paths / name).exists():
            (paths / name).symlink_to((data / name).resolve())
    if not (paths / "settings").is_dir():
        shutil.copytree(data / "settings", paths / "settings")
    for method in methods:
        for one in ("train", "evaluate", "pretrain"):
            path = paths / "settings" / one / f"{method}.json"
            if not path.is_file():
                raise UserError(f"{path}: does not exist; {data} is of a study without {method}")
            known = read_json(path, _AGAIN)
            if one != "pretrain":
                known["seeds"] = known["seeds"][:1]
            if one == "train":
                known["train"]["threads"] = int(setting.get("threads", known["train"]["threads"]))
            write_json(path, known)
    # read before anything else that Python does: torch's precision has no variable of its own
    text = f"import torch\ntorch.set_float32_matmul_precision({setting.get('matmul', 'highest')!r})\n"
    (folder / "sitecustomize.py").write_text(text, encoding="utf-8")
    return paths


def stage(root: Path, folder: Path, setting: Mapping[str, str], name: str, item: str) -> None:
    """Run a stage with the code of `root` in the folder, unless it has been."""
    done = folder / "done" / f"{name}-{item}"
    if done.is_file():
        return
    env = {k: v for k, v in setting.items() if k.isupper()} | {"DVC_ROOT": str(folder.resolve())}
    env["PYTHONPATH"] = os.pathsep.join([str(folder.resolve()), str(root)])
    dataset = next((folder / "data").iterdir()).name
    command = [sys.executable, "-m", f"stages.{name}", dataset, item]
    if subprocess.run(command, cwd=folder, env=os.environ | env, check=False).returncode:
        raise UserError(f"{' '.join(command[2:])} failed in {folder}; what it says stands above")
    done.parent.mkdir(exist_ok=True)
    done.touch()


def moved(found: Mapping[str, Any], variant: str, method: str, metric: str = "UAR") -> dict[str, float]:
    """How far a variant's scores lie from those of the first, in points: avg6, and the largest of all rows."""
    base = found[next(iter(found))][method]["scores"][metric]
    own = found[variant][method]["scores"][metric]
    away = {row: 100 * (own[row] - base[row]) for row in ROWS if own[row] is not None}
    return {"avg6": away["avg6"], "most": max(map(abs, away.values()))}


def table(content: Mapping[str, Any]) -> str:
    """A row a variant: of each method the change of avg6, and the largest of any row, points of UAR."""
    found = content["result"]
    base, *rest = found
    methods = [m for m in found[base] if m != "features"]
    rows = []
    for name in rest:
        cells = []
        for method in methods:
            if found[name][method]["same bits"]:
                cells.append("same bits")
            else:
                away = moved(found, name, method)
                cells.append(f"{away['avg6']:+.2f}, {away['most']:.2f}")
        same = [m for m in NAMES.values() if found[name]["features"][m] == found[base]["features"][m]]
        rows.append([name, ", ".join(m for m in NAMES.values() if m not in same) or "none", *cells])
    head = ["UAR: avg6, largest of any condition; points away", "features that differ", *methods]
    return markdown(head, rows)


def sentence(content: Mapping[str, Any]) -> str:
    """The tolerance, in words: the largest that was seen."""
    found = content["result"]
    base, *rest = found
    methods = [m for m in found[base] if m != "features"]
    most = {m: max(moved(found, name, m)["most"] for name in rest) for m in methods}
    mean = {m: max(abs(moved(found, name, m)["avg6"]) for name in rest) for m in methods}
    told = ", ".join(f"`{m}` {mean[m]:.1f} in avg6 and {most[m]:.1f} in a single condition" for m in methods)
    return f"Between processors the same command with the same seed moves by up to (points of UAR): {told}."


def main() -> None:
    """Measure what has not been measured yet; print and keep."""
    parser = command_line(__doc__)
    parser.add_argument("--nice", type=int, default=10, help="as of nice(1)")
    parser.add_argument("--methods", nargs="*", default=["cmarr", "masked", "linear"])
    parser.add_argument("--out", type=Path, default=Path(".cmarr/arithmetic"), help="folder of the answers")
    options = parser.parse_args()
    os.nice(options.nice)
    copy = Copy((options.out / "copy").resolve(), ROOT)
    with copy.alone():
        head = copy.at_head()[:10]
        copy.prepare(study("demo"))
        copy.dvc("repro", "--quiet", "masks", *(f"damage@{kind}" for kind in KINDS))
        result = measure(copy.root, options.methods, options.out / head)
    content = {
        "command": f"python -m benchmarks.arithmetic --methods {' '.join(options.methods)}",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": head,
        "machine": machine(),
        "result": result,
    }
    keep("arithmetic", content, RESULTS)
    print(f"\n{table(kept('arithmetic', RESULTS))}\n\n{sentence(content)}")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"arithmetic: {error}")
