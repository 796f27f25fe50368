"""Pretrained text networks: a row is what transformers gives for the text alone, whatever the batch."""

import numpy as np
import pytest
import torch
from checkpoints import TEXT_KINDS

from cmarr.encoders.bert import Bert
from cmarr.encoders.protocol import is_absence
from cmarr.utterance import Rejected, Utterance

Settings = Bert.Settings

TEXTS = ["well", "happy, well!", "a b c d e f g", "z" * 30, "happy " * 7]


def utterances(*texts):
    return [Utterance(str(i), text=text) for i, text in enumerate(texts)]


def alone(folder, text):
    """The plain loop: one text through transformers, (T, D)."""
    import transformers

    network = transformers.AutoModel.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        return network(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].numpy()


@pytest.mark.parametrize("kind", TEXT_KINDS)
@pytest.mark.parametrize(("pieces", "speed"), [(512, {}), (20, {"window": 3, "workers": 3})])
def test_a_batch_gives_what_each_text_gives_alone(kind, text_model, pieces, speed):
    encoder = Bert(Settings(model=text_model[kind], batch_pieces=pieces), device="cpu", **speed)
    answers = list(encoder.encode(utterances(*TEXTS)))
    assert [answer.id for answer in answers] == [str(i) for i in range(len(TEXTS))]
    for answer, text in zip(answers, TEXTS, strict=True):
        np.testing.assert_allclose(answer.frames, alone(text_model[kind], text), rtol=0, atol=1e-5)
        assert answer.times.tolist() == list(range(len(answer.frames)))


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_nothing_of_a_long_text_is_cut_off(text_model, kind):
    """A model of 40 positions, 38 of them for word pieces: 100 pieces are read in four overlapping chunks."""
    encoder = Bert(Settings(model=text_model[kind]), device="cpu")
    assert encoder.network.framing.limit == 40
    letters = " ".join("abcdefghij"[i % 10] for i in range(100))
    (answer,) = encoder.encode(utterances(letters))
    assert answer.frames.shape == (102, 32)  # with [CLS] and [SEP], once
    pieces = encoder.network.prepared(Utterance("u", text=letters)).chunks
    assert len(pieces) == 4 and max(len(piece.inputs) for piece in pieces) <= 40
    kept = np.concatenate([piece.inputs[piece.keep] for piece in pieces])
    np.testing.assert_array_equal(kept, encoder.network.tokenizer(letters, verbose=False)["input_ids"])


def test_a_text_that_just_fits_is_read_whole(text_model):
    encoder = Bert(Settings(model=text_model["bert"]), device="cpu")
    counts = [len(encoder.network.prepared(Utterance("u", text="a " * n)).chunks) for n in (38, 39)]
    assert counts == [1, 2]


def test_layers(text_model):
    mean = Bert(Settings(model=text_model["bert"], layers=[1, 3]), device="cpu")
    every = Bert(Settings(model=text_model["bert"], layers="all"), device="cpu")
    (a,), (b,) = (encoder.encode(utterances("happy")) for encoder in (mean, every))
    first, third = b.frames[:, 32:64], b.frames[:, 96:]
    np.testing.assert_allclose(a.frames, (first + third) / 2, atol=1e-6)
    np.testing.assert_allclose(third, alone(text_model["bert"], "happy"), atol=1e-5)


@pytest.mark.parametrize("text", ["", "  ", "\n\t", "\x00", "\u200b"])
def test_a_blank_transcript_is_an_absence(text_model, text):
    (answer,) = Bert(Settings(model=text_model["bert"]), device="cpu").encode(utterances(text))
    assert isinstance(answer, Rejected) and is_absence(answer)


@pytest.mark.parametrize(
    "text", ["déjà vu", "我很高兴", "🙂", "a\x00b", "\ud83d lone", "x" * 5000, "[SEP] [CLS]", "\ufeffwell"]
)
def test_any_characters_give_finite_rows(text_model, text):
    (answer,) = Bert(Settings(model=text_model["bert"]), device="cpu").encode(utterances(text))
    assert len(answer.frames) > 2 and np.isfinite(answer.frames).all()
