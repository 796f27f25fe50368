"""Look at the faces of a few utterances once more, for the contact sheet."""

from collections import defaultdict, deque
from collections.abc import Callable, Sequence

import numpy as np

from cmarr.media.clips import Failure, by_file, clip_of
from cmarr.media.faces import SIZE, FaceReader, Faces, NoFace
from cmarr.media.faces_file import SeenFaces
from cmarr.media.worker_pool import decode
from cmarr.utterance import Utterance

UTTERANCES, FACES = 40, 5
"""Utterances of a sample, and faces of each."""


def spread(utterances: Sequence[Utterance], count: int = UTTERANCES) -> list[Utterance]:
    """At most `count` utterances that have video, spread over speakers and, within them, over classes."""
    speakers: dict[str, dict[str, deque[Utterance]]] = defaultdict(lambda: defaultdict(deque))
    for utterance in sorted(utterances, key=lambda u: u.id):
        if utterance.video is not None:
            speakers[utterance.speaker or ""][utterance.label or ""].append(utterance)
    names = sorted(speakers)
    if len(names) > count:
        names = [names[i * len(names) // count] for i in range(count)]
    classes = sorted({label for name in names for label in speakers[name]})
    chosen: list[Utterance] = []
    turn = 0
    while len(chosen) < count and any(speakers[name] for name in names):
        for place, name in enumerate(names):
            left = speakers[name]
            # Another class in every turn, beginning with another one for every speaker.
            wanted = classes[(turn + place) % len(classes) :] + classes[: (turn + place) % len(classes)]
            label = next((c for c in wanted if c in left), None)
            if label is None or len(chosen) == count:
                continue
            chosen.append(left[label].popleft())
            if not left[label]:
                del left[label]
        turn += 1
    return sorted(chosen, key=lambda u: u.id)


def see_faces(
    utterances: Sequence[Utterance], reader: Callable[[], FaceReader], workers: int, seconds: float
) -> list[SeenFaces]:
    """Some faces of each utterance, as `reader` finds them in worker processes, each within `seconds`."""
    groups = by_file(clip_of(utterance, "v") for utterance in utterances)
    results = decode(reader, groups, workers, seconds)
    return [_seen(utterance, faces) for utterance, faces in zip(utterances, results, strict=True)]


def _seen(utterance: Utterance, faces: Faces | Failure) -> SeenFaces:
    who = utterance.id, utterance.speaker, utterance.label
    if isinstance(faces, Failure):
        nothing = np.zeros((0, SIZE, SIZE), np.uint8)
        looked = faces.n_frames if isinstance(faces, NoFace) else 0
        reason = faces.reason.replace(str(utterance.video), "the file")
        return SeenFaces(*who, nothing, 0, looked, reason, utterance.session)
    found = len(faces.patches)
    places = np.unique(np.linspace(0, found - 1, FACES).round().astype(int))
    return SeenFaces(*who, faces.patches[places], found, faces.n_frames, session=utterance.session)
