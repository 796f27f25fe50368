"""Transcripts with times."""

import time

import pytest

from cmarr.corpora.captions import Said, read_captions, spoken
from cmarr.recognition.clips import with_transcript
from cmarr.utterance import Utterance

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
    said = Said(LINES)
    assert said.between(0.0, 1.75) == ()
    assert spoken(said.between(1.0, 3.0)) == "Hello there, you two."
    assert spoken(said.between(0.0, 100.0)) == "Hello there, you two. Good bye."


def test_an_hour_that_no_clock_shows_is_no_caption(tmp_path):
    endless = "9" * 5000
    (tmp_path / "a.srt").write_text(f"1\n{endless}:00:00,000 --> {endless}:00:01,000\nnever\n")
    assert read_captions(tmp_path / "a.srt") == ()
    for wrong in (f"{endless}:00:00,000 -->", "100:00:01,000 -->", "-00:00:01,000 -->", "00:00:09,12345 -->"):
        rows = f"1\n00:00:01,000 --> 00:00:02,000\nHello\n\n2\n{wrong} 100:00:02,000\nnever\nat all\n\n"
        (tmp_path / "a.srt").write_text(f"{rows}3\n00:00:03,000 --> 00:00:04,000\nFile --> Open\n")
        assert read_captions(tmp_path / "a.srt") == (("Hello", 1.0, 2.0), ("File --> Open", 3.0, 4.0)), wrong
        (tmp_path / "a.srt").write_text((tmp_path / "a.srt").read_text().replace("\n\n", "\n"))
        assert read_captions(tmp_path / "a.srt")[0][0] == "Hello", wrong


AUTOMATIC = """WEBVTT
Kind: captions

STYLE
::cue { color: red }

1
00:00.500 --> 00:01.500 align:start position:0%
so<00:00:00.700><c> this</c> &amp; that

NOTE
nobody says this,
nor this

00:02.000 --> 00:02.500
- at 00:00:01,000 or 00:00:02,000
- {\\an8}yes

"""
SUBSTATION = """[Script Info]
Title: x

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Comment: 0,0:00:00.00,0:00:01.00,D,,0,0,0,,a remark
Dialogue: 0,0:00:03.00,0:00:04.00,D,,0,0,0,,{\\i1}Good{\\i0} bye,\\Nall.
Dialogue: 0,0:00:01.00,0:00:02.50,D,,0,0,0,,Hello
Dialogue: 0,0:00:01.00,0:00:02.50,D,,0,0,0,,{\\p1}m 0 0 l 100 0{\\p0}
"""


def test_what_is_written_in_a_caption_file_and_not_said(tmp_path):
    (tmp_path / "a.vtt").write_text(AUTOMATIC)
    assert [text for text, *_ in read_captions(tmp_path / "a.vtt")] == [
        "so this & that",
        "- at 00:00:01 000 or 00:00:02 000 - yes",
    ]


def test_substation(tmp_path):
    (tmp_path / "a.ass").write_text(SUBSTATION)
    assert read_captions(tmp_path / "a.ass") == (("Hello", 1.0, 2.5), ("Good bye, all.", 3.0, 4.0))
    (tmp_path / "a.ass").write_text(SUBSTATION.replace("0:00:03.00", "soon"))
    assert read_captions(tmp_path / "a.ass") == ()


