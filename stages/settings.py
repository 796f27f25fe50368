"""Resolve params.yaml, the preset and the dataset into one small file a stage and a method."""

from cmarr.files import write_json
from cmarr.settings.load import load_settings
from cmarr.settings.resolve import resolve
from stages.paths import Paths
from stages.stage import run


def main(dataset: str) -> None:
    folder = Paths(dataset).data / "settings"
    for name, settings in resolve(load_settings("params.yaml", "presets")).items():
        write_json(folder / f"{name}.json", settings)


if __name__ == "__main__":
    run(main)
