"""Surroundings that no file makes: a clock set back, no shared memory, no permission, closed streams, kills."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import miniatures

from benchmarks.scale import DATASET, draw, measured, stages, write_project

ROOT = Path(__file__).parents[2]
PREDICT = [
    "-m",
    "cmarr.cli",
    "predict",
    "clip.wav",
    "--text",
    "hi",
    "--model",
    "starter",
    "--format",
    "jsonl",
]
HELD = "held"


def _run(
    folder: Path,
    arguments: list[str],
    *before: str,
    environment: dict[str, str] | None = None,
    seconds: float = 600,
) -> subprocess.CompletedProcess[str]:
    own = {**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})}
    return subprocess.run(
        [*before, sys.executable, *arguments],
        cwd=folder,
        env=own,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def _judged(done: subprocess.CompletedProcess[str], statuses: tuple[int, ...] = (0,)) -> str:
    if "Traceback" in done.stderr:
        return f"traceback: {done.stderr.strip().splitlines()[-1][:200]}"
    if done.returncode not in statuses:
        return f"ended with {done.returncode}: {done.stderr.strip()[-200:]}"
    return HELD


def _clip(folder: Path) -> str:
    miniatures.sound(folder / "clip.wav", 1.0)
    return _run(folder, PREDICT).stdout


def clock_set_back(folder: Path) -> str:
    """The clock goes back by a day while a prediction is under way; its answer is the same."""
    expected = _clip(folder)
    (folder / "back").mkdir()
    (folder / "back/sitecustomize.py").write_text(
        "import time\n_true, _calls = time.time, [0]\n\n\ndef back():\n    _calls[0] += 1\n"
        "    return _true() - 86400 * (_calls[0] > 20) - 3600 * _calls[0]\n\n\ntime.time = back\n"
    )
    done = _run(folder, PREDICT, environment={"PYTHONPATH": str(folder / "back")})
    return (
        _judged(done)
        if done.stdout == expected
        else f"another answer: {done.stdout[:200]}{done.stderr[-200:]}"
    )


def no_shared_memory(folder: Path) -> str:
    """/dev/shm is not there to be written; the answer is the same."""
    expected = _clip(folder)
    if shutil.which("unshare") is None or os.geteuid():
        return "not tried: needs root and unshare"
    hidden = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o ro,size=4k none /dev/shm && exec "$@"', "sh"]
    done = _run(folder, PREDICT, *hidden)
    return (
        _judged(done)
        if done.stdout == expected
        else f"another answer: {done.stdout[:200]}{done.stderr[-200:]}"
    )


def _nobody() -> list[str]:
    """What lets a command be an ordinary user's, who sees of the folder that Python may lie in no more than that."""
    become = 'exec setpriv --reuid=65534 --regid=65534 --clear-groups sh -c \'exec "$@"\' sh "$@"'
    python = Path(sys.base_prefix)
    closed = next((p for p in reversed(python.parents) if not p.stat().st_mode & 0o001), None)
    if closed is None:
        return ["sh", "-c", become, "sh"]
    opened = (
        f'mount --bind "{python}" /mnt && mount -t tmpfs -o mode=755 none "{closed}" && mkdir -p "{python}" && '
        f'mount --bind /mnt "{python}" && {become}'
    )
    return ["unshare", "-m", "sh", "-c", opened, "sh"]


def no_permission(folder: Path) -> str:
    """An ordinary user who may write neither here nor at home: an answer on standard output, a sentence for a file."""
    expected = _clip(folder)
    if shutil.which("setpriv") is None or os.geteuid():
        return "not tried: needs root and setpriv"
    for path in (folder, folder / "clip.wav"):
        path.chmod(0o755)
    nobody = _nobody()
    home = {"HOME": "/nonexistent", "TMPDIR": "/tmp"}
    if _run(folder, ["-c", "import cmarr, torch"], *nobody, environment=home).returncode:
        return "not tried: an ordinary user may not read this installation"
    done = _run(folder, PREDICT, *nobody, environment=home)
    if done.stdout != expected:
        return f"another answer: {done.stdout[:200]}{done.stderr[-200:]}"
    written = _run(folder, [*PREDICT, "-o", "out.jsonl"], *nobody, environment=home)
    if "Permission denied" not in written.stderr:
        return f"no sentence: {written.stderr[-200:]}"
    (folder / "clip.wav").chmod(0)
    unread = _run(folder, PREDICT, *nobody, environment=home)
    return _judged(unread, (0, 1)) if _judged(written, (1, 2)) == HELD else _judged(written, (1, 2))


