"""What `cmarr doctor` prints: every dataset's findings, coloured on a terminal, plain text anywhere else."""

import shutil
import socket
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cmarr.budgets import expanded, real
from cmarr.corpora.controls import READER as CONTROLS
from cmarr.corpora.demo.reader import READER as DEMO
from cmarr.corpora.expected import Finding
from cmarr.device import choose_device
from cmarr.doctor.corpus import Topic, examine
from cmarr.doctor.extraction import Source
from cmarr.doctor.media import face_findings
from cmarr.encoders.at_hand import RANKED, lacking
from cmarr.encoders.registry import placed, takes_device
from cmarr.errors import UserError, many, require_known
from cmarr.execution.local import worker_count
from cmarr.extras import extra
from cmarr.features.source import source_of
from cmarr.modalities import MODALITIES, NAMES
from cmarr.objects import is_remote
from cmarr.settings.load import load_settings
from cmarr.settings.resolve import resolve
from cmarr.settings.schema import Dataset, Settings
from cmarr.utterance import Utterance

Print = Callable[..., None]
"""Prints a text; keywords `fg` (a colour), `bold`, and `nl` (False: stay on the line)."""

_MARKS = {
    "ok": ("ok", "green"),
    "note": ("--", "cyan"),
    "warning": ("!!", "yellow"),
    "problem": ("XX", "red"),
}
_GIGABYTES_AN_HOUR = 0.28
"""Most that a modality's features take: wav2vec2's, 50 rows of 768 half-precision numbers a second."""
DRAWN = (DEMO, CONTROLS)
"""Kinds of corpora that come along with the product: that their root exists says nothing."""
REACHED = 3.0
"""Seconds in which the model hub must answer."""


def examine_datasets(dataset: str | None, everything: bool, params: Path, echo: Print, run: str = "") -> int:
    """Print all that is found out about a dataset (None: that of params.yaml), or all; the number of problems.

    run: said of a dataset without problems; `{}` in it is the dataset's name

    Raises UserError for settings that cannot be read, and a dataset that does not exist.
    """
    if not params.is_file():
        raise UserError(f"{params} is not there; run this in the project's folder, or name it with --params")
    if everything and dataset is not None:
        raise UserError(f"--all asks for every dataset whose root exists; name {dataset}, or --all, not both")
    settings = load_settings(params, params.parent / "presets")
    names = _everything(settings, params) if everything else [dataset or settings.dataset]
    for name in names:
        require_known(name, settings.datasets, f"{params}: no dataset {name!r}")
    found = 0
    for name in names:
        found += _examine(name, load_settings(params, params.parent / "presets", name), params, echo, run)
    return found


def _everything(settings: Settings, params: Path) -> list[str]:
    brought = [n for n, d in settings.datasets.items() if d.kind not in DRAWN]
    there = [n for n in brought if _root(settings.datasets[n], params).exists()]
    if not there:
        raise UserError(
            f"{params}: no dataset's root exists; set datasets.<name>.root to where a corpus lies"
        )
    return there


def _root(dataset: Dataset, params: Path) -> Path:
    given = expanded(dataset.root)
    return given if is_remote(given) else real(real(params).parent / given)


def _examine(name: str, settings: Settings, params: Path, echo: Print, run: str) -> int:
    """Print all that is found out about one dataset; the number of problems."""
    dataset = settings.datasets[name]
    root = _root(dataset, params)
    echo(f"{name}", bold=True, nl=False)
    echo(f"  (kind {dataset.kind}, {root})")
    counts = dict.fromkeys(_MARKS, 0)
    for topic in _topics(name, settings, root, params):
        _print(topic, echo)
        for finding in topic.findings:
            counts[finding.level] += 1
    told = ", ".join(many(counts[level], level) for level in ("problem", "warning"))
    verdict = "this will not run" if counts["problem"] else "ready"
    echo(f"  {told}; {verdict}{run.format(name) if run and not counts['problem'] else ''}\n", bold=True)
    return counts["problem"]


def _topics(name: str, settings: Settings, root: Path, params: Path) -> Iterator[Topic]:
    dataset, workers = settings.datasets[name], worker_count(settings.workers)
    sources: dict[str, Source] = {}
    try:
        resolved = resolve(settings)
        device = choose_device(settings.device)
        sources = {letter: _source(letter, resolved, root, params, workers, device) for letter in MODALITIES}
    except UserError as error:  # what the first stage of a run would stop at
        yield Topic("settings", [Finding("problem", str(error), "correct it in params.yaml")])
    yield from examine(
        name,
        dataset,
        root,
        sources=sources,
        workers=workers,
        normalise=settings.normalise,
        faces=lambda utterances: _faces(utterances, sources, settings.extraction.time_limit, workers),
    )
    if dataset.features == "encoders":
        yield Topic("encoders", [_weights(m, settings) for m in NAMES.values()])
    free = shutil.disk_usage(real(params).parent).free / 1e9
    advice = "" if free > 1 else "features, models and their cache need room: free some"
    level: Any = "ok" if free > 1 else "warning"
    told = f"{free:.0f} GB free; an hour of speech or video takes up to {_GIGABYTES_AN_HOUR} GB as features"
    yield Topic("disk", [Finding(level, told, advice)])


