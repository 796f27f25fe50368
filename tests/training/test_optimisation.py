"""Learning rates over the epochs, and limits to the gradient."""

import pytest
import torch
from torch import nn

from cmarr.training.loop import limit_gradients, parts, rate


def rates(schedule: str, epochs: int, scores=(), **options) -> list[float]:
    settings = {"decay": 0.5, "plateau": 1} | options
    return [
        rate(schedule, epoch, epochs, scores=scores[: epoch - 1], **settings)
        for epoch in range(1, epochs + 1)
    ]


def test_constant():
    assert rates("constant", 3) == [1.0, 1.0, 1.0]


def test_half_constant_then_a_line_to_zero():
    # three epochs fall: 3/4, 2/4, 1/4, and 0 would be the next
    assert rates("linear", 6) == [1.0, 1.0, 1.0, 0.75, 0.5, 0.25]


def test_the_share_that_falls():
    assert rates("linear", 4, decay=0.25) == [1.0, 1.0, 1.0, 0.5]
    assert rates("linear", 2, decay=0.0) == [1.0, 1.0]


def test_a_plateau_is_more_than_so_many_epochs_without_a_better_score():
    scores = [0.5, 0.4, 0.5, 0.3, 0.3, 0.6, 0.2, 0.2, 0.2]
    # best 0.5 in epoch 1; two epochs later (1 is allowed) a tenth; then two more; then 0.6 starts anew
    expected = [1, 1, 1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.001]
    assert rates("plateau", 9, scores) == pytest.approx(expected)


def test_plateaus_are_pytorch_s():
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(40, generator=generator).tolist()
    parameter = nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([parameter], lr=1.0)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimiser, mode="max", factor=0.1, patience=3, threshold=0.0, eps=0.0
    )
    expected = []
    for score in scores:
        expected.append(optimiser.param_groups[0]["lr"])
        scheduler.step(score)
    assert rates("plateau", 40, scores, plateau=3) == pytest.approx(expected)


class Method(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict({"s": nn.Linear(1, 1, bias=False), "t": nn.Linear(1, 1, bias=False)})
        self.head = nn.Sequential(nn.Linear(1, 1, bias=False))
        self.scale = nn.Parameter(torch.ones(()))

    def with_gradients(self, speech: float, text: float, head: float, scale: float) -> "Method":
        self.encoders["s"].weight.grad = torch.tensor([[speech]])
        self.encoders["t"].weight.grad = torch.tensor([[text]])
        self.head[0].weight.grad = torch.tensor([[head]])
        self.scale.grad = torch.tensor(scale)
        return self

    def gradients(self) -> list[float]:
        order = (self.encoders["s"].weight, self.encoders["t"].weight, self.head[0].weight, self.scale)
        return [p.grad.item() for p in order]


def test_the_parts_of_a_method():
    assert [len(part) for part in parts(Method())] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("whole", [g / 52**0.5 for g in (4.0, 2.0, -4.0, 4.0)]),
        ("part", [1.0, 1.0, -1.0, 1.0]),
        ("value", [1.0, 1.0, -1.0, 1.0]),
    ],
)
def test_limits(by, expected):
    method = Method().with_gradients(4.0, 2.0, -4.0, 4.0)
    assert limit_gradients(method, 1.0, by).item() == pytest.approx((16 + 4 + 16 + 16) ** 0.5)
    assert method.gradients() == pytest.approx(expected, rel=1e-4)


def test_a_part_below_the_limit_keeps_its_gradient():
    method = Method().with_gradients(4.0, 0.5, 0.0, 0.25)
    limit_gradients(method, 1.0, "part")
    assert method.gradients() == pytest.approx([1.0, 0.5, 0.0, 0.25], rel=1e-4)


@pytest.mark.parametrize("by", ["whole", "part", "value"])
def test_zero_is_no_limit(by):
    method = Method().with_gradients(4.0, 2.0, -4.0, 4.0)
    limit_gradients(method, 0.0, by)
    assert method.gradients() == [4.0, 2.0, -4.0, 4.0]
