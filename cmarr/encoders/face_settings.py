"""How faces are looked for: what every encoder of faces is set by."""

from functools import partial
from typing import Literal

from cmarr.declaration import NotNegative, Place, Positive, Section, setting
from cmarr.files import file_digest
from cmarr.media.detectors import DETECTORS, build_detector, require_model
from cmarr.media.faces import FaceReader


class FaceSection(Section):
    """What every encoder of faces declares."""

    rate: Positive = setting(10.0, "faces a second, > 0")
    margin: NotNegative = setting(0.1, "border added around the detected face, as a share of its width, >= 0")
    detector: Literal["mtcnn", "haar", "yunet"] = setting(
        "mtcnn",
        "mtcnn (turned, tilted and small faces, too), haar (faces from the front), yunet (needs a file)",
    )
    detector_file: Place = setting(
        "", "YuNet's ONNX file, face_detection_yunet_2023mar.onnx in OpenCV's model zoo"
    )


class FaceSettings:
    """Faces a second, margin, detector and its file. `reader` makes a FaceReader of them, in any process.

    Raises UserError for a detector that does not exist, or whose file does not.
    """

    def __init__(self, section: FaceSection):
        rate, margin = section.rate, section.margin
        detector, detector_file = section.detector, section.detector_file
        if detector not in DETECTORS or detector == "mtcnn":
            build_detector(detector)  # refuses a name that is none, and weights that are not there
        if detector == "yunet":
            require_model(detector_file)
        self.rate, self.margin, self.detector, self.detector_file = rate, margin, detector, detector_file
        self.reader = partial(FaceReader, rate, margin, detector, detector_file)

    def __str__(self) -> str:
        """What decides the crops. A detector's file is named by its content."""
        which: str = self.detector
        if which == "yunet":
            which += f":{file_digest(self.detector_file)[:16]}"
        return f"rate={self.rate} margin={self.margin} detector={which}"
