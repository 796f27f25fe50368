"""One's own manifest: what may stand in it, and what is said of what may not."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cmarr.corpora.labels import select_labels
from cmarr.corpora.registry import corpus_findings, corpus_inventory, read_corpus
from cmarr.errors import UserError


def write(root, *lines, name="manifest.csv", encoding="utf-8"):
    path = root / name
    path.write_bytes("\n".join(lines).encode(encoding))
    return path


def read(root, **options):
    return read_corpus("manifest", root, dataset="mine", **options)


def test_a_row_becomes_an_utterance(tmp_path):
    write(
        tmp_path,
        "id,text,audio,video,label,speaker,session,start,end,crop,split,score,sex,dialogue",
        'b,"well, yes",media/b.wav,media/b.mp4,happy,ann,s1,1.5,4,left,dev,-0.5,Female,d1',
        "a,hello,,,,,,,,,,,,",
    )
    (a, b), rejected = read(tmp_path)
    assert (a.id, a.text, a.audio, a.label, a.start, a.score) == ("a", "hello", None, None, None, None)
    assert b.text == "well, yes"
    assert b.audio == str(tmp_path / "media/b.wav") and b.video == str(tmp_path / "media/b.mp4")
    assert (b.label, b.speaker, b.session, b.dialogue) == ("happy", "ann", "s1", "d1")
    assert (b.start, b.end, b.crop, b.split, b.score, b.sex) == (1.5, 4.0, "left", "valid", -0.5, "f")
    assert rejected == []


def test_parquet_holds_the_same(tmp_path):
    frame = pd.DataFrame(
        {"id": [2, 1], "text": ["b", None], "audio": [None, "a.wav"], "start": [np.nan, 0.5]}
    )
    frame.to_parquet(tmp_path / "clips.parquet")
    (one, two), _ = read(tmp_path / "clips.parquet")
    assert (one.id, one.text, one.audio, one.start) == ("1", None, str(tmp_path / "a.wav"), 0.5)
    assert (two.id, two.text, two.audio, two.start) == ("2", "b", None, None)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_spreadsheets_write_other_separators_and_a_mark_at_the_start(tmp_path, separator):
    write(tmp_path, separator.join(["id", "text"]), separator.join(["1", "grüezi"]), encoding="utf-8-sig")
    assert read(tmp_path)[0][0].text == "grüezi"


def test_a_text_may_hold_line_breaks_and_the_lines_are_still_counted_right(tmp_path):
    write(tmp_path, "id,text", '1,"two', 'lines"', "2,separator\u2028inside", "", ",no id")
    with pytest.raises(UserError, match=r"manifest.csv, line 6: no id"):
        read(tmp_path)


def test_an_unknown_column_gets_the_nearest_name(tmp_path):
    write(tmp_path, "id,txt", "1,hello")
    with pytest.raises(UserError, match=r"manifest.csv: unknown column 'txt'; did you mean 'text'\?"):
        read(tmp_path)


def test_an_id_that_appears_twice_names_both_lines(tmp_path):
    write(tmp_path, "id,text", "x,one", "y,two", "x,three")
    with pytest.raises(UserError, match=r"manifest.csv: the id x appears twice, in line 2 and in line 4"):
        read(tmp_path)


@pytest.mark.parametrize(
    "lines, message",
    [
        (["text,label", "hello,happy"], "no column id"),
        (["id,text,text", "1,a,b"], "column text appears twice"),
        (["id,text", "1,well, yes"], "line 2: 3 cells under 2 columns; .* double quotes"),
        (["id,text", '1,"never closed', "2,x"], "line 2: unexpected end of data .* check the quotes"),
        (["id,text", "1,a", '2,"never closed', '3,"x"'], "line 3: .* check the quotes"),
        (["id,text,label", '1,"open,a', "2,b,a", '3,b",a'], "line 2: a quotation mark .* rows up to line 4"),
        (["id,,text", "1,,a"], "column 2 has no heading"),
        ([""], "no column id"),
        (["id,audio", "1,a\0.wav"], "line 2.*not a path"),
    ],
)
def test_a_table_that_is_none_is_refused_with_its_line(tmp_path, lines, message):
    write(tmp_path, *lines)
    with pytest.raises(UserError, match=message):
        read(tmp_path)


def test_excel_says_in_a_line_of_its_own_what_separates(tmp_path):
    write(tmp_path, "sep=|\r", "id|text\r", "1|one, two\r", "|no id\r")
    with pytest.raises(UserError, match=r"manifest.csv, line 4: no id"):
        read(tmp_path)
    write(tmp_path, "SEP=;", "id;text", "1;one, two")
    assert read(tmp_path)[0][0].text == "one, two"


def test_the_index_of_a_table_is_no_column(tmp_path):
    frame = pd.DataFrame({"id": ["a"], "text": ["one"]}, index=["x"])
    frame.to_csv(tmp_path / "manifest.csv")
    assert read(tmp_path)[0][0].text == "one"
    frame.to_parquet(tmp_path / "clips.parquet")
    assert read(tmp_path, file="clips.parquet")[0][0].text == "one"


def test_numbers_with_a_comma(tmp_path):
    write(tmp_path, "id;text;start;end;score", "a;hello;0,25;1,5;-2,0", "b;hello;1,000,5;;")
    (found,), (refused,) = read(tmp_path)
    assert (found.start, found.end, found.score) == (0.25, 1.5, -2.0)
    assert "start is '1,000,5', not a number" in refused.reason


@pytest.mark.parametrize("first", ['"sep=;"', "sep=;;"])
def test_excel_saves_its_first_line_again(tmp_path, first):
    write(tmp_path, first, "id;text", "a;hello")
    assert [(u.id, u.text) for u in read(tmp_path)[0]] == [("a", "hello")]


@pytest.mark.parametrize(
    "heads", ["index,id,text", "level_0,index,id,text", "Unnamed: 0.1,Unnamed: 0,id,text", "text,id,index"]
)
def test_an_index_that_was_saved_as_a_column(tmp_path, heads):
    cells = {"id": "u", "text": "hi"}
    write(tmp_path, heads, ",".join(cells.get(head, "7") for head in heads.split(",")))
    assert [(u.id, u.text) for u in read(tmp_path)[0]] == [("u", "hi")]


def test_what_nobody_sees_in_a_cell_is_not_in_it(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"1")
    row = "a\u200b,hi,a.wav\u200b,\u202ahappy\u202c,s1\u00a0"
    write(tmp_path, "id,text,audio,label,speaker", row, "b,\u200b,,sad,s1")
    (found,), rejected = read(tmp_path, labels=["happy", "sad"])
    assert (found.id, found.label, found.speaker) == ("a", "happy", "s1")
    assert found.audio == str(tmp_path / "a.wav")
    assert [r.id for r in rejected] == ["b"]  # a text of nothing is none


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("manifest.csv", b"PK\x03\x04" + bytes(50), "manifest.csv is a workbook or another archive"),
        ("manifest.csv", b"<!doctype html><p>404", "manifest.csv is a page of the web"),
        ("manifest.xlsx", b"PK\x03\x04", "manifest.xlsx is none: save it as CSV"),
    ],
)
def test_what_is_no_table_is_called_what_it_is(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        read(tmp_path)


@pytest.mark.parametrize(
    "cell, file",
    [
        ("clips\\a.wav", "clips/a.wav"),
        (".\\clips\\a.wav", "clips/a.wav"),
        ("odd\\a.wav", "odd\\a.wav"),
        ("Gespr\u00e4ch/h\u00f6r.wav", "Gespra\u0308ch/ho\u0308r.wav"),
        ("Gespra\u0308ch/h\u00f6r.wav", "Gespr\u00e4ch/ho\u0308r.wav"),
        ("Clips\\A.WAV", "clips/a.wav"),
    ],
)
def test_a_path_written_on_another_system_is_found(tmp_path, cell, file):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).touch()
    write(tmp_path, "id,audio", f"1,{cell}")
    assert read(tmp_path)[0][0].audio == str(tmp_path / file)


def test_a_name_that_only_differs_in_case_is_found_where_it_is_the_only_one(tmp_path):
    for name in ("a.wav", "A.wav", "b.wav"):
        (tmp_path / name).touch()
    write(tmp_path, "id,audio", "1,a.WAV", "2,B.WAV", "3,A.wav")
    assert [Path(u.audio).name for u in read(tmp_path)[0]] == ["a.WAV", "b.wav", "A.wav"]


@pytest.mark.parametrize("cell", ["x" * 300 + ".wav", "he said so, " * 30, "\u00e9" * 150, "a/" * 1500])
def test_a_text_in_the_column_of_paths_costs_its_row(tmp_path, cell):
    write(tmp_path, "id,text,audio", f'1,one,"{cell}"', "2,two,~no-such-user/a.wav")
    (utterance,), (rejected,) = read(tmp_path)
    assert utterance.audio == str(tmp_path / "~no-such-user/a.wav")
    assert "too long for a file's name; is the text in the wrong column?" in rejected.reason


def test_a_path_written_on_another_system_leads_out_no_more_than_any(tmp_path):
    write(tmp_path, "id,audio", "1,..\\..\\secret.wav")
    with pytest.raises(UserError, match="leads out"):
        read(tmp_path)


@pytest.mark.parametrize(
    "cell", ["https://example.org/a.wav", "C:\\clips\\a.wav", "d:/a.wav", "\\\\server\\a.wav"]
)
def test_a_file_on_no_disk_of_this_machine_costs_its_row(tmp_path, cell):
    write(tmp_path, "id,text,audio", f"1,one,{cell}", "2,two,")
    (utterance,), (rejected,) = read(tmp_path)
    assert utterance.id == "2" and "put the file below the manifest's folder" in rejected.reason


def test_a_table_that_is_not_utf8_is_read_and_doctor_says_so(tmp_path):
    write(tmp_path, "id,text", "1,plain", "2,caf\xe9", encoding="latin1")
    assert [u.text for u in read(tmp_path)[0]] == ["plain", "café"]
    (finding,) = corpus_findings("manifest", tmp_path, [], dataset="mine")
    assert finding.level == "warning" and "Windows-1252" in finding.text
    write(tmp_path, "id,text", "1,café")
    assert not corpus_findings("manifest", tmp_path, [], dataset="mine")


def test_a_programs_word_for_nothing_is_an_empty_cell_and_is_counted(tmp_path):
    (tmp_path / "None").touch()  # a file may be called so
    write(
        tmp_path, "id,text,audio,video,label,speaker", "1,nan,None,NaN,nan,None", "2,None,a.wav,<NA>,sad,Nan"
    )
    (one, two), rejected = read(tmp_path)
    assert one.audio == str(tmp_path / "None")
    assert (one.text, one.video, one.label, one.speaker, rejected) == (None, None, None, None, [])
    assert (two.text, two.video, two.speaker) == ("None", None, "Nan")
    (found,) = corpus_findings("manifest", tmp_path, [one, two], dataset="mine")
    assert found.text.endswith("are read as empty: 2 of video, 1 of label, 1 of speaker, 1 of text")
    write(tmp_path, "id,text,video,label,speaker", "1,NA,NA,NA,NA", "2,so,null,#N/A,N/A")
    (one, two), _ = read(tmp_path)
    assert (one.text, one.video, one.label, one.speaker) == ("NA", None, None, "NA")
    assert (two.video, two.label, two.speaker) == (None, None, None)


def test_a_parquet_file_that_is_none_is_refused(tmp_path):
    write(tmp_path, "id,text", name="manifest.parquet")
    with pytest.raises(UserError, match="not a readable Parquet file"):
        read(tmp_path)


def test_strings_of_a_parquet_file_must_be_utf8(tmp_path):
    latin = pa.array([b"caf\xe9"]).view(pa.string())
    pq.write_table(pa.table({"id": pa.array(["1"]), "text": latin}), tmp_path / "manifest.parquet")
    with pytest.raises(UserError, match="not a readable Parquet file"):
        read(tmp_path)


@pytest.mark.parametrize(
    "cells, reason",
    [
        ("soon,4,,,", "start is 'soon', not a number"),
        ("nan,4,,,", "start is 'nan', not a number"),
        ("5,4,,,", "it starts at 5 s and ends at 4 s"),
        ("-1,4,,,", "it starts at -1 s"),
        ("0,4,middle,,", "crop is 'middle', not one of left, right"),
        ("0,4,,later,", "split is 'later'"),
        ("0,4,,,hapy", "unknown label 'hapy'; did you mean 'happy'?"),
    ],
)
def test_a_wrong_cell_costs_its_row_and_says_why(tmp_path, cells, reason):
    write(tmp_path, "id,text,start,end,crop,split,label", "good,hello,,,,,happy", f"bad,hello,{cells}")
    utterances, [rejected] = read(tmp_path, labels=("happy", "sad"))
    assert [u.id for u in utterances] == ["good"]
    assert rejected.id == "bad" and reason in rejected.reason and "manifest.csv, line 3" in rejected.reason


def test_an_utterance_without_anything_is_rejected(tmp_path):
    write(tmp_path, "id,text,audio,label", "a,hello,,happy", "b, ,,happy")
    utterances, [rejected] = read(tmp_path)
    assert [u.id for u in utterances] == ["a"]
    assert (rejected.id, rejected.reason) == ("b", "it has no audio, no video and no text")


def test_paths_stay_in_the_folder_unless_told_otherwise(tmp_path):
    inside, outside = tmp_path / "corpus", tmp_path / "elsewhere"
    inside.mkdir()
    outside.mkdir()
    (inside / "link").symlink_to(outside)
    write(inside, "id,audio", "1,ok/../fine.wav")
    assert len(read(inside)[0]) == 1
    for cell in ("../elsewhere/a.wav", str(outside / "a.wav"), "link/a.wav"):
        write(inside, "id,audio", f"1,{cell}")
        with pytest.raises(UserError, match=r"line 2: .* leads out of the manifest's folder.*allow_outside"):
            read(inside)
        assert read(inside, allow_outside=True)[0][0].audio.endswith("a.wav")


def test_a_folder_with_several_tables_needs_a_name(tmp_path):
    write(tmp_path, "id,text", "1,a", name="one.csv")
    write(tmp_path, "id,text", "2,b", name="two.csv")
    with pytest.raises(UserError, match=r"several tables \(one.csv, two.csv\)"):
        read(tmp_path)
    assert read(tmp_path, file="two.csv")[0][0].id == "2"
    write(tmp_path, "id,text", "3,c")
    assert read(tmp_path)[0][0].id == "3"


def test_a_wrong_option_or_kind_gets_the_nearest_name(tmp_path):
    write(tmp_path, "id,text", "1,a")
    with pytest.raises(
        UserError, match=r"datasets.mine.options.alow_outside: .*did you mean 'allow_outside'\?"
    ):
        read(tmp_path, alow_outside=True)
    with pytest.raises(UserError, match=r"datasets.mine.kind: 'ravdes' is not a kind of corpus; .*ravdess"):
        read_corpus("ravdes", tmp_path, dataset="mine")


def test_the_inventory_changes_with_the_media_and_with_nothing_else(tmp_path):
    write(tmp_path, "id,audio", "1,a.wav", "2,b.wav")
    (tmp_path / "a.wav").write_bytes(b"one")

    def look():
        return corpus_inventory("manifest", tmp_path, dataset="mine")

    first = look()
    assert first["files"] == 2
    (tmp_path / "unrelated.wav").write_bytes(b"two")
    assert look() == first
    (tmp_path / "a.wav").write_bytes(b"two")
    assert look()["fingerprint"] != first["fingerprint"]
    (tmp_path / "a.wav").write_bytes(b"one")
    assert look() == first
    (tmp_path / "b.wav").write_bytes(b"")
    assert look()["files"] == 3


def test_labels_are_merged_kept_dropped_and_counted(tmp_path):
    rows = ["1,a,happy", "2,b,excited", "3,c,sad", "4,d,hapy", "5,e,", "6,f,fearful"]
    write(tmp_path, "id,text,label", *rows)
    kept, selection = select_labels(read(tmp_path)[0], ["happy", "sad"], {"excited": "happy"})
    assert [(u.id, u.label) for u in kept] == [("1", "happy"), ("2", "happy"), ("3", "sad")]
    assert selection.per_class == {"happy": 2, "sad": 1}
    assert selection.dropped == {"fearful": 1, "hapy": 1} and selection.unlabelled == 1
    assert str(selection) == (
        "3 utterances kept (happy 2, sad 1); 2 of other classes left out "
        "(fearful 1, hapy 1, perhaps meant as happy); 1 without a label left out"
    )


def test_classes_and_merges_that_cannot_work_are_refused(tmp_path):
    write(tmp_path, "id,text,label", "1,a,happy")
    utterances = read(tmp_path)[0]
    with pytest.raises(UserError, match=r"no utterance is labelled 'sad'; this corpus has happy \(1\)"):
        select_labels(utterances, ["happy", "sad"])
    with pytest.raises(UserError, match="excited -> joy: 'joy' is not among the classes"):
        select_labels(utterances, ["happy"], {"excited": "joy"})
    with pytest.raises(UserError, match="'happy' is itself among"):
        select_labels(utterances, ["happy", "sad"], {"happy": "sad"})
    with pytest.raises(UserError, match="no utterance has a score"):
        select_labels(utterances, [])
