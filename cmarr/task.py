"""What a method has to predict."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """What is predicted: `classes` in order for classification, none for the regression of a score."""

    classes: tuple[str, ...] = ()

    @property
    def regression(self) -> bool:
        """True when the label is a score."""
        return not self.classes

    @property
    def outputs(self) -> int:
        """Width of the logits: the number of classes, or 1."""
        return len(self.classes) or 1
