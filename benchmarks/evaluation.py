"""Cost of evaluation: seven conditions against seven separate passes, and eight missing rates on top.

    python -m benchmarks.evaluation                    the table, and benchmarks/results/evaluation.json
    python -m benchmarks.evaluation --repeats 5        more repeats a method, a steadier number

Every method in the sizes that a preset gives it (`frozen`, the default for real corpora; `--preset paper-frozen`: the
papers'), on random features of the authors' sizes (speech 60 x 130, video 50 x 342, text 22 x 1024), a tenth of
them absent (`--absent 0`: none; to an utterance without video 'vt' is 't' again, and is not answered twice). Weights
are random, or those of a short fit: what they are worth changes no time.

separate   seven evaluations, each of one condition
seven      one evaluation of all seven; its share of `separate` should be 0.50 at most. In the papers' sizes what a
           condition has for itself, recovery and fusion, outweighs what the conditions share
+ rates    the same with the predictions of eight missing rates; it should be 1.15 times `seven` at most

An evaluation is what the stage `evaluate` does between loading a model and scoring: gathering and normalising
the utterances, asking the method, making the rows of the predictions. The three take turns, and the fastest of each
is printed; they are CPU seconds of one thread, so that whatever else runs on the machine does not count.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from ruamel.yaml import YAML
from torch import nn

from benchmarks.machine import machine
from benchmarks.records import RESULTS, command_line, keep, markdown
from benchmarks.sizes import DIMS, SHAPES, TASK
from cmarr.data.normalise import Normaliser
from cmarr.data.store import Store
from cmarr.evaluation.predicting import predictions_of, protocol_predictions
from cmarr.masks.draw import Tested, draw
from cmarr.methods.model import Model
from cmarr.methods.protocol import ClosedForm
from cmarr.methods.registry import build_method, method_names
from cmarr.modalities import CONDITIONS
from cmarr.settings.load import load_settings, read_yaml
from cmarr.settings.resolve import resolve

ROOT = Path(__file__).parents[1]
FITTED = 128
"""Utterances that closed forms are fitted on."""

RATES = {"levels": [rate / 10 for rate in range(8)], "draw": "cells", "batch": 32}


def random_store(rows: int, seed: int, absent: float) -> Store:
    generator = torch.Generator().manual_seed(seed)
    available = torch.rand(rows, 3, generator=generator) >= absent
    values, starts, lengths = {}, {}, {}
    for i, (m, (frames, width)) in enumerate(SHAPES.items()):
        lengths[m] = frames * available[:, i].long()
        starts[m] = lengths[m].cumsum(0) - lengths[m]
        values[m] = torch.randn(int(lengths[m].sum()), width, generator=generator)
    labels = torch.randint(TASK.outputs, (rows,), generator=generator)
    return Store(tuple(f"u{i:05d}" for i in range(rows)), values, starts, lengths, labels)


def sizes(preset: str) -> dict[str, dict[str, Any]]:
    """Method -> its keywords under a preset."""
    params = read_yaml(ROOT / "params.yaml") | {"preset": preset, "methods": list(method_names())}
    with tempfile.TemporaryDirectory() as folder:
        YAML().dump(params, Path(folder) / "params.yaml")
        files = resolve(load_settings(Path(folder) / "params.yaml", ROOT / "presets"))
    return {name: files[name]["settings"] for name in method_names()}


def build(name: str, settings: dict[str, Any]) -> Model:
    torch.manual_seed(0)
    method: nn.Module = build_method(name, DIMS, TASK, settings)
    normaliser = Normaliser(DIMS)
    if isinstance(method, ClosedForm):
        method.fit(
            normaliser(random_store(FITTED, 1, 0.0).batch(torch.arange(FITTED))),
            torch.Generator().manual_seed(0),
        )
    return Model(method.eval(), normaliser, torch.full((TASK.outputs,), 1 / TASK.outputs), TASK, {})


def rate_masks(store: Store) -> dict[str, pd.DataFrame]:
    tested = Tested(
        folds=[1] * len(store),
        ids=store.ids,
        available=store.available.numpy(),
        lengths={m: n.numpy() for m, n in store.lengths.items()},
        groups=store.ids,
        labels=[TASK.classes[i] for i in store.labels.tolist()],
        classes=TASK.classes,
    )
    sets, _ = draw(tested, "rate", RATES, 0)
    return {name: drawn.rows for name, drawn in sets.items()}


def evaluated(
    model: Model, store: Store, masks: dict[str, pd.DataFrame], conditions: Sequence[str] = CONDITIONS
) -> pd.DataFrame:
    predict = predictions_of(
        model,
        1,
        seed=0,
        ids=list(store.ids),
        speakers=list(store.ids),
        clusters=list(store.ids),
        labels=[TASK.classes[i] for i in store.labels.tolist()],
    )
    return pd.concat(list(protocol_predictions(predict, store, masks, 1, conditions)), ignore_index=True)


def timed(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def measure(model: Model, store: Store, masks: dict[str, pd.DataFrame], repeats: int) -> dict[str, Any]:
    """Seconds of the three ways; a first round that is not counted warms up."""
    times: dict[str, list[float]] = {"separate": [], "seven": [], "rates": []}
    for _ in range(repeats + 1):
        times["separate"].append(
            sum(timed(lambda c=c: evaluated(model, store, {}, [c])) for c in CONDITIONS)  # type: ignore[misc]
        )
        times["seven"].append(timed(lambda: evaluated(model, store, {})))
        times["rates"].append(timed(lambda: evaluated(model, store, masks)))
    found: dict[str, Any] = {way: min(some[1:]) for way, some in times.items()}
    found["seven_of_separate"] = found["seven"] / found["separate"]
    found["rates_of_seven"] = found["rates"] / found["seven"]
    return found


def table(results: dict[str, Any]) -> str:
    told = (
        f"Preset `{results['preset']}`, {results['utterances']} utterances, {results['absent']:g} of the modalities "
        f"absent, CPU seconds of one thread, the fastest of {results['repeats']}."
    )
    head = ["method", "seven separate passes", "the seven in one", "share", "and 8 rates", "times the seven"]
    keys = ("separate", "seven", "seven_of_separate", "rates", "rates_of_seven")
    rows = [[name, *(f"{run[key]:.2f}" for key in keys)] for name, run in results["runs"].items()]
    return f"{told}\n\n{markdown(head, rows)}"


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--preset", default="frozen", help="whose sizes the methods take")
    parser.add_argument("--absent", type=float, default=0.1, help="share of modalities that are not there")
    parser.add_argument("--utterances", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3, help="evaluations of each kind a method")
    parser.add_argument(
        "--only",
        nargs="*",
        default=list(method_names()),
        choices=list(method_names()),
        help="rows of the table",
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    store = random_store(options.utterances, 0, options.absent)
    masks = rate_masks(store)
    of_method = sizes(options.preset)
    runs = {
        name: measure(build(name, of_method[name]), store, masks, options.repeats) for name in options.only
    }
    results = {
        "preset": options.preset,
        "absent": options.absent,
        "utterances": options.utterances,
        "repeats": options.repeats,
        "machine": machine(),
        "runs": runs,
    }
    print(table(results))
    keep("evaluation", results, options.results)


if __name__ == "__main__":
    main()
