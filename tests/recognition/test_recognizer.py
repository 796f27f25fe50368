"""`Recognizer`: clips in, answers out; what is missing is simply missing."""

import re
import shutil
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from recordings import face, write_video

import cmarr
from cmarr import Recognizer
from cmarr.data.normalise import Normaliser
from cmarr.errors import Unreadable, UserError
from cmarr.media import worker_pool
from cmarr.media.worker_pool import IdleWorkers
from cmarr.methods.model import Model, load_model, save_model
from cmarr.recognition.clips import Given
from cmarr.recognition.prediction import Prediction, Refusal, table, write_parquet
from cmarr.recognition.reading import Limits
from cmarr.recognition.recognizer import ALONE, _strange
from cmarr.recognition.trained import of_study
from cmarr.utterance import Utterance


def test_the_package_hands_it_out_and_nothing_else():
    assert cmarr.Recognizer is Recognizer
    with pytest.raises(AttributeError, match="no attribute 'Recogniser'"):
        cmarr.Recogniser  # noqa: B018


def test_a_clip_is_answered_from_what_it_holds(recognizer, clips):
    answer = recognizer.predict(clips / "a.mp4", audio=clips / "a.wav")
    assert answer.used == ("speech", "video", "text")  # a.txt lies beside it
    assert answer.recovered == () and answer.missing == {} and answer.warnings == ()
    assert list(answer.probabilities) == ["calm", "tense", "glad"]
    assert sum(answer.probabilities.values()) == pytest.approx(1)
    assert answer.winner == max(answer.probabilities, key=answer.probabilities.get)
    assert 0 <= answer.uncertainty <= 1


def test_what_is_missing_is_recovered_and_said(recognizer):
    answer = recognizer.predict(text="hello")
    assert answer.used == ("text",)
    assert answer.recovered == ("speech", "video")
    assert answer.missing == {"speech": "not given", "video": "not given"}


def test_hiding_a_modality_is_as_if_it_were_not_there(recognizer, clips):
    hidden = recognizer.predict(clips / "a.mp4", audio=clips / "a.wav", hide=["video"])
    absent = recognizer.predict(audio=clips / "a.wav", text="well, that is a surprise")
    assert hidden.missing == {"video": "hidden"} and hidden.recovered == ("video",)
    assert hidden.probabilities == absent.probabilities
    twice = recognizer.predict(clips / "a.mp4", audio=clips / "a.wav", hide=["video", "speech"])
    assert twice.used == ("text",)


def test_paths_bytes_and_samples_are_the_same_sound(recognizer, clips):
    path = clips / "a.wav"
    samples, rate = soundfile.read(path, dtype="float32")
    answers = [recognizer.predict(audio=sound) for sound in (path, path.read_bytes(), (samples, rate))]
    assert answers[0].probabilities == answers[1].probabilities == answers[2].probabilities


def test_samples_of_every_type_and_order_are_the_same_sound(recognizer, clips):
    whole, rate = soundfile.read(clips / "a.wav", dtype="int16")
    quiet = whole // 400  # no sample beyond 81, and yet no float on the scale of whole numbers
    for numbers in (whole, quiet):
        samples = (numbers / 2**15).astype(np.float32)
        expected = recognizer.predict(audio=(samples, rate))
        stereo = np.stack([samples, samples])
        for given in (numbers, numbers.astype(np.int32) << 16, stereo, stereo.T):
            answer = recognizer.predict(audio=(given, rate))
            assert answer.probabilities == pytest.approx(expected.probabilities, abs=1e-5)
            assert answer.warnings == expected.warnings


@pytest.mark.parametrize("text", [b"well", 5, ["well"]])
def test_a_text_that_is_none_is_refused(recognizer, text):
    with pytest.raises(UserError, match="text: give a str, not"):
        recognizer.predict(text=text)


def test_features_take_the_place_of_an_encoder(recognizer):
    speech = np.random.default_rng(0).normal(size=(30, 40)).astype(np.float32)
    answer = recognizer.predict(features={"speech": speech})
    assert answer.used == ("speech",)
    with pytest.raises(Unreadable, match=r"shape \(30, 7\), where \(frames, 40\) is due"):
        recognizer.predict(features={"speech": speech[:, :7]})
    with pytest.raises(Unreadable, match="NaN"):
        recognizer.predict(features={"speech": np.full((3, 40), np.nan)})


def test_a_part_of_a_recording(recognizer, clips):
    part = recognizer.predict(clips / "long.wav", start=3.0, end=4.5)
    assert (part.start, part.end) == (3.0, 4.5)
    assert part.used == ("speech", "text")  # "last words" is said in it
    with pytest.raises(UserError, match="not the beginning and end"):
        recognizer.predict(clips / "long.wav", start=4.0, end=3.0)


