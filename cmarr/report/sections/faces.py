"""The contact sheet: what the video encoder sees."""

from collections.abc import Sequence

import cv2
import numpy as np

from cmarr.media.faces_file import SeenFaces
from cmarr.report.contact_sheet import describe_faces
from cmarr.report.page import Section, Strip, Strips

GAP = 2
"""Pixels between two faces."""
QUALITY = 82
"""Of the JPEGs, 0 to 100."""


def faces_section(seen: Sequence[SeenFaces] | None) -> Section:
    """The sample of faces; `seen` None: the features of this corpus were not made from faces here."""
    title = "What the video encoder sees"
    if not seen:
        told = (
            "No faces were cut out for this dataset: its features came with the corpus, or it has no video; one with "
            "`features: encoders` and videos shows them here."
        )
        return Section("faces", title, missing=told)
    caption = f"Contact sheet: {describe_faces(seen)}. A sample of utterances, up to five faces of each."
    return Section("faces", title, (), [Strips(caption, [strip(one) for one in seen])])


def strip(one: SeenFaces) -> Strip:
    """The faces of one utterance side by side, with speaker, class and id."""
    told = "  ·  ".join(part for part in (one.label, one.speaker, one.id) if part)
    told += f"  ·  face in {one.found} of {one.looked} frames" if one.looked else ""
    if not len(one.patches):
        return Strip(b"", 0, 0, told, one.reason or "no face found")
    size = one.patches.shape[-1]
    gap = np.full((size, GAP), 255, np.uint8)
    row = [part for patch in one.patches for part in (patch, gap)][:-1]
    image = np.concatenate(row, axis=1)
    written, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not written:
        raise RuntimeError("OpenCV cannot write JPEG")
    alt = f"{len(one.patches)} faces of {one.id}"
    return Strip(jpeg.tobytes(), image.shape[1], image.shape[0], told, alt)
