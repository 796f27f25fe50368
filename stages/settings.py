"""Resolve params.yaml, the preset and the dataset into a small file a stage and item, with its code's digest.

All that a stage depends on besides data stands in its file: settings, and what code it runs with them. Only this stage
runs whenever the pipeline does, because any code may have changed; the files that come out equal leave the rest alone.
"""

import contextlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cmarr.code_digest
from cmarr.code_digest import EARLIER, KNOWN, Said, Start, code_digest
from cmarr.damage.kinds import KINDS
from cmarr.encoders.at_hand import looked_for
from cmarr.errors import UserError
from cmarr.files import file_digest, write_text
from cmarr.files import write_json as write_shown
from cmarr.modalities import NAMES
from cmarr.plugins import ENCODERS, METHODS, READERS, names, start_of
from cmarr.seals import read_json, write_json
from cmarr.settings.grid import COLUMNS
from stages.paths import Paths
from stages.stage import located, run, use_plugins, work_folder

ASIDE = ("run", "track")
"""Settings that no stage of the study depends on."""


@dataclass(frozen=True)
class Work:
    """A stage and an item of it: its settings, and what it imports by a name that stands in them.

    idle: it will find nothing to do, so that only what it imports at once is its code
    """

    stage: str
    settings: dict[str, Any]
    late: tuple[Start, ...] = ()
    idle: bool = False

    def file(self) -> dict[str, Any]:
        """The settings, and as `code` the digest of what the stage runs with them."""
        return self.settings | {"code": code_digest(f"stages.{self.stage}", *self.late, idle=self.idle)}


def main(dataset: str) -> None:
    paths, memory = Paths(dataset), work_folder("settings", f"{dataset}.json")
    with _reading_once(work_folder("code.json")):
        known = _remembered(memory) or _resolved(memory)
        resolved = known["resolved"]
        files = {name: work.file() for name, work in works(resolved).items()}
    for name, file in (files | {name: resolved[name] for name in ASIDE}).items():
        write_json(paths.settings_file(name), file)
    write_shown(paths.metrics / "params.json", known["outstanding"])
    write_shown(paths.metrics / "settings.json", known["shown"])
    collected = paths.metrics / "sensitivity.csv"
    if not collected.exists():  # of a corpus of one's own: the report depends on it, and git should keep it
        write_text(collected, ",".join(COLUMNS) + "\n")


@contextmanager
def _reading_once(place: Path) -> Iterator[None]:
    """What the code says is kept there for the next time: reading it takes longer than all else of this stage."""
    by = [file_digest(cmarr.code_digest.__file__), sys.version]
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError, UserError):
        kept = read_json(place, "")
        if kept["by"] == by:
            EARLIER.update({content: Said(*said) for content, said in kept["said"].items()})
    before = {*EARLIER, *KNOWN}
    yield
    if KNOWN.keys() - before:
        write_json(place, {"by": by, "said": KNOWN})


def _resolved(memory: Path) -> dict[str, Any]:
    """What params.yaml, the presets and the code make of each other, kept for `_remembered`."""
    # these import every method, and with them torch, which takes longer than all that this stage does
    from cmarr.settings.load import load_settings, read_preset
    from cmarr.settings.resolve import resolve
    from cmarr.settings.shown import outstanding, shown

    settings = load_settings("params.yaml", "presets", find=located)
    known = {
        "resolved": resolve(settings),
        "shown": shown(settings),
        "outstanding": outstanding(settings, read_preset(settings.preset, "presets")),
        "plugins": list(settings.plugins),
    }
    encoders = settings.encoders.model_dump(mode="json")
    kept = {"encoders": encoders, "looked_for": looked_for(encoders, Path())}
    write_json(memory, known | kept | {"texts": _texts(), "code": _code()})
    return known


def _remembered(memory: Path) -> dict[str, Any] | None:
    """What the stage came to when it last ran, if all that it depends on is the same."""
    try:
        known = read_json(memory, "")
        if known["texts"] != _texts() or known["looked_for"] != looked_for(known["encoders"], Path()):
            return None
        use_plugins(known["plugins"])
        return known if known["code"] == _code() else None
    except (OSError, ValueError, LookupError, UserError, ModuleNotFoundError):
        return None  # there is nothing, or it is damaged; what is wrong with a plugin is said when all is read anew


def _texts() -> dict[str, str]:
    return {str(path): file_digest(path) for path in (Path("params.yaml"), *Path("presets").glob("*.yaml"))}


def _code() -> str:
    every = [start_of(kind, name) for kind in (METHODS, ENCODERS, READERS) for name in names(kind)]
    return code_digest("stages.settings", *every)


def works(resolved: Mapping[str, dict[str, Any]]) -> dict[str, Work]:
    """`<stage>` or `<stage>/<item>` -> what its settings file is made of."""
    report = resolved["report"]
    found = {name: Work(name, resolved[name]) for name in ("split", "masks")}
    found["report"] = Work("report", report | {"corpus": resolved["corpus"]})
    found |= _from_raw(resolved)
    for kind in KINDS:
        own = resolved[f"damage/{kind}"]
        encoder = (_source(own["extraction"]),) if own["levels"] else ()
        found[f"damage/{kind}"] = Work("damage", own, encoder, idle=not own["levels"])
    for name in [*report["methods"], *(ablation["name"] for ablation in report["ablations"])]:
        own, first = resolved[name], resolved[f"pretrain/{name}"]
        method = (start_of(METHODS, own["method"]),)
        if first["first_stage"]:
            found[f"pretrain/{name}"] = Work("pretrain", first, method)
        else:
            found[f"pretrain/{name}"] = Work("pretrain", first, idle=True)
        asked = [stage for stage in ("recovery", "clusters") if name in report[stage]]
        found |= {f"{stage}/{name}": Work(stage, own, method) for stage in ("train", "evaluate", *asked)}
    methods = tuple(start_of(METHODS, name) for name in report["methods"])
    for other in report["cross"]:
        theirs = _from_raw(resolved, f"cross/{other}/")
        late = dict.fromkeys(start for work in theirs.values() for start in work.late)
        files = {name: work.file() for name, work in theirs.items()}
        found[f"cross/{other}"] = Work("cross", {"files": files}, tuple(late))
        found[f"transfer/{other}"] = Work("transfer", resolved["transfer"], methods)
    return found


def _from_raw(resolved: Mapping[str, dict[str, Any]], prefix: str = "") -> dict[str, Work]:
    """Those of `corpus`, `prepare` and, a modality each, `extract`."""
    reader = start_of(READERS, resolved[f"{prefix}corpus"]["kind"])
    found = {name: Work(name, resolved[prefix + name], (reader,)) for name in ("corpus", "prepare")}
    for modality in NAMES.values():
        own = resolved[prefix + modality]
        found[f"extract/{modality}"] = Work("extract", own, (_source(own),))
    return found


def _source(settings: Mapping[str, Any]) -> Start:
    """What features come from: an encoder, or the reader of a corpus that brings them along."""
    if settings["source"] == "corpus":
        return start_of(READERS, settings["kind"])
    return start_of(ENCODERS, settings["encoder"])


if __name__ == "__main__":
    run(main)