@pytest.mark.parametrize(
    ("file", "warning"),
    [
        ("loud.wav", "the sound is clipped"),
        ("silent.wav", "speech not used: .* is silent"),
        ("faceless.mp4", "video not used: no face found"),
    ],
)
def test_doubts_are_told(recognizer, clips, file, warning):
    import re

    answer = recognizer.predict(clips / file, text="so it is")
    assert [w for w in answer.warnings if re.match(warning, w)], answer.warnings


def test_a_clip_is_strange_where_every_model_says_so():
    def told(*shares):
        class Method:
            def unlikeness(self, batch):
                return torch.tensor(shares)

        return SimpleNamespace(method=Method(), normaliser=lambda batch: batch)

    batch = SimpleNamespace(available=torch.ones(3, 3))
    sure, other = told(1.0, 1.0, 0.9), told(1.0, 0.9, 1.0)
    assert _strange([sure], batch) == [True, True, False]
    assert _strange([sure, other], batch) == [True, False, False]
    assert _strange([sure, told(torch.nan, 1.0, 1.0)], batch) == [False, True, False]
    assert _strange([sure, SimpleNamespace(method=object())], batch) == [False] * 3


def test_a_blank_transcript_is_told(recognizer, clips):
    answer = recognizer.predict(clips / "a.wav", text="  ")
    assert answer.used == ("speech",)
    assert answer.warnings == ("text not used: the transcript is blank",)


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("silent.wav", "is silent"),
        ("faceless.mp4", "no face found"),
        ("absent.wav", "does not exist"),
    ],
)
def test_a_clip_with_nothing_to_go_by_is_refused(recognizer, clips, file, reason):
    with pytest.raises(Unreadable, match=reason):
        recognizer.predict(clips / file)


def test_one_refusal_costs_nobody_else(recognizer, clips):
    given = [Utterance("x", audio=str(clips / n)) for n in ("a.wav", "absent.wav", "a.wav")]
    first, refused, last = recognizer.predict_all(given)
    assert isinstance(refused, Refusal) and "absent.wav does not exist" in refused.reason
    assert isinstance(first, Prediction) and first.probabilities == last.probabilities


def test_an_answer_does_not_depend_on_its_neighbours(recognizer, clips):
    given = [
        Given(Utterance("1", audio=str(clips / "a.wav"))),
        Given(Utterance("2", text="hello")),
        Given(Utterance("3", audio=str(clips / "loud.wav"), video=str(clips / "a.mp4"))),
    ]
    together = list(recognizer.predict_all(given))
    alone = [next(recognizer.predict_all([clip])) for clip in given]
    for one, other in zip(together, alone, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-6)


def test_an_unknown_modality_is_named(recognizer):
    with pytest.raises(UserError, match=r"'vidoe' is not a modality.*did you mean 'video'"):
        recognizer.predict(text="hello", hide=["vidoe"])


@pytest.mark.parametrize(
    ("hide", "message"),
    [(5, "give modalities, as ['video'], not int"), ([["video"]], "['video'] is not a modality")],
)
def test_what_names_no_modalities_is_refused(recognizer, hide, message):
    with pytest.raises(UserError, match=re.escape(message)):
        recognizer.predict(text="hello", hide=hide)


@pytest.mark.parametrize("source", [3, None, b"starter"])
def test_a_model_is_named_by_a_path(source):
    with pytest.raises(UserError, match="give a path, not"):
        Recognizer.from_pretrained(source)


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ({"max_seconds": 0.5}, r"lasts 1 s, more than max_seconds = 0.5 allows"),
        ({"max_megabytes": 0.001}, r"MB, more than max_megabytes = 0.001 allows"),
        ({"max_frames": 3}, r"video: .* has 20 frames, more than max_frames = 3"),
        ({"max_pixels": 100}, r"video: .* has frames of 19200 pixels, more than max_pixels = 100"),
        ({"max_characters": 3}, r"text: the text has 24 characters, more than max_characters = 3"),
    ],
)
def test_every_limit_says_which_one_it_is(project, recognizer, clips, limit, message, monkeypatch):
    monkeypatch.setattr(recognizer.reader, "limits", Limits(**limit))
    answers = list(
        recognizer.predict_all([Utterance("a", video=str(clips / "a.mp4"), text="well, that is a surprise")])
    )
    told = [*answers[0].warnings, getattr(answers[0], "reason", "")]
    import re

    assert any(re.search(message.split(": ")[-1], sentence) for sentence in told), told


