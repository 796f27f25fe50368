"""What the stages share that measure trained models: the files in, an analysis over them, the files out."""

from cmarr.analyses.analysis import Analysis
from cmarr.analyses.models import FoldData, measure_models
from cmarr.data.load import by_id
from cmarr.device import choose_device
from cmarr.errors import UserError
from cmarr.features.shards import load_features
from cmarr.folds.files import read_folds
from cmarr.seals import write_frame
from cmarr.task import Task
from stages.paths import Paths


def measure(dataset: str, name: str, stage: str, analysis: Analysis) -> None:
    """Measure every model of the method or ablation `name`; raises UserError where there is nothing to measure."""
    paths, settings = Paths(dataset), Paths(dataset).settings(f"{stage}/{name}")
    assert analysis.model is not None
    utterances, features = by_id(paths.manifest), load_features(paths.features)
    task, device = Task(tuple(settings["classes"])), choose_device(settings["device"])
    every = [
        FoldData(fold, utterances, features, task, settings["cluster"], device)
        for fold in read_folds(paths.folds)
    ]
    found = measure_models(analysis.model, every, paths.models(name), settings["seeds"])
    if not found:
        raise UserError(f"{dataset}: {analysis.nothing}")
    for file, table in found.items():
        write_frame(paths.predictions(f"{name}.{stage}") / f"{file}.parquet", table)
