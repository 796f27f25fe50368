"""Transcripts with times."""

import pytest

from cmarr.corpora.text_files import read_captions, said_between

SRT = """1
00:00:01,000 --> 00:00:02,500
<i>Hello</i> there,
you two.

2
00:01:05,250 --> 00:01:06,000
{\\an8}Good  bye.
"""

VTT = """WEBVTT - a title

NOTE a remark

00:01.000 --> 00:02.500 align:start
<v Ann>Hello there, you two.

last
01:05.250 --> 01:06.000
Good bye.
"""
LINES = (("Hello there, you two.", 1.0, 2.5), ("Good bye.", 65.25, 66.0))


@pytest.mark.parametrize("text", [SRT, VTT, SRT.replace("\n", "\r\n"), "\ufeff" + SRT])
def test_lines_and_their_times(tmp_path, text):
    (tmp_path / "a").write_bytes(text.encode())
    assert read_captions(tmp_path / "a") == LINES


def test_captions_without_blank_lines_between_them(tmp_path):
    (tmp_path / "a").write_text(SRT.replace("\n\n", "\n"))
    assert read_captions(tmp_path / "a") == LINES
    (tmp_path / "a").write_text(
        "00:01.0 --> 00:02.0\ncall me at\n5\n00:02.0 --> 00:03.0\n7\n\n00:04.0 --> 00:05.0\n9"
    )
    assert [text for text, *_ in read_captions(tmp_path / "a")] == ["call me at 5", "7", "9"]


def test_what_is_no_caption_is_passed_over(tmp_path):
    (tmp_path / "a").write_text(
        "just words\n\n1\n00:00:02,000 --> 00:00:01,000\nbackwards\n\n00:00:01,000 --> never\nx"
    )
    assert read_captions(tmp_path / "a") == ()


def test_a_line_belongs_to_where_its_middle_lies():
    assert said_between(LINES, 0.0, 1.75) == ""
    assert said_between(LINES, 1.0, 3.0) == "Hello there, you two."
    assert said_between(LINES, 0.0, 100.0) == "Hello there, you two. Good bye."


def test_an_hour_that_no_clock_shows_is_no_caption(tmp_path):
    endless = "9" * 5000
    (tmp_path / "a.srt").write_text(f"1\n{endless}:00:00,000 --> {endless}:00:01,000\nnever\n")
    assert read_captions(tmp_path / "a.srt") == ()
