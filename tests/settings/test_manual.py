"""params.yaml's comments and docs/settings.md say what the declarations say."""

from tests.manual import PAGE, PARAMS, by_preset, declared, page, with_comments


def test_the_manual_is_what_is_declared():
    text = PARAMS.read_text(encoding="utf-8")
    assert with_comments(text) == text, "`make format` writes the comments of params.yaml anew"
    assert page() == PAGE.read_text(encoding="utf-8"), "`make format` writes docs/settings.md anew"


def test_every_declared_key_stands_in_it():
    text = PARAMS.read_text(encoding="utf-8")
    for *_, section, key in declared():
        assert f" {key}:" in text, f"{section}.{key}"


def test_a_comment_says_what_presets_make_of_a_key():
    assert by_preset(("method", "cmarr", "d"), 64) == "64, paper-frozen 128"
    assert by_preset(("method", "cmarr", "tau"), 0.07) == ""
