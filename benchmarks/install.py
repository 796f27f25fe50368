"""What an install of cmarr takes on disk, part by part: the files of the packages in this environment, summed up.

    python -m benchmarks.install          prints a table and writes benchmarks/results/install.json

Libraries for GPUs count by themselves: the packages of NVIDIA and Triton, and such libraries in PyTorch's own package.
What remains is about what an install with PyTorch's build for CPUs takes.
"""

import re
import sys
import tomllib
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

from cmarr.extras import EXTRAS
from cmarr.files import write_json

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
RESULT = Path(__file__).parent / "results" / "install.json"
GPU_PACKAGE = re.compile(r"(nvidia|cuda|triton)")
GPU_FILE = re.compile(r"(cuda|nvrtc|nccl|cudnn|cupti|nvshmem).*\.so")


def closure(names: list[str]) -> set[str]:
    """Distributions that installing these brings, themselves included; as `cmarr[media]`."""
    found: set[str] = set()
    seen: set[str] = set()
    waiting = [Requirement(name) for name in names]
    while waiting:
        wanted = waiting.pop()
        if str(wanted) in seen:
            continue
        seen.add(str(wanted))
        try:
            there: Distribution = distribution(wanted.name)
        except PackageNotFoundError:
            print(f"{wanted.name} is not here and does not count", file=sys.stderr)
            continue
        found.add(re.sub(r"[-_.]+", "-", there.name).lower())
        for line in there.requires or []:
            needed = Requirement(line)
            extras = ["", *wanted.extras]
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                needed.marker = None
                waiting.append(needed)
    return found


def sizes(name: str) -> tuple[int, int]:
    """Bytes of a distribution's files, without and with GPUs' libraries alone; compiled Python does not count."""
    plain = gpu = 0
    for file in distribution(name).files or []:
        path = Path(str(file.locate()))
        if path.suffix == ".pyc" or not path.is_file():
            continue
        if GPU_PACKAGE.match(name) or GPU_FILE.search(path.name):
            gpu += path.stat().st_size
        else:
            plain += path.stat().st_size
    return plain, gpu


def measured() -> dict[str, dict[str, float]]:
    """Part -> GB that it has, for a CPU and of libraries for GPUs; of an extra, what it adds to cmarr alone."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    core = closure(project["dependencies"])
    extras = {name: closure(project["optional-dependencies"][name]) - core for name in EXTRAS}
    whole = set().union(*(extras[name] for name in ("media", "encoders", "study", "serve")))
    parts = {"cmarr": core, **extras, "all": whole}
    found = {}
    for part, names in parts.items():
        each = [sizes(name) for name in sorted(names)]
        found[part] = {
            "packages": len(names),
            "GB for a CPU": round(sum(plain for plain, _ in each) / 1e9, 2),
            "GB more for GPUs": round(sum(gpu for _, gpu in each) / 1e9, 2),
        }
    return found


if __name__ == "__main__":
    result = measured()
    for part, row in result.items():
        print(f"{part:10}", *(f"{key}: {value:g}" for key, value in row.items()), sep="   ")
    write_json(RESULT, result)
