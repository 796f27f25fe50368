"""A network that learns gives, before it does, the rows that extraction writes; then gradients."""

import numpy as np
import pytest
import soundfile
import torch
from checkpoints import SPEECH_KINDS, TEXT_KINDS

from cmarr.encoders.bert import Bert
from cmarr.encoders.networks import FRAME, FRAMES_A_SECOND, NOTHING, to_frames, to_samples
from cmarr.encoders.trainable import from_description
from cmarr.encoders.wav2vec2 import Wav2vec2
from cmarr.encoders.waveforms import Waveforms
from cmarr.encoders.word_pieces import WordPieces
from cmarr.media.clips import RATE
from cmarr.utterance import Utterance
from tests.finetuning.conftest import sounds, texts

# WavLM's, of torch; loading a network silences it, but a test's filters end with the test.
pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask:UserWarning")


@pytest.fixture
def clips(tmp_path):
    """Utterances of noise, of the given numbers of samples, as 16-bit files."""

    def write(*lengths):
        rng = np.random.default_rng(0)
        found = []
        for i, n in enumerate(lengths):
            soundfile.write(tmp_path / f"{i}.wav", 0.1 * rng.standard_normal(n), RATE, subtype="PCM_16")
            found.append(Utterance(f"u{i}", audio=str(tmp_path / f"{i}.wav")))
        return found

    return write


def read(network, sequences):
    """Rows of each utterance, from what the shards would hold."""
    values = torch.from_numpy(np.concatenate([s.frames for s in sequences])).float()
    rows, lengths = network.eval()(values, torch.tensor([len(s.frames) for s in sequences]))
    return [own.detach().numpy() for own in rows.split(lengths.tolist())]


