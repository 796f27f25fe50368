"""Which files a corpus has, and whether they are still the same."""

import os

import pytest

from cmarr.corpora.inventory import corpus_files, inventory, unnamed_media
from cmarr.errors import UserError
from cmarr.utterance import Rejected, Utterance


def names(root, *suffixes):
    return [str(path.relative_to(root)) for path in corpus_files(root, suffixes)]


def fill(root, *files):
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)


def test_files_come_sorted_and_without_litter(tmp_path):
    fill(tmp_path, "b/2.WAV", "b/1.wav", "a.txt", "b/._1.wav", ".DS_Store", "__MACOSX/b/1.wav", ".git/x.wav")
    assert names(tmp_path) == ["a.txt", "b/1.wav", "b/2.WAV"]
    assert names(tmp_path, ".wav") == ["b/1.wav", "b/2.WAV"]


def test_links_are_followed_but_not_in_a_circle(tmp_path):
    corpus = tmp_path / "corpus"
    fill(tmp_path, "corpus/a.wav", "disk/b.wav")
    (corpus / "session").symlink_to(tmp_path / "disk")
    (corpus / "again").symlink_to(corpus)
    assert names(corpus) == ["a.wav", "session/b.wav"]


def test_a_link_to_what_was_not_fetched_is_a_file(tmp_path):
    (tmp_path / "a.wav").symlink_to(tmp_path / ".git/annex/a.wav")
    assert names(tmp_path) == ["a.wav"] and inventory(tmp_path)["files"] == 0


def test_media_of_no_utterance_are_found_and_those_told_elsewhere_are_not(tmp_path):
    fill(tmp_path, "a.wav", "b.WAV", "c/d.opus", "e.txt", "f.mp4", "g.wav")
    used = [Utterance("a", audio=str(tmp_path / "a.wav"), video=str(tmp_path / "f.mp4"))]
    told = [Rejected("g", None, "prepare", "g.wav: not a clip's name")]
    assert unnamed_media(tmp_path, used, told) == {".opus": ["c/d.opus"], ".wav": ["b.WAV"]}


def test_around_a_table_only_the_folders_of_its_media_are_looked_at(tmp_path):
    fill(tmp_path, "table.csv", "clips/a.wav", "clips/b.wav", "clips/._b.wav", "holiday/c.mp4")
    used = [Utterance("a", audio=str(tmp_path / "clips/a.wav"))]
    assert unnamed_media(tmp_path / "table.csv", used, []) == {".wav": ["clips/b.wav"]}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_may_not_be_read_is_named(tmp_path):
    fill(tmp_path, "closed/a.wav")
    (tmp_path / "closed").chmod(0)
    with pytest.raises(UserError, match="closed cannot be read"):
        corpus_files(tmp_path)
    (tmp_path / "closed").chmod(0o700)


def test_a_small_corpus_is_known_by_its_contents_wherever_it_lies(tmp_path):
    fill(tmp_path / "here", "x/a.wav", "b.wav")
    fill(tmp_path / "there", "x/a.wav", "b.wav")
    os.utime(tmp_path / "there/b.wav", (0, 0))
    here, there = inventory(tmp_path / "here"), inventory(tmp_path / "there")
    assert here == there
    assert (here["files"], here["bytes"], here["by"]) == (2, 12, "content")
    (tmp_path / "there/b.wav").write_text("B.WAV")
    assert inventory(tmp_path / "there")["fingerprint"] != here["fingerprint"]


def test_a_large_corpus_is_known_by_names_sizes_and_times(tmp_path):
    fill(tmp_path, "a.wav", "b.wav")
    os.utime(tmp_path / "a.wav", (1000, 1000))
    before = inventory(tmp_path, content_limit=5)
    assert before["by"] == "size and time"
    assert inventory(tmp_path, content_limit=5) == before
    os.utime(tmp_path / "a.wav", (1000, 2000))
    touched = inventory(tmp_path, content_limit=5)["fingerprint"]
    (tmp_path / "a.wav").rename(tmp_path / "c.wav")
    renamed = inventory(tmp_path, content_limit=5)["fingerprint"]
    assert len({before["fingerprint"], touched, renamed}) == 3
