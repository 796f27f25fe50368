"""The predictions for several clips, or for the windows of a recording, as Python and a notebook show them."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from cmarr.recognition.prediction import Prediction, Refusal, table

if TYPE_CHECKING:
    import pandas as pd

    from cmarr.report.inline import Plot


class Predictions(tuple[Prediction | Refusal, ...]):
    """Predictions and refusals in their order, with a table and a picture of them.

    classes: those of the model, in their order; none in regression
    """

    classes: tuple[str, ...]

    def __new__(cls, results: Iterable[Prediction | Refusal], classes: Sequence[str]) -> "Predictions":
        """The results, and the classes that their probabilities are of."""
        made = super().__new__(cls, results)
        made.classes = tuple(classes)
        return made

    @property
    def frame(self) -> "pd.DataFrame":
        """One row a clip or window: id, start, end, winner or score, p_<class>, uncertainty, used and so on."""
        import pandas as pd

        rows = []
        for result in self:
            row = result.as_dict()
            found = row.pop("probabilities")
            rows.append(row | {f"p_{name}": found.get(name) for name in self.classes})
        first = ["id", "start", "end", "winner", "score", *(f"p_{name}" for name in self.classes)]
        rest = ["uncertainty", "used", "recovered", "missing", "warnings", "refused"]
        frame = pd.DataFrame(rows, columns=[*first, *rest])
        return frame.dropna(axis="columns", how="all")

    def plot(self) -> "Plot":
        """The course of the probabilities over the windows of each recording, and what each rests on.

        Raises UserError for more recordings than one picture can show.
        """
        from cmarr.recognition.course import course_figure
        from cmarr.report.inline import Plot

        return Plot(course_figure(self, self.classes))

    def __repr__(self) -> str:
        return table(self, self.classes)

    def _repr_html_(self) -> str:
        from cmarr.report.inline import shown

        warnings = dict.fromkeys(f"{r.id}: {w}" for r in self for w in r.warnings)
        return shown(
            self.frame.drop(columns=["missing", "warnings"], errors="ignore"), "", "\n".join(warnings)
        )
