"""What methods that start from a trained stage-1 model share."""

from typing import Generic, TypeVar

from torch import nn

T = TypeVar("T", bound=nn.Module)


class Frozen(Generic[T]):
    """A stage-1 model that its method looks things up in, and never trains.

    Not a module on purpose: the frozen weights are neither among the method's parameters nor saved with
    it; they are an output of their own.
    """

    def __init__(self, method: str) -> None:
        self.method = method
        self._model: T | None = None

    def keep(self, model: T) -> None:
        """Freeze `model`, in evaluation mode, and keep it."""
        self._model = model.eval().requires_grad_(False)

    @property
    def model(self) -> T:
        """The frozen model. Raises RuntimeError before `keep`: training needs it, answering does not."""
        if self._model is None:
            raise RuntimeError(f"{self.method} trains from a stage-1 model: call start_from first")
        return self._model
