"""From teacher to student: what a representation and an answer should have been."""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

Feature = Literal["mse", "cosine"]


def feature_distance(student: Tensor, teacher: Tensor, kind: Feature) -> Tensor:
    """(N,) distance of two representations (N, d): their mean squared error, or 1 - their cosine.

    No gradient flows into the teacher.
    """
    target = teacher.detach().float()
    if kind == "cosine":
        return 1 - F.cosine_similarity(student.float(), target, dim=-1)
    return (student.float() - target).square().mean(-1)


def similarity_distance(student: Tensor, teacher: Tensor, counted: Tensor) -> Tensor:
    """How differently student and teacher see the batch (Tung and Mori 2019); a scalar.

        G = h h^T, rows L2-normalised;     ||G_student - G_teacher||_F^2 / R^2

    student, teacher (N, d); counted (N,) bool: the R rows that are compared. 0 without any.
    """
    if not counted.any():
        return student.sum() * 0
    mine, target = student[counted].float(), teacher[counted].detach().float()
    difference = F.normalize(mine @ mine.T, dim=1) - F.normalize(target @ target.T, dim=1)  # (R, R)
    return difference.square().mean()


def answer_distance(student: Tensor, teacher: Tensor, regression: bool, temperature: float) -> Tensor:
    """(N,) distance of two answers (N, K); no gradient flows into the teacher.

    Classes: T^2 KL(teacher || student) of the softmaxes at temperature T (Hinton et al. 2015).
    Scores: |y_student - y_teacher|, which has no temperature.
    """
    target = teacher.detach().float()
    if regression:
        return (student.float() - target).abs().squeeze(1)
    log_student = (student.float() / temperature).log_softmax(1)
    log_teacher = (target / temperature).log_softmax(1)
    return temperature**2 * (log_teacher.exp() * (log_teacher - log_student)).sum(1)