def test_the_workers_stay_and_close_ends_them(project, clips, monkeypatch):
    kept = IdleWorkers()
    monkeypatch.setattr(worker_pool, "IDLE", kept)
    with Recognizer.of_study("demo", "masked", root=project, workers=1) as own:
        own.predict(audio=clips / "a.wav")
        idle = [worker for workers in kept._idle.values() for worker in workers]
        assert idle and all(worker.alive() for worker in idle)
    assert not any(worker.alive() for worker in idle)
    assert own.predict(audio=clips / "a.wav").used == ("speech",)


def test_the_best_model_is_chosen_by_validation_score(project):
    with Recognizer.of_study("demo", "masked", root=project, keep=False) as best:
        assert best.about.models[0].fold == 1
    with Recognizer.of_study("demo", "masked", root=project, fold=0, keep=False) as asked:
        assert asked.about.models[0].fold == 0


def test_of_all_methods_the_one_with_the_best_model_is_taken(project, tmp_path):
    shutil.copytree(project, tmp_path, dirs_exist_ok=True)
    assert (
        of_study("demo", root=tmp_path).about.method == "masked"
    )  # equally good; it stands first in the study
    (tmp_path / "data/demo/models/masked/fold1-seed0.safetensors").unlink()
    best = of_study("demo", root=tmp_path).about
    assert (best.method, best.models[0].score) == ("cmarr", 0.7)
    assert of_study("demo", root=tmp_path, fold=0).about.method == "masked"


def test_an_ensemble_averages_probabilities(project):
    told = []
    for options in ({"fold": 0}, {"fold": 1}, {"ensemble": True}):
        with Recognizer.of_study("demo", "masked", root=project, keep=False, **options) as own:
            told.append(torch.tensor(list(own.predict(text="hello there").probabilities.values())))
    assert torch.allclose((told[0] + told[1]) / 2, told[2])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere",), "there is no study of 'nowhere'"),
        (("dmo",), r"there is no study of 'dmo'; did you mean 'demo'\?"),
        (("demo", "maskde"), "'maskde' has no trained models there.*did you mean 'masked'"),
        (("demo", "masked", 9), "no model of fold 9"),
        (("../demo",), "there is no study"),
    ],
)
def test_what_a_study_does_not_have(project, arguments, message):
    dataset, method, fold = (*arguments, None, None)[:3]
    with pytest.raises(UserError, match=message):
        Recognizer.of_study(dataset, method, root=project, fold=fold)


def test_the_encoder_of_text_may_wait_until_there_is_a_text(project, clips, recognizer, monkeypatch):
    import cmarr.recognition.encoding as encoding

    built, build = [], encoding.build_encoder
    monkeypatch.setattr(
        encoding, "build_encoder", lambda name, *a, **m: built.append(name) or build(name, *a, **m)
    )
    patient = Recognizer.of_study("demo", "cmarr", root=project, workers=1, keep=False, patient=True)
    assert built == ["logmel", "hog"]
    assert patient.predict(clips / "a.wav", hide=["text"]).used == ("speech",) and built == ["logmel", "hog"]
    words = "what a day"
    assert patient.predict(text=words).probabilities == recognizer.predict(text=words).probabilities
    assert built == ["logmel", "hog", "hashing"]


@pytest.fixture
def by_speaker(project):
    """The best model, as if it had been trained with `normalise: speaker` on speakers of means 1 and variances 4."""
    path = next(iter((project / "data/demo/models/masked").glob("*.safetensors"))).parent
    for weights in path.glob("*.safetensors"):
        model = load_model(weights)
        normaliser = Normaliser(model.description["dims"], by_speaker=True)
        for m in "sv":
            getattr(normaliser, f"typical_frames_{m}").copy_(torch.tensor([[1.0], [4.0]]))
        about = dict(model.description) | {"normalise": "speaker"}
        save_model(weights, Model(model.method, normaliser, model.prior, model.task, about))
    with Recognizer.of_study("demo", "masked", root=project, workers=1, keep=False) as recognizer:
        yield recognizer


def given(name: str, frames, speaker: str | None = None) -> Given:
    return Given(Utterance(name, text="so", speaker=speaker), {"s": np.asarray(frames, np.float32)})


