"""Damaged files through prediction: each is answered, or refused with a reason.

`python -m benchmarks.fuzz --model` does a thousand.
"""

from damaged_media import hostile

from cmarr.recognition.clips import clip_from
from cmarr.recognition.prediction import Prediction, Refusal
from cmarr.recognition.reading import Limits


def test_no_file_takes_prediction_down(recognizer, tmp_path, monkeypatch):
    monkeypatch.setattr(recognizer.reader, "limits", Limits(max_seconds=60.0, time_limit=60.0))
    paths = hostile(tmp_path, 60)
    answers = list(recognizer.predict_all(clip_from(path, scratch=tmp_path) for path in paths))
    assert len(answers) == len(paths)
    for path, answer in zip(paths, answers, strict=True):
        assert isinstance(answer, Prediction | Refusal)
        told = [answer.reason] if isinstance(answer, Refusal) else list(answer.missing.values())
        assert all(sentence and "\n" not in sentence for sentence in told), path
        assert not [s for s in told if "Error:" in s], "a defect of a reader, not a sentence about the file"
    assert {type(answer) for answer in answers} == {Prediction, Refusal}
