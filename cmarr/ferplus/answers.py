"""What a Denseface answers to the faces of FER+, and how that is scored while it is trained."""

import math

import torch
from torch.nn.functional import cross_entropy, log_softmax

from cmarr.encoders.face_network import SIDE, Denseface, faces_at_once
from cmarr.ferplus.augment import plain
from cmarr.ferplus.faces import FaceSet
from cmarr.ferplus.votes import distribution, label


@torch.inference_mode()
def log_probabilities(
    network: Denseface,
    faces: FaceSet,
    *,
    device: str = "cpu",
    precision: str = "fp32",
    side: int = SIDE,
    mirrored: bool = False,
) -> torch.Tensor:
    """(N, 8) float32 on the CPU: what the network, in evaluation mode, answers to the faces, `side` pixels high.

    `mirrored`: to their mirror images instead.
    """
    found = []
    for images in torch.from_numpy(faces.images).split(faces_at_once(device)):
        images = images.flip(-1) if mirrored else images
        ready = plain(images.to(device), side).contiguous(memory_format=torch.channels_last)
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision == "bf16"):
            _, logits = network(ready)
        found.append(log_softmax(logits.float(), 1).cpu())
    return torch.cat(found)


def both_ways(seen: torch.Tensor, mirrored: torch.Tensor) -> torch.Tensor:
    """Log of the mean probabilities (N, 8), of the log probabilities of faces and of their mirror images."""
    return torch.logaddexp(seen, mirrored) - math.log(2)


def selection(accuracy: float, uar: float) -> float:
    """What the best epoch is chosen by, on validation faces."""
    return (accuracy + uar) / 2


def validation_scores(answers: torch.Tensor, faces: FaceSet) -> dict[str, float]:
    """Accuracy, UAR and their mean `selection` as fractions; `cross_entropy` to the votes in nats.

    Answers (N, 8) are log probabilities.
    """
    from sklearn.metrics import accuracy_score, recall_score

    truth, given = label(faces.votes), answers.argmax(1).numpy()
    accuracy = float(accuracy_score(truth, given))
    uar = float(recall_score(truth, given, labels=sorted(set(truth)), average="macro", zero_division=0))
    return {
        "accuracy": accuracy,
        "UAR": uar,
        "selection": selection(accuracy, uar),
        "cross_entropy": float(cross_entropy(answers, torch.from_numpy(distribution(faces.votes)))),
    }
