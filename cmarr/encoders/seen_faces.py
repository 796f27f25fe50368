"""Look at the faces of a few utterances once more, for the contact sheet."""

from collections import defaultdict, deque
from collections.abc import Callable, Sequence

import numpy as np

from cmarr.encoders.decoding import decoded
from cmarr.media.faces import SIZE, FaceReader, Faces
from cmarr.media.faces_file import SeenFaces
from cmarr.utterance import Rejected, Utterance

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
    return [_seen(*found) for found in decoded(utterances, "v", reader, workers, seconds)]


def _seen(utterance: Utterance, faces: Faces | Rejected) -> SeenFaces:
    who = utterance.id, utterance.speaker, utterance.label
    if isinstance(faces, Rejected):
        nothing = np.zeros((0, SIZE, SIZE), np.uint8)
        return SeenFaces(*who, nothing, reason=faces.reason.replace(str(utterance.video), "the file"))
    found = len(faces.patches)
    places = np.unique(np.linspace(0, found - 1, FACES).round().astype(int))
    return SeenFaces(*who, faces.patches[places], found, faces.n_frames)