def test_a_model_by_speaker_hears_all_clips_of_one_first(by_speaker):
    generator = np.random.default_rng(0)
    frames = generator.normal(size=(4, 9, by_speaker.dims["s"]))
    clips = [given(f"c{n}", own, "Anna") for n, own in enumerate(frames)]
    loud = [given(f"c{n}", 5 * own + 100, "Anna") for n, own in enumerate(frames)]
    other = [
        given(f"d{n}", own, "Bert") for n, own in enumerate(generator.normal(size=(2, 9, frames.shape[2])))
    ]
    plain = list(by_speaker.predict_all(clips))
    beside = list(by_speaker.predict_all([*clips, *other]))[:4]
    for one, two in zip(plain, beside, strict=True):
        assert one.probabilities == pytest.approx(two.probabilities)
    alone = [next(by_speaker.predict_all([clip])) for clip in clips]
    assert plain[0].probabilities != pytest.approx(alone[0].probabilities, abs=1e-5)
    assert not any(ALONE in p.warnings for p in plain)
    assert all(ALONE in p.warnings for p in alone)
    assert all(
        np.isfinite(list(p.probabilities.values())).all() for p in [*alone, *by_speaker.predict_all(loud)]
    )


def test_without_a_speaker_a_clip_is_normalised_by_itself(by_speaker):
    frames = np.random.default_rng(0).normal(size=(2, 9, by_speaker.dims["s"]))
    unnamed = list(by_speaker.predict_all([given("a", frames[0]), given("b", frames[1])]))
    alone = [next(by_speaker.predict_all([given("a", own)])) for own in frames]
    for one, two in zip(unnamed, alone, strict=True):
        assert one.probabilities == pytest.approx(two.probabilities)


def test_names_and_texts_of_half_characters_cost_nobody_else_theirs(recognizer, tmp_path):
    clips = [
        Utterance("a", audio="\ud83d.wav"),
        Utterance("b\ud83d", text="well \ud83d"),
        Utterance("c", audio="x\0.wav", text="well"),
    ]
    results = list(recognizer.predict_all(clips))
    assert "\\ud83d.wav does not exist" in results[0].reason
    assert results[1].winner and "half a character" in results[1].warnings[0]
    assert results[2].winner == recognizer.predict(text="well").winner
    write_parquet(tmp_path / "a.parquet", results, recognizer.classes)
    assert pq.read_table(tmp_path / "a.parquet")["id"].to_pylist() == ["a", "b\\ud83d", "c"]
    table(results, recognizer.classes).encode()
    with pytest.raises(UserError, match="can be the name of no file"):
        recognizer.predict("\ud83d.wav")


def test_a_name_that_is_no_utf8_costs_its_clip_and_says_so(recognizer, clips, tmp_path):
    (tmp_path / "b\udcff.wav").write_bytes((clips / "a.wav").read_bytes())
    (tmp_path / "c.wav").write_bytes((clips / "a.wav").read_bytes())
    refused, answered = recognizer.predict_paths(tmp_path)
    assert "holds bytes that are no UTF-8; rename the file" in refused.reason and answered.used == ("speech",)


def test_what_a_browser_records_is_neither_damaged_nor_too_short_for_windows(recognizer, tmp_path):
    from test_odd_recordings import write_live

    (whole,) = recognizer.predict_all([Utterance("a", audio=write_live(tmp_path / "a.webm", late=1.0))])
    assert whole.used == ("speech",) and not whole.warnings
    cut = recognizer.windows([Utterance("a", audio=str(tmp_path / "a.webm"))], 1.0, 1.0)
    assert [(round(u.start), round(u.end)) for u in cut] == [(0, 1), (1, 2), (2, 3), (3, 4)]
    silent, *heard = recognizer.predict_all(cut)
    assert "the track holds nothing of this part" in silent.reason and not silent.warnings
    assert all(r.used == ("speech",) and not r.warnings for r in heard)


def test_several_faces_cast_doubt(recognizer, tmp_path):
    two = np.hstack([face(), face()])
    write_video(tmp_path / "two.mp4", [two] * 20)
    (told,) = recognizer.predict(tmp_path / "two.mp4").warnings
    assert told == "the video shows several faces; one was followed, the largest where it begins"
    assert recognizer.predict(tmp_path / "two.mp4", text="words", hide=["video"]).warnings == ()


def test_a_file_is_called_what_the_caller_calls_it(recognizer, clips, monkeypatch):
    monkeypatch.chdir(clips)
    told = recognizer.predict("../" + clips.name + "/faceless.mp4", text="words").missing["video"]
    assert told.endswith(f"frames of ../{clips.name}/faceless.mp4")
    with pytest.raises(Unreadable, match=r"^speech: silent\.wav is silent"):
        recognizer.predict("silent.wav")


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "bmp"])
def test_a_photo_is_told_that_it_is_one_once(recognizer, tmp_path, ending):
    import cv2

    cv2.imwrite(str(tmp_path / f"photo.{ending}"), face())
    told = r"^speech and video: .*photo\.\w+ cannot be opened \(it is a picture, .*\); give a recording$"
    with pytest.raises(Unreadable, match=told):
        recognizer.predict(tmp_path / f"photo.{ending}")