@pytest.mark.parametrize("flood", ["{", "<a", "\n", "1\n", "-->", " ", "}{"])
@pytest.mark.parametrize("head", ["1\n00:00:00,000 --> 00:00:01,000\n", SUBSTATION.rstrip()])
def test_twice_as_many_braces_take_twice_as_long(tmp_path, flood, head):
    """Square time would be many minutes."""
    (tmp_path / "a.srt").write_text(head + flood * (300_000 // len(flood)) + "\n")
    began = time.process_time()
    read_captions(tmp_path / "a.srt")
    assert time.process_time() - began < 60  # a second, where a processor is quick


def test_a_guessed_encoding_is_told(tmp_path):
    (tmp_path / "a.srt").write_bytes(SRT.replace("Good  bye.", "我感觉很好").encode("gbk"))
    told = []
    assert [text for text, *_ in read_captions(tmp_path / "a.srt", told.append)][1] == "我感觉很好"
    assert len(told) == 1 and "a.srt" in told[0] and "GB 18030" in told[0]


TWO = (("Hello there", 1.0, 2.0), ("I am glad", 3.0, 4.0))
WRITTEN = {
    "SBV": "0:00:01.000,0:00:02.000\nHello there\n\n0:00:03.000,0:00:04.000\nI am glad\n",
    "lyrics": "[ti:x]\n[00:01.00]Hello there\n[00:02.00]\n[00:03.00]I am glad\n[00:04.00]\n",
    "TTML": '<?xml version="1.0"?><tt xmlns="http://www.w3.org/ns/ttml"><body><div><p begin="00:00:01.000" '
    'end="00:00:02.000">Hello<br/>there</p><p begin="3s" dur="1s">I am <span>glad</span></p></div></body></tt>',
    "SAMI": "<SAMI><BODY><SYNC Start=1000><P>Hello there<SYNC Start=2000><P>&nbsp;<SYNC Start=3000><P>I am glad"
    "<SYNC Start=4000><P>&nbsp;</BODY></SAMI>",
    "MicroDVD": "{1}{1}25\n{25}{50}Hello there\n{75}{100}I am|glad\n",
    "no milliseconds": "1\n00:00:01 --> 00:00:02\nHello there\n\n2\n00:00:03 --> 00:00:04\nI am glad\n",
    "blanks in times": "1\n00: 00: 01, 000 --> 00: 00: 02, 000\nHello there\n\n0:03,0 -> 0:04,0\nI am glad\n",
    "each row ended twice": "1\r\r\n0:01,0 --> 0:02,0\r\r\nHello there\r\r\n"
    "\r\r\n2\r\r\n0:03,0 --> 0:04,0\r\r\nI am glad",
    "marks of direction": "1\n\u202b0:01,000 --> 0:02,000\u202c\nHello\u2066 there\n\n0:03.0 --> 0:04.0\nI am glad",
    "rows on their way up": "WEBVTT\n\n00:01.000 --> 00:02.000\n \nHello<00:00:01.400><c> there</c>\n\n"
    "00:02.000 --> 00:02.010\nHello there\n \n\n00:03.000 --> 00:04.000\nHello there\nI am<00:00:03.500><c> glad</c>\n",
}  # fmt: skip


@pytest.mark.parametrize("kind", WRITTEN)
def test_captions_of_every_kind_are_told_by_their_content(tmp_path, kind):
    (tmp_path / "a").write_bytes(WRITTEN[kind].encode())
    assert read_captions(tmp_path / "a") == TWO


@pytest.mark.parametrize(
    "text", ["just words", "1\n00:00:02,000 --> 00:00:01,000\nbackwards", "{25}{50}no rate", "<tt>"]
)
def test_a_file_without_a_caption_says_so(tmp_path, text):
    (tmp_path / "a.srt").write_text(text)
    told = []
    assert read_captions(tmp_path / "a.srt", told.append) == ()
    assert len(told) == 1 and "a.srt holds no caption" in told[0]


def test_the_times_of_captions_called_text_are_not_said(tmp_path):
    (tmp_path / "a.txt").write_text(SRT)
    given = with_transcript(Utterance("u", audio="a.wav"), tmp_path / "a.txt")
    assert given.utterance.text == "Hello there, you two. Good bye." and given.utterance.words == LINES
    (tmp_path / "a.txt").write_text("we met at 10:30, or 11:30")
    assert with_transcript(Utterance("u"), tmp_path / "a.txt").utterance.text == "we met at 10:30, or 11:30"
