"""The classifier of the MMIN family."""

from torch import nn


def classifier(width: int, hidden: int, outputs: int, dropout: float) -> nn.Sequential:
    """(Linear, ReLU, dropout) twice, `hidden` wide, then Linear: (B, `width`) -> (B, `outputs`)."""
    return nn.Sequential(
        nn.Linear(width, hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, outputs),
    )