def _source(
    letter: str, resolved: Mapping[str, Any], root: Path, params: Path, workers: int, device: str
) -> Source:
    """Where the stage `extract` will take a modality's features from."""
    own, dataset = resolved[NAMES[letter]], resolved["corpus"]["dataset"]
    base = real(params).parent
    build = source_of(letter, own, root, dataset=dataset, base=base, workers=workers, device=device)
    if own["source"] == "corpus":
        return Source("features of the corpus", build, own["max_rejected"], whole=True)
    quick = letter == "t" and not takes_device(own["encoder"])
    place = placed(own["encoder"], own["settings"], base)
    lacking = "" if _here(place) else f"{place['model']} is not on this machine"
    return Source(own["encoder"], build, own["max_rejected"], whole=quick, lacking=lacking)


def _here(settings: Mapping[str, Any]) -> bool:
    """Whether a pretrained network that an encoder's settings name lies in a folder or the cache of the model hub."""
    model = settings.get("model")
    return model is None or expanded(model).is_dir() or not lacking(settings, Path())


def _faces(
    utterances: Sequence[Utterance], sources: Mapping[str, Source], seconds: float, workers: int
) -> list[Finding]:
    """How often the video encoder finds a face; nothing of one that looks for none, or that cannot be built."""
    if "v" not in sources or sources["v"].lacking:
        return []
    try:
        encoder: Any = sources["v"].build()
    except UserError:
        return []
    return (
        face_findings(utterances, encoder.faces.reader, workers, seconds) if hasattr(encoder, "faces") else []
    )


def _weights(modality: str, settings: Settings) -> Finding:
    """One line about the encoder of a modality ('speech', 'video', 'text'); nothing is fetched."""
    name = getattr(settings.encoders, modality)
    section = getattr(settings.encoders, name, None)
    if section is None or isinstance(section, str):
        return Finding("problem", f"encoders.{modality}: {name!r} is not an encoder")
    model = section.model_dump().get("model")
    if model is None:
        return Finding("ok", f"{modality}: {name}, ready{_better(modality, name, settings)}")
    if expanded(model).is_dir():
        return Finding("ok", f"{modality}: {name} from the folder {model}")
    if _here(section.model_dump()):
        return Finding("ok", f"{modality}: {name}, {model} is on this machine")
    return _fetched(modality, name, model)


def _better(modality: str, name: str, settings: Settings) -> str:
    """Why `best` stands for an encoder and not for a better one."""
    if settings.datasets[settings.dataset].kind == "demo":
        return ""
    ranked = RANKED[modality]
    better = ranked[: ranked.index(name)] if name in ranked else ()
    missed = [(other, lacking(getattr(settings.encoders, other).model_dump(), Path())) for other in better]
    told = "".join(
        f"; {other} is better, but {model} is not on this machine" for other, model in missed if model
    )
    keys = " and ".join(f"encoders.{other}.model" for other, model in missed if model)
    return f"{told} (fetch it, or set {keys} to a folder that holds it)" if told else ""


def _fetched(modality: str, name: str, model: str) -> Finding:
    """What extraction will come to where a network is still to be fetched."""
    told = f"{modality}: {name}, {model} is not on this machine"
    advice = f"without a connection set encoders.{name}.model to a folder that holds it"
    if not _reachable():
        return Finding("problem", f"{told}, and the model hub cannot be reached from it", advice)
    return Finding("warning", told, f"the first extraction fetches it; {advice}")


@cache
def _reachable() -> bool:
    """Whether the model hub answers; extraction fetches from it, the doctor does not."""
    with extra("encoders"):
        from huggingface_hub import constants

    host = urlsplit(constants.ENDPOINT)
    if constants.HF_HUB_OFFLINE:
        return False
    try:
        port = host.port or (80 if host.scheme == "http" else 443)
        socket.create_connection((host.hostname or "", port), timeout=REACHED).close()
    except OSError:
        return False
    return True


def _print(topic: Topic, echo: Print) -> None:
    """A topic's tables and findings: coloured on a terminal, plain text anywhere else."""
    echo(f"  {topic.name}", bold=True)
    for table in topic.tables:
        widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
        for row in table:
            cells = [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]
            echo("       " + "  ".join(cells))
    for finding in topic.findings:
        mark, colour = _MARKS[finding.level]
        echo(f"    {mark} ", fg=colour, nl=False)
        first, *rest = finding.text.split("\n")
        echo(_wrapped(first, " " * 7)[7:])
        for line in rest:
            echo(_wrapped(line, " " * 9))
        if finding.advice:
            echo(_wrapped(f"-> {finding.advice}", " " * 7), fg=colour)


def _wrapped(text: str, indent: str) -> str:
    """Broken to the width of the terminal; one line where a program reads it."""
    if not sys.stdout.isatty():
        return indent + text
    width = max(shutil.get_terminal_size().columns, 40)
    return textwrap.fill(text, width, initial_indent=indent, subsequent_indent=indent, break_long_words=False)
