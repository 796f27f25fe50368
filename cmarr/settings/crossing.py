"""Which corpora the trained models are tested on beside their own, and whether that makes sense."""

from cmarr.errors import UserError, require_known
from cmarr.settings.schema import Settings


def crossed(settings: Settings) -> dict[str, Settings]:
    """Name of a corpus under `cross` -> the settings as they are when it is the dataset.

    Raises UserError, naming the corpus and what to change, for one that does not exist, is the trained one, or cannot
    be answered for by its models: another task, classes that they do not know, features of another kind.
    """
    ours = settings.datasets[settings.dataset]
    for name in settings.cross:
        if name == settings.dataset:
            raise UserError(f"cross: {name} is the dataset itself; name other ones")
        require_known(name, settings.datasets, f"cross: {name!r} has no section under 'datasets'")
        theirs = settings.datasets[name]
        if theirs.task != ours.task:
            raise UserError(
                f"cross: {name} is for {theirs.task}, {settings.dataset} for {ours.task}; no model answers both"
            )
        unknown = [label for label in theirs.classes if label not in ours.classes]
        if unknown:
            raise UserError(
                f"cross: {name} has the class{'es' if len(unknown) > 1 else ''} {', '.join(unknown)}, which models of "
                f"{settings.dataset} do not know ({', '.join(ours.classes)}); leave them out of "
                f"datasets.{name}.classes, or say in datasets.{name}.merge which class they count as"
            )
        if theirs.features != ours.features:
            raise UserError(
                f"cross: {name} takes its features from {_origin(theirs.features)}, {settings.dataset} from "
                f"{_origin(ours.features)}; a model knows one kind"
            )
    return {name: settings.model_copy(update={"dataset": name, "cross": ()}) for name in settings.cross}


def _origin(features: str) -> str:
    return "the corpus itself" if features == "corpus" else "encoders"
