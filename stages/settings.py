"""Resolve params.yaml, the preset and the dataset into one small file a stage and a method."""

from cmarr.files import write_json, write_text
from cmarr.settings.grid import COLUMNS
from cmarr.settings.load import load_settings
from cmarr.settings.resolve import resolve
from stages.paths import Paths
from stages.stage import run


def main(dataset: str) -> None:
    folder = Paths(dataset).data / "settings"
    for name, settings in resolve(load_settings("params.yaml", "presets")).items():
        write_json(folder / f"{name}.json", settings)
    collected = Paths(dataset).metrics / "sensitivity.csv"
    if not collected.exists():  # of a corpus of one's own: the report depends on it, and git should keep it
        write_text(collected, ",".join(COLUMNS) + "\n")


if __name__ == "__main__":
    run(main)
