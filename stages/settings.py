"""Resolve params.yaml, the preset and the dataset into a small file a stage and item, with its code's digest.

All that a stage depends on besides data stands in its file: settings, and what code it runs with them. Only this stage
runs whenever the pipeline does, because any code may have changed; the files that come out equal leave the rest alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cmarr.code_digest import Start, code_digest
from cmarr.damage.kinds import KINDS
from cmarr.files import write_json, write_text
from cmarr.modalities import NAMES
from cmarr.plugins import ENCODERS, METHODS, READERS, start_of
from cmarr.settings.grid import COLUMNS
from cmarr.settings.load import AUTO, load_settings
from cmarr.settings.resolve import resolve
from cmarr.settings.schema import Settings
from stages.paths import Paths
from stages.stage import located, run

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
    paths, settings = Paths(dataset), load_settings("params.yaml", "presets", find=located)
    resolved = resolve(settings)
    files = {name: work.file() for name, work in works(resolved).items()}
    for name, file in (files | {name: resolved[name] for name in ASIDE}).items():
        write_json(paths.data / "settings" / f"{name}.json", file)
    write_json(paths.metrics / "params.json", shown(settings))
    collected = paths.metrics / "sensitivity.csv"
    if not collected.exists():  # of a corpus of one's own: the report depends on it, and git should keep it
        write_text(collected, ",".join(COLUMNS) + "\n")


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


def shown(settings: Settings) -> dict[str, Any]:
    """params.yaml with the preset filled in, for `dvc params diff` and `dvc exp show`.

    Of sections that each belong to a name, those of names that are used; no key whose value the machine decides.
    """
    whole = settings.model_dump(mode="json", by_alias=True)
    used = {
        "datasets": {settings.dataset, *settings.cross},
        "ablations": set(settings.ablate),
        "method": {*settings.methods, *(settings.ablations[name].method for name in settings.ablate)},
        "encoders": {*NAMES.values(), *(whole["encoders"][modality] for modality in NAMES.values())},
    }
    if "all" not in settings.protocols:
        used["protocol"] = {"seed", *settings.protocols}
    for section, names in used.items():
        whole[section] = {name: own for name, own in whole[section].items() if name in names}
    return {key: value for key, value in _decided(whole).items() if key != "ray"}


def _decided(tree: dict[str, Any]) -> dict[str, Any]:
    """Without the keys that are `auto`."""
    return {
        key: _decided(value) if isinstance(value, dict) else value
        for key, value in tree.items()
        if value != AUTO
    }


if __name__ == "__main__":
    run(main)
