"""The last lines of `make demo`: how long each stage took, and the table."""

import time

from cmarr.seals import read_json
from cmarr.settings.load import read_yaml
from stages.paths import Paths
from stages.stage import work_folder


def main() -> None:
    """Print the newest run's stages and the results of the dataset that params.yaml names."""
    dataset = read_yaml("params.yaml")["dataset"]
    times = read_json(work_folder("times", f"{dataset}.json"), "run the study again")
    print("\nseconds a stage took when it last ran")
    for name, entry in sorted(times.items(), key=lambda item: item[1]["ended"]):
        ago = time.time() - entry["ended"]
        earlier = "" if ago < 3600 else f"   ({ago / 3600:.0f} h ago)"
        print(f"  {name:<18}{entry['seconds']:7.1f}{earlier}")
    print()
    print((Paths(dataset).metrics / "report" / "results.txt").read_text(encoding="utf-8"))
    print(f"more: {Paths(dataset).metrics}/report/index.html; compare runs: make ui")


if __name__ == "__main__":
    main()
