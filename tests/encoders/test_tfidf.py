"""Counts of terms: of each text alone."""

import numpy as np

from cmarr.encoders.protocol import is_absence
from cmarr.encoders.tfidf import TfIdf
from cmarr.utterance import Rejected, Utterance


def rows(*texts, **settings):
    encoder = TfIdf(TfIdf.Settings(**settings))
    return list(encoder.encode([Utterance(str(i), text=text) for i, text in enumerate(texts)]))


def test_one_row_a_text_of_its_own_terms():
    (alone,) = rows("so so good")
    assert alone.frames.shape == (1, 4096) and alone.frames.dtype == np.float32
    # 2 words, 2 pairs, the pieces <so so> <so>, <go goo ood od> <goo good ood> <good good>; two may share a column
    assert 14 <= (alone.frames > 0).sum() <= 16
    assert np.float32(1 + np.log(2)) in alone.frames  # so, twice
    _, company = rows("bad", "so so good")
    np.testing.assert_array_equal(company.frames, alone.frames)


def test_a_blank_text_is_absent():
    blank, plain = rows(" \u200b", "a", terms=16)
    assert isinstance(blank, Rejected) and is_absence(blank)
    assert plain.frames.shape == (1, 16)
