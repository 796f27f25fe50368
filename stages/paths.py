"""Where a stage finds the files of a dataset, its settings, its machine and its corpus."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cmarr.errors import UserError
from cmarr.execution.ray import Cluster
from cmarr.places import Places
from cmarr.seals import read_json
from stages.stage import located, work_folder


@dataclass(frozen=True)
class Paths(Places):
    """Those of a dataset, relative to the DVC repository (or an experiment's temporary copy of it)."""

    def settings(self, name: str) -> dict[str, Any]:
        """The resolved settings of a `<stage>` or `<stage>/<item>`; as `code` the digest of the code it runs."""
        path = self.settings_file(name)
        if not path.is_file():
            raise UserError(
                f"{path} does not exist; run `dvc repro settings`, with {name} among what params.yaml runs"
            )
        return read_json(path, "run `dvc repro settings`")


def cluster_of(machine: Mapping[str, Any]) -> Cluster | None:
    """Where units of work run, as the settings `run` say: on a cluster, or, with None, in processes of this machine."""
    if machine["executor"] == "local":
        return None
    shared = work_folder("cluster")
    shared.mkdir(parents=True, exist_ok=True)
    return Cluster(**machine["ray"], shared=shared)


def corpus_root(setting: str) -> Path:
    """Where a corpus lies, absolute: `datasets.<name>.root`, if relative then to params.yaml."""
    return located(setting)


def media_root(root: Path) -> Path:
    """The folder that a manifest's paths are relative to: the corpus', or that of a corpus which is one file."""
    return root if root.is_dir() else root.parent