class TestWaveforms:
    def test_16_bit_sound_comes_back_to_the_bit(self, clips):
        utterances = clips(400, 640, 641)
        for utterance, n in zip(utterances, (400, 640, 641), strict=True):
            samples = soundfile.read(utterance.audio, dtype="float32")[0]
            frames = to_frames(samples)
            assert frames.dtype == np.int16 and frames.shape == (-(-n // FRAME), FRAME)
            back = to_samples(torch.from_numpy(frames))
            np.testing.assert_array_equal(back.numpy(), samples)

    def test_the_loudest_samples_are_not_taken_for_nothing(self):
        frames = to_frames(np.array([-1.0, -1.5, 1.0, 1.5], dtype=np.float32))
        assert frames[0, :4].tolist() == [-32767, -32767, 32767, 32767]
        assert (frames[0, 4:] == NOTHING).all()
        assert len(to_samples(torch.from_numpy(frames))) == 4

    def test_a_frame_is_20_ms(self):
        assert FRAMES_A_SECOND * FRAME == RATE

    def test_the_encoder_writes_them_with_their_times(self, clips, folder):
        encoder = Waveforms(Waveforms.Settings(model=folder("wav2vec2")), workers=1)
        short, enough = encoder.encode(clips(399, 700))
        assert "shorter than the 25 ms of one frame" in short.reason
        assert enough.frames.shape == (3, 320)
        np.testing.assert_allclose(enough.times, [0.01, 0.03, 0.05], atol=1e-7)
        assert encoder.describe()["revision"].startswith("sha256:")


class TestBeforeItLearns:
    @pytest.mark.parametrize("kind", SPEECH_KINDS)
    def test_speech_gives_the_rows_of_extraction(self, kind, clips, folder, trainable):
        utterances = clips(400, 5000, 9000)
        stored = list(Waveforms(Waveforms.Settings(model=folder(kind)), workers=1).encode(utterances))
        expected = Wav2vec2(Wav2vec2.Settings(model=folder(kind)), device="cpu", workers=1).encode(utterances)
        network, _ = trainable("wav2vec2", kind)
        for rows, wanted in zip(read(network, stored), expected, strict=True):
            np.testing.assert_allclose(rows, wanted.frames, rtol=0, atol=2e-5)

    @pytest.mark.parametrize(
        "settings", [{"layers": "all", "pool": 4}, {"layers": [1, 3], "longest": 0.3}], ids=str
    )
    def test_layers_pooling_and_chunks_are_those_of_extraction(self, settings, clips, folder, trainable):
        utterances = clips(12_000, 400)
        stored = list(Waveforms(Waveforms.Settings(model=folder("wav2vec2")), workers=1).encode(utterances))
        own = Wav2vec2.Settings(model=folder("wav2vec2"), **settings)
        expected = Wav2vec2(own, device="cpu", workers=1).encode(utterances)
        network, _ = trainable("wav2vec2", **settings)
        for rows, wanted in zip(read(network, stored), expected, strict=True):
            np.testing.assert_allclose(rows, wanted.frames, rtol=0, atol=2e-5)

    @pytest.mark.parametrize("kind", TEXT_KINDS)
    def test_text_gives_the_rows_of_extraction(self, kind, folder, trainable):
        """Also where a text is longer than the network's 40 positions."""
        utterances = [
            Utterance(str(i), text=t) for i, t in enumerate(("well", "happy, well!", "a b c d " * 15))
        ]
        stored = list(WordPieces(WordPieces.Settings(model=folder(kind))).encode(utterances))
        expected = Bert(Bert.Settings(model=folder(kind)), device="cpu", workers=1).encode(utterances)
        network, _ = trainable("bert", kind)
        for rows, wanted in zip(read(network, stored), expected, strict=True):
            np.testing.assert_allclose(rows, wanted.frames, rtol=0, atol=2e-5)


class TestBatches:
    """Neither padding nor the other utterances change a row."""

    @pytest.mark.parametrize("name", ["wav2vec2", "bert"])
    @pytest.mark.parametrize("gradients", [True, False])
    def test_an_utterance_alone_gives_its_rows(self, name, gradients, trainable):
        limits = {"wav2vec2": {"batch_seconds": 0.3}, "bert": {"batch_pieces": 9}}[name]
        network = trainable(name, **limits)[0].eval()
        given = sounds(400, 5000, 1280, 3001) if name == "wav2vec2" else texts(1, 12, 5, 3)
        with torch.set_grad_enabled(gradients):
            rows, lengths = network(torch.cat(given), torch.tensor([len(own) for own in given]))
            for own, together in zip(given, rows.split(lengths.tolist()), strict=True):
                alone, _ = network(own, torch.tensor([len(own)]))
                torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)

    def test_what_is_left_of_a_sound_may_be_shorter_than_one_row(self, trainable):
        """A protocol that drops steps leaves single frames of 20 ms; the network reads 25 ms."""
        rows, lengths = trainable("wav2vec2")[0](*(sounds(320)[0], torch.tensor([1])))
        assert lengths.tolist() == [1] and rows.isfinite().all()

    @pytest.mark.parametrize(("name", "width"), [("wav2vec2", 320), ("bert", 1)])
    def test_what_is_absent_has_no_rows(self, name, width, trainable):
        network = trainable(name, **({"pool": 2} if name == "wav2vec2" else {}))[0]
        (one,) = sounds(800) if name == "wav2vec2" else texts(2)
        _, lengths = network(one, torch.tensor([0, len(one), 0]))
        assert (lengths > 0).tolist() == [False, True, False]
        rows, lengths = network(torch.zeros(0, width), torch.tensor([0, 0]))
        assert rows.shape == (0, 32) and lengths.tolist() == [0, 0]


def gradients(network, given):
    torch.manual_seed(0)  # dropout
    rows, _ = network.train()(torch.cat(given), torch.tensor([len(own) for own in given]))
    rows.square().sum().backward()
    return {n: p.grad for n, p in network.named_parameters() if p.grad is not None}


class TestLearning:
    @pytest.mark.parametrize(
        ("name", "kind"), [*(("wav2vec2", k) for k in SPEECH_KINDS), *(("bert", k) for k in TEXT_KINDS)]
    )
    def test_a_gradient_reaches_all_that_learns(self, name, kind, trainable):
        network, _ = trainable(name, kind, freeze_front_end=False)
        given = sounds(2000, 900) if name == "wav2vec2" else texts(4, 2)
        moved = {n for n, g in gradients(network, given).items() if g.abs().sum() > 0}
        still = {n for n, p in network.named_parameters() if p.requires_grad} - moved
        # a bias of keys, and of electra's types of segments, cancels or is not there for a single segment
        assert not {
            n
            for n in still
            if not n.endswith("k_proj.bias") and "key.bias" not in n and "k_lin.bias" not in n
        }

    def test_the_convolutions_stay_unless_told_otherwise(self, trainable):
        frozen, open_ = (trainable("wav2vec2", freeze_front_end=freeze)[0] for freeze in (True, False))
        touched = [{n.split(".")[1] for n in gradients(network, sounds(2000))} for network in (frozen, open_)]
        assert touched == [{"network"}, {"network", "first", "rest"}]

    @pytest.mark.parametrize("name", ["wav2vec2", "bert"])
    @pytest.mark.parametrize("layers", ["last", "all"])
    def test_checkpointing_gives_the_same_gradients(self, name, layers, trainable):
        given = sounds(2000, 900) if name == "wav2vec2" else texts(4, 2)
        plain, saving = (
            gradients(trainable(name, layers=layers, checkpointing=on)[0], given) for on in (False, True)
        )
        assert plain.keys() == saving.keys()
        for key, value in plain.items():
            torch.testing.assert_close(saving[key], value, msg=key)

    def test_checkpointing_keeps_fewer_activations(self, trainable):
        def kept(checkpointing):
            sizes = []
            network = trainable("bert", checkpointing=checkpointing)[0].train()
            with torch.autograd.graph.saved_tensors_hooks(
                lambda t: sizes.append(t.numel()) or t, lambda t: t
            ):
                network(*(torch.cat(texts(30)), torch.tensor([30])))
            return sum(sizes)

        assert kept(True) < 0.6 * kept(False)


@pytest.mark.parametrize("name", ["wav2vec2", "bert"])
def test_a_description_is_enough_to_build_it_again(name, trainable, monkeypatch):
    network, description = trainable(name)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    again = from_description(description)
    again.load_state_dict(network.state_dict())
    (given,) = sounds(2000) if name == "wav2vec2" else texts(7)
    rows, _ = network.eval()(given, torch.tensor([len(given)]))
    same, _ = again.eval()(given, torch.tensor([len(given)]))
    assert torch.equal(rows, same)
    assert "/" not in str(description)  # nothing of this machine
