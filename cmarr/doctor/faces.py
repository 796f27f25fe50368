"""In how many frames the video encoder will find a face, looked at in a sample."""

from collections.abc import Callable, Sequence

from cmarr.corpora.expected import Finding
from cmarr.encoders.faces import see_faces, spread
from cmarr.media.faces import FaceReader
from cmarr.media.faces_file import FEW, face_share, few_faces
from cmarr.utterance import Utterance


def face_findings(
    utterances: Sequence[Utterance], reader: Callable[[], FaceReader], workers: int, seconds: float
) -> list[Finding]:
    """Search faces, as extraction will, in utterances spread over speakers and classes."""
    sample = spread(utterances)
    seen = see_faces(sample, reader, workers, seconds)
    share = face_share(seen)
    if share is None:
        return []
    told = f"a face in {100 * share:.0f} % of the frames of {len(sample)} utterances, spread over speakers"
    few = few_faces(seen)
    if share >= FEW and not few:
        return [Finding("ok", told)]
    whose = f"; fewer than {100 * FEW:.0f} %: {', '.join(few)}" if few else ""
    advice = "look at these recordings; without a face the video is absent. Another `detector` may see more"
    return [Finding("warning", told + whose, advice)]
