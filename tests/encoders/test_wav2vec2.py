"""Pretrained speech networks: a row is what transformers gives for the utterance alone, whatever the batch."""

import numpy as np
import pytest
import soundfile
import torch
from checkpoints import SPEECH_KINDS

from cmarr.encoders.registry import build_encoder
from cmarr.encoders.wav2vec2 import Wav2vec2
from cmarr.errors import UserError
from cmarr.media.clips import RATE
from cmarr.utterance import Rejected, Utterance

Settings = Wav2vec2.Settings

LENGTHS = (400, 719, 720, 5000, 16_000, 16_001, 31_234)
"""Samples: one frame, the last with one, the first with two, and a second or so."""


def sounds(*lengths, seed=0):
    rng = np.random.default_rng(seed)
    return [0.1 * rng.standard_normal(n).astype(np.float32) for n in lengths]


def alone(folder, samples, layer=None):
    """The plain loop: one utterance through transformers, (T, D)."""
    import transformers

    network = transformers.AutoModel.from_pretrained(folder).eval()
    prepare = transformers.AutoFeatureExtractor.from_pretrained(folder)
    inputs = prepare(samples, sampling_rate=RATE, return_tensors="pt").input_values
    with torch.no_grad():
        output = network(inputs, output_hidden_states=layer is not None)
    return (output.last_hidden_state if layer is None else output.hidden_states[layer])[0].float().numpy()


@pytest.fixture
def corpus(tmp_path):
    """Utterances of the given numbers of samples, a file each."""

    def write(*lengths):
        utterances = []
        for i, samples in enumerate(sounds(*lengths)):
            path = tmp_path / f"{i}.wav"
            soundfile.write(path, samples, RATE, subtype="FLOAT")
            utterances.append(Utterance(f"u{i}", audio=str(path)))
        return utterances

    return write


@pytest.mark.parametrize("kind", SPEECH_KINDS)
def test_a_batch_gives_what_each_utterance_gives_alone(kind, speech_model):
    network = Wav2vec2(Settings(model=speech_model[kind]), device="cpu").network
    given = network([network.normalised(samples) for samples in sounds(*LENGTHS)])
    for samples, rows in zip(sounds(*LENGTHS), given, strict=True):
        assert len(rows) == (len(samples) - 400) // 320 + 1
        np.testing.assert_allclose(rows, alone(speech_model[kind], samples), rtol=0, atol=1e-5)


def test_plain_padding_would_not(speech_model):
    """The test above can fail: transformers' own batch, padded and masked, is off by orders of magnitude more."""
    folder = speech_model["wav2vec2"]
    import transformers

    network = transformers.AutoModel.from_pretrained(folder).eval()
    prepare = transformers.AutoFeatureExtractor.from_pretrained(folder)
    short, long = sounds(8_000, 32_000)
    batch = prepare(
        [short, long], sampling_rate=RATE, padding=True, return_attention_mask=True, return_tensors="pt"
    )
    with torch.no_grad():
        padded = network(**batch).last_hidden_state[0].numpy()
    expected = alone(folder, short)
    assert np.abs(padded[: len(expected)] - expected).max() > 1e-3


@pytest.mark.parametrize(
    ("seconds", "speed"), [(10.0, {}), (1.0, {}), (10.0, {"window": 2}), (10.0, {"workers": 1})]
)
def test_files_become_rows_every_20_ms_in_order(corpus, speech_model, seconds, speed):
    utterances = corpus(*LENGTHS)
    folder = speech_model["wav2vec2"]
    answers = list(
        Wav2vec2(Settings(model=folder, batch_seconds=seconds), device="cpu", **speed).encode(utterances)
    )
    assert [answer.id for answer in answers] == [utterance.id for utterance in utterances]
    for answer, samples in zip(answers, sounds(*LENGTHS), strict=True):
        np.testing.assert_allclose(answer.frames, alone(folder, samples), rtol=0, atol=1e-5)
        np.testing.assert_allclose(answer.times, 0.0125 + 0.02 * np.arange(len(answer.frames)), atol=1e-5)


def test_the_number_of_threads_changes_no_bit(corpus, speech_model):
    utterances = corpus(*LENGTHS, *LENGTHS)
    one, three = (
        list(
            Wav2vec2(
                Settings(model=speech_model["wav2vec2"], batch_seconds=2.0), device="cpu", workers=n
            ).encode(utterances)
        )
        for n in (1, 3)
    )
    for a, b in zip(one, three, strict=True):
        assert a.frames.tobytes() == b.frames.tobytes()


