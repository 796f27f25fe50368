"""What all encoders share: the registry, the protocol, and an account of what decides the features."""

import pytest

from cmarr.encoders.protocol import Encoder
from cmarr.encoders.registry import build_encoder, encoder_class
from cmarr.errors import UserError
from cmarr.plugins import ENCODERS, names

OTHER = {
    "logmel": [{"bands": 40}, {"pool": 2}, {"trim": 0.0}],
    "egemaps": [{"level": "lld"}, {"pool": 2}, {"trim": 0.0}],
    "hashing": [{"dim": 64}],
    "hog": [{"rate": 5.0}, {"margin": 0.3}],
    "wav2vec2": [{"layers": [1]}, {"layers": "all"}, {"pool": 2}, {"precision": "bf16"}, {"longest": 9.0}],
    "bert": [{"layers": [1, 2]}, {"layers": "all"}, {"precision": "bf16"}],
    "denseface": [{"rate": 5.0}, {"margin": 0.3}, {"precision": "bf16"}],
    "waveforms": [{"model": "other"}],
    "word_pieces": [{"model": "other"}],
    "minilm": [{"rows": "sentence"}, {"precision": "bf16"}],
    "tfidf": [{"terms": 64}, {"directions": 9}],
}
"""Settings that change the features, one at a time."""

FASTER = {
    "logmel": {"workers": 1, "seconds": 5.0},
    "egemaps": {"workers": 1, "seconds": 5.0},
    "hog": {"workers": 1, "seconds": 5.0},
    "hashing": {},
    "wav2vec2": {"workers": 1, "seconds": 5.0, "batch_seconds": 1.0, "window": 8, "device": "cpu"},
    "bert": {"workers": 1, "batch_pieces": 9, "window": 8, "device": "cpu"},
    "denseface": {"workers": 1, "seconds": 5.0, "batch_faces": 9, "window": 8, "device": "cpu"},
    "waveforms": {"workers": 1, "seconds": 5.0},
    "word_pieces": {},
    "minilm": {"workers": 1, "batch_pieces": 9, "window": 8, "device": "cpu"},
    "tfidf": {},
}
"""Settings that change the speed only."""


@pytest.fixture
def build(speech_model, text_model, face_weights):
    """Build an encoder by name; those that need weights get tiny ones."""
    given = {
        "wav2vec2": {"model": speech_model["wav2vec2"]},
        "bert": {"model": text_model["bert"]},
        "denseface": {"weights": face_weights},
        "waveforms": {"model": speech_model["wav2vec2"]},
        "word_pieces": {"model": text_model["bert"]},
    }
    others = {"waveforms": speech_model["hubert"], "word_pieces": text_model["roberta"]}

    def make(name, **settings):
        if name == "egemaps":
            pytest.importorskip("opensmile", reason="needs the extra `opensmile`")
        own = {**given.get(name, {}), **settings}
        own |= {"model": others[name]} if own.get("model") == "other" else {}
        declared = encoder_class(name).Settings.model_fields
        machine = {key: own.pop(key) for key in own.keys() - declared.keys()}
        return build_encoder(name, own, **machine)

    return make


@pytest.mark.parametrize("name", names(ENCODERS))
def test_every_encoder_obeys_the_protocol(name, build):
    encoder = build(name)
    assert isinstance(encoder, Encoder)
    assert encoder.modality in ("s", "v", "t")
    assert encoder.dim > 0
    assert list(encoder.encode([])) == []


@pytest.mark.parametrize("name", names(ENCODERS))
def test_the_description_tells_what_decides_the_features(name, build):
    plain = build(name).describe()
    assert plain["encoder"] == name
    assert {"revision", "parameters", "libraries"} <= plain.keys()
    others = [build(name, **settings).describe() for settings in OTHER[name]]
    assert all(other != plain for other in others)


@pytest.mark.parametrize("name", names(ENCODERS))
def test_what_changes_the_speed_only_is_not_in_it(name, build):
    assert build(name, **FASTER[name]).describe() == build(name).describe()


def test_an_unknown_encoder_is_refused_with_the_nearest():
    with pytest.raises(UserError, match=r"'logmell' is not an encoder; .*; did you mean 'logmel'"):
        build_encoder("logmell")
