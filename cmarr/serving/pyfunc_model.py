"""MLflow's model of a trained model. MLflow copies this file beside the weights and runs it where it serves them.

It needs an installed cmarr, of the version that stands in the model's requirements.txt; all that predicts is there.
"""

from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel

from cmarr.serving.messages import Clip, Reply


class Refused(MlflowException):
    """A request that is the client's to mend: status 400 and one sentence.

    MLflow's server puts the whole request in front of an exception's message: megabytes of base64. So the message
    is what it was when it was raised.
    """

    def __init__(self, sentence: str):
        self._sentence = sentence
        super().__init__(sentence, error_code=INVALID_PARAMETER_VALUE)

    @property
    def message(self) -> str:
        """The sentence."""
        return self._sentence

    @message.setter
    def message(self, _: str) -> None:
        """Stays as it was."""


class EmotionModel(PythonModel):
    """A recognizer behind MLflow's interface.

    `model_config` may hold `device`, `workers`, `weights_speech` (and `_video`, `_text`: where an encoder's weights
    lie), and the limits `max_clips`, `max_megabytes`, `max_seconds`, `max_frames`, `max_pixels`, `max_characters` and
    `time_limit`. `mlflow models serve` takes it from the environment variable SERVING_MODEL_CONFIG, as JSON.
    """

    # MLflow's complaints about a request send all of it back; those of `Service` are sentences.
    _skip_type_hint_validation = True

    def load_context(self, context: Any) -> None:
        """Load the weights and start the decoders."""
        from cmarr.serving.heap import keep_small
        from cmarr.serving.service import configured

        keep_small()
        self.service = configured(context.artifacts["model"], dict(context.model_config or {}))

    def predict(  # type: ignore[override]
        self, model_input: list[Clip], params: dict[str, Any] | None = None
    ) -> list[Reply]:
        """One reply a clip. From Python a data frame will do, too: a row a clip, empty cells for what is missing."""
        from cmarr.errors import UserError

        try:
            return self.service.reply(_rows(model_input))  # type: ignore[return-value]
        except UserError as error:
            raise Refused(str(error)) from None


def _rows(model_input: Any) -> Any:
    if isinstance(model_input, list):
        return [row.model_dump() if isinstance(row, Clip) else row for row in model_input]
    if not hasattr(model_input, "to_dict"):
        return model_input
    rows = model_input.to_dict("records")
    return [{k: v for k, v in row.items() if not _empty(v)} for row in rows]


def _empty(cell: Any) -> bool:
    return cell is None or (isinstance(cell, float) and cell != cell)


EmotionModel.predict._is_pyfunc = True  # type: ignore[attr-defined]  # or MLflow asks for its own checks again
set_model(EmotionModel())
