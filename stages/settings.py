"""Resolve params.yaml, the preset and the dataset into a small file a stage and item, with its code's digest.

All that a stage depends on besides data stands in its file: settings, and what code it runs with them. Only this stage
runs whenever the pipeline does, because any code may have changed; the files that come out equal leave the rest alone.
"""

from collections.abc import Mapping
from typing import Any

from cmarr.code_digest import code_digest
from cmarr.corpora.registry import READERS
from cmarr.damage.kinds import KINDS
from cmarr.files import write_json, write_text
from cmarr.modalities import NAMES
from cmarr.settings.grid import COLUMNS
from cmarr.settings.load import load_settings
from cmarr.settings.resolve import resolve
from stages.paths import Paths
from stages.stage import run

Files = dict[str, dict[str, Any]]


def main(dataset: str) -> None:
    folder = Paths(dataset).data / "settings"
    for name, settings in stage_files(resolve(load_settings("params.yaml", "presets"))).items():
        write_json(folder / f"{name}.json", settings)
    collected = Paths(dataset).metrics / "sensitivity.csv"
    if not collected.exists():  # of a corpus of one's own: the report depends on it, and git should keep it
        write_text(collected, ",".join(COLUMNS) + "\n")


def stage_files(resolved: Mapping[str, dict[str, Any]]) -> Files:
    """`<stage>` or `<stage>/<item>` -> its settings, and as `code` the digest of what it runs with them.

    `run` and `track` have none: no stage depends on them.
    """
    report = resolved["report"]
    ablations = [ablation["name"] for ablation in report["ablations"]]
    files = {name: resolved[name] for name in ("run", "track")}
    files |= {name: _with_code(resolved[name], name) for name in ("split", "masks")}
    files["report"] = _with_code(report | {"corpus": resolved["corpus"]}, "report")
    files |= _from_raw(resolved)
    for kind in KINDS:
        own = resolved[f"damage/{kind}"]
        encoder = [_encoder(own["extraction"])] if own["levels"] else []
        files[f"damage/{kind}"] = _with_code(own, "damage", *encoder, idle=not own["levels"])
    for name in [*report["methods"], *ablations]:
        own, first = resolved[name], resolved[f"pretrain/{name}"]
        files[f"pretrain/{name}"] = _with_code(
            first,
            "pretrain",
            *([_method(own)] if first["first_stage"] else []),
            idle=not first["first_stage"],
        )
        asked = [stage for stage in ("recovery", "clusters") if name in report[stage]]
        for stage in ("train", "evaluate", *asked):
            files[f"{stage}/{name}"] = _with_code(own, stage, _method(own))
    for other in report["cross"]:
        theirs = _from_raw(resolved, f"cross/{other}/")
        files[f"cross/{other}"] = _with_code({"files": theirs}, "cross")
        methods = sorted({_method(resolved[name]) for name in report["methods"]})
        files[f"transfer/{other}"] = _with_code(resolved["transfer"], "transfer", *methods)
    return files


def _from_raw(resolved: Mapping[str, dict[str, Any]], prefix: str = "") -> Files:
    """The files of `corpus`, `prepare` and, a modality each, `extract`."""
    reader = READERS[resolved[f"{prefix}corpus"]["kind"]]
    files = {name: _with_code(resolved[prefix + name], name, reader) for name in ("corpus", "prepare")}
    for modality in NAMES.values():
        own = resolved[prefix + modality]
        files[f"extract/{modality}"] = _with_code(own, "extract", _encoder(own))
    return files


def _with_code(settings: dict[str, Any], stage: str, *late: str, idle: bool = False) -> dict[str, Any]:
    """`late`: the modules that the stage looks up by the names in its settings."""
    return settings | {"code": code_digest(f"stages.{stage}", *late, idle=idle)}


def _method(settings: Mapping[str, Any]) -> str:
    return f"cmarr.methods.{settings['method']}"


def _encoder(settings: Mapping[str, Any]) -> str:
    """The module that features come from: an encoder's, or the reader's of a corpus that brings them along."""
    return (
        READERS[settings["kind"]]
        if settings["source"] == "corpus"
        else f"cmarr.encoders.{settings['encoder']}"
    )


if __name__ == "__main__":
    run(main)