def test_layers(speech_model):
    folder = speech_model["wav2vec2-large"]
    (samples,) = sounds(8_000)

    def rows(layers):
        network = Wav2vec2(Settings(model=folder, layers=layers), device="cpu").network
        return network([network.normalised(samples)])[0]

    states = [alone(folder, samples, layer) for layer in range(4)]
    np.testing.assert_allclose(rows([2]), states[2], atol=1e-5)
    np.testing.assert_allclose(rows([0, 3]), (states[0] + states[3]) / 2, atol=1e-5)
    np.testing.assert_allclose(rows("all"), np.concatenate(states, axis=1), atol=1e-5)
    assert Wav2vec2(Settings(model=folder, layers="all"), device="cpu").dim == 4 * 32


@pytest.mark.parametrize("layers", [[4], [], [1.5], "first", [-1]])
def test_layers_that_the_model_does_not_have_are_refused(speech_model, layers):
    beyond = (
        r"encoders\.wav2vec2\.layers: .* from 0 to 3" if layers == [4] else r"layers(\.0)?: input should be"
    )
    with pytest.raises(UserError, match=beyond):
        build_encoder("wav2vec2", {"model": speech_model["hubert"], "layers": layers}, device="cpu")


def test_rows_are_averaged(corpus, speech_model):
    utterances = corpus(16_000)  # 49 rows
    (plain,), (pooled,) = (
        Wav2vec2(Settings(model=speech_model["wavlm"], pool=n), device="cpu").encode(utterances)
        for n in (1, 20)
    )
    assert pooled.frames.shape == (3, 32)
    np.testing.assert_allclose(pooled.frames[1], plain.frames[20:40].mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(pooled.frames[2], plain.frames[40:].mean(axis=0), atol=1e-6)
    assert pooled.times[0] == pytest.approx(plain.times[:20].mean())


@pytest.mark.parametrize("kind", ["wav2vec2", "wavlm"])
def test_bf16_is_no_further_off_than_autocast(kind, speech_model):
    (samples,) = sounds(16_000)
    network = Wav2vec2(Settings(model=speech_model[kind], precision="bf16"), device="cpu").network
    (rows,) = network([network.normalised(samples)])
    with torch.autocast("cpu", torch.bfloat16):
        expected = alone(speech_model[kind], samples)
    exact = alone(speech_model[kind], samples)
    off, usual = (np.linalg.norm(values - exact) for values in (rows, expected))
    assert 1e-4 < off < 1.1 * usual  # the first convolution stays in fp32
    assert rows.dtype == np.float32


def test_less_than_one_frame_says_so(corpus, speech_model):
    short, enough = Wav2vec2(Settings(model=speech_model["wav2vec2"]), device="cpu").encode(corpus(399, 400))
    assert isinstance(short, Rejected)
    assert "lasts 25 ms, shorter than the 25 ms of one frame" in short.reason
    assert enough.frames.shape == (1, 32)


def test_a_span_that_cannot_be_read_costs_no_neighbour_in_the_same_file(corpus, speech_model):
    (whole,) = corpus(16_000)
    spans = [(0.0, 0.4), (0.4, 0.3), (5.0, 6.0), (0.5, 1.0)]
    utterances = [Utterance(str(i), audio=whole.audio, start=a, end=b) for i, (a, b) in enumerate(spans)]
    first, reversed_, outside, last = Wav2vec2(Settings(model=speech_model["wav2vec2"]), device="cpu").encode(
        utterances
    )
    assert (len(first.frames), len(last.frames)) == (19, 24)
    assert "ends at 0.3 s but begins at 0.4 s" in reversed_.reason
    assert "holds no sound between 5 s and 6 s" in outside.reason


def test_a_long_utterance_is_read_in_chunks(corpus, speech_model):
    (utterance,) = corpus(160_000)
    whole, cut = (
        Wav2vec2(Settings(model=speech_model["wav2vec2"], longest=seconds), device="cpu")
        for seconds in (60.0, 3.0)
    )
    pieces = cut.cut("u", sounds(160_000)[0]).chunks
    assert len(pieces) == 5 and all(piece.size <= 150 for piece in pieces)
    (expected,), (given,) = whole.encode([utterance]), cut.encode([utterance])
    assert given.frames.shape == expected.frames.shape == (499, 32)  # no row lost, none twice
    np.testing.assert_array_equal(given.times, expected.times)
    assert not np.allclose(given.frames, expected.frames, atol=1e-5)  # another context; see docs/encoders.md
    off = np.linalg.norm(given.frames - expected.frames) / np.linalg.norm(expected.frames)
    assert off < 0.2


def test_half_an_hour_is_cut_into_pieces_that_fit():
    """By arithmetic alone: what goes through the network at once does not grow with the utterance."""
    from cmarr.encoders.networks import spans

    total, longest = (1800 * RATE - 400) // 320 + 1, 2999
    cut = spans(total, longest, longest // 4)
    assert max(last - first for first, last, _ in cut) <= longest
    kept = np.concatenate([np.arange(first, last)[keep] for first, last, keep in cut])
    np.testing.assert_array_equal(kept, np.arange(total))