def ctrl_c(folder: Path) -> str:
    """Ctrl-C while the text of a bomb is read ends the command within two seconds, and leaves no process."""
    (folder / "x.pkl").touch()
    code = (
        "import time\nfrom pathlib import Path\nfrom cmarr.media.foreign import read_foreign, Budget\n"
        "from benchmarks.abuse.surroundings import spin\nprint('begun', flush=True)\n"
        "read_foreign(spin, Path('x.pkl'), budget=Budget(seconds=60.0))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(3.0)
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    try:
        process.wait(10.0)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return "did not hear Ctrl-C"
    took = time.monotonic() - begun
    left = subprocess.run(
        ["pgrep", "-g", str(process.pid)], capture_output=True, text=True, check=False
    ).stdout
    return HELD if took < 2.0 and not left.split() else f"took {took:.1f} s, left {left.split()}"


STUDY = """
import cmarr
corpus = cmarr.load_corpus(
    "clips.csv", folder="study", workers=1, encoders={"speech": "logmel", "text": "hashing"},
    dataset={"classes": ["calm", "tense"], "folds": "speaker", "n_folds": 4},
)
print(cmarr.evaluate(cmarr.train(corpus, "linear", seeds=[0])).table.to_csv())
"""
KILLS = 8


def kills_in_a_study(folder: Path) -> str:
    """Extraction, training and evaluation, killed eight times and begun again, end in an undisturbed run's bytes."""
    rows = [f"u{i},u{i}.wav,{'calm' if i % 2 else 'tense'},s{i // 4},hi {i}" for i in range(16)]
    for name in ("whole", "killed"):
        (folder / name).mkdir()
        (folder / name / "clips.csv").write_text("\n".join(["id,audio,label,speaker,text", *rows]) + "\n")
        for i in range(16):
            miniatures.sound(folder / name / f"u{i}.wav", 0.5 + i / 50)
    begun = time.monotonic()
    whole = _run(folder / "whole", ["-c", STUDY])
    took = time.monotonic() - begun
    if whole.returncode:
        return _judged(whole)
    draw, deaths = random.Random(0), 0
    while deaths < KILLS:
        process = subprocess.Popen(
            [sys.executable, "-c", STUDY], cwd=folder / "killed", stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        try:
            process.wait(took * draw.uniform(0.3, 1.1))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        deaths += 1
    done = _run(folder / "killed", ["-c", STUDY])
    if done.stdout != whole.stdout:
        return f"another table: {done.stdout[-200:]}{done.stderr[-200:]}"
    found = {name: _bytes(folder / name / "study") for name in ("whole", "killed")}
    other = sorted(
        k for k in found["whole"] | found["killed"] if found["whole"].get(k) != found["killed"].get(k)
    )
    return f"other files: {', '.join(other[:5])}" if other else HELD


def kills_in_the_report(folder: Path) -> str:
    """The report, killed eight times and begun again, ends in an undisturbed run's bytes."""
    draw(folder / "own", 300)
    write_project(folder, ["linear"])
    took = 0.0
    for stage in stages(["linear"]):
        took = measured(folder, stage)["seconds"]
    report = folder / "metrics" / DATASET / "report"
    whole, random_times = _bytes(report), random.Random(0)
    shutil.rmtree(report)
    command = [sys.executable, "-m", "stages.report", DATASET]
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "DVC_ROOT": str(folder)}
    for _ in range(KILLS):
        process = subprocess.Popen(
            command, cwd=folder, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            process.wait(took * random_times.uniform(0.5, 1.0))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    measured(folder, ("report",))
    found = _bytes(report)
    other = sorted(k for k in whole | found if whole.get(k) != found.get(k))
    return f"other files: {', '.join(other[:5])}" if other else HELD


def unusual_shells(folder: Path) -> str:
    """Streams closed, no home, another language, names that are no text: the same answer."""
    expected = _clip(folder)
    name = os.fsdecode(b"\xff\xfe.wav")
    shutil.copy(folder / "clip.wav", folder / name)
    shells: list[tuple[str, list[str], dict[str, str]]] = [
        ("input and errors closed", ["sh", "-c", 'exec "$@" <&- 2>&-', "sh"], {}),
        ("no home", ["env", "-u", "HOME"], {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "COLUMNS": "0"}),
        ("few files", ["sh", "-c", 'ulimit -n 64 && exec "$@"', "sh"], {"TZ": "nowhere", "TERM": ""}),
    ]
    for what, before, environment in shells:
        done = _run(folder, PREDICT, *before, environment=environment)
        if done.stdout != expected:
            return f"{what}: another answer: {done.stdout[:200]}{done.stderr[-200:]}"
    strange = [name if word == "clip.wav" else word for word in PREDICT]
    done = _run(folder, strange, environment={"LC_ALL": "C"})
    return _judged(done)


def _bytes(folder: Path) -> dict[str, bytes]:
    """All files but for the figures of cost, and what a kill has left that goes at the next run."""
    files = [p for p in folder.rglob("*") if p.is_file() and p.name not in TIMED and p.suffix != ".tmp"]
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


TIMED = ("cost.json",)


def spin(path: Path) -> None:
    """What a library does that does not come back."""
    while path:
        pow(3, 100_000)


SURROUNDINGS: dict[str, Callable[[Path], str]] = {
    "a clock set back": clock_set_back,
    "no /dev/shm": no_shared_memory,
    "an ordinary user without permission": no_permission,
    "Ctrl-C while a file is read": ctrl_c,
    "kills in extraction, training and evaluation": kills_in_a_study,
    "kills in the report": kills_in_the_report,
    "unusual shells": unusual_shells,
}
