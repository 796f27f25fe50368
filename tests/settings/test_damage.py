"""Kinds of damage in params.yaml: who is asked for, at which levels, and who must refuse."""

import re
from pathlib import Path

import pytest

from cmarr.damage.kinds import KINDS
from cmarr.errors import UserError
from cmarr.masks.protocols import DAMAGE
from cmarr.settings.load import load_settings
from cmarr.settings.resolve import resolve
from tests.settings.test_load import PARAMS

ROOT = Path(__file__).parents[2]
PROTOCOLS = "protocols:\n- fixed\n- rate\n"


def resolved(tmp_path, protocols, *changes):
    """The settings files with other protocols, and some text of params.yaml replaced."""
    text = PARAMS.read_text()
    for old, new in ((PROTOCOLS, f"protocols: [{protocols}]\n"), *changes):
        assert old in text
        text = text.replace(old, new, 1)
    (tmp_path / "params.yaml").write_text(text)
    return resolve(load_settings(tmp_path / "params.yaml", ROOT / "presets"))


def levels(files) -> dict[str, list[float]]:
    return {kind: files[f"damage/{kind}"]["levels"] for kind in KINDS}


def test_the_names_are_the_protocols(tmp_path):
    assert tuple(KINDS) == DAMAGE


def test_nothing_is_damaged_unless_it_is_asked_for(tmp_path):
    assert not any(levels(resolved(tmp_path, "fixed, rate")).values())


def test_a_kind_is_asked_for_by_its_name_and_all_of_them_by_one_word(tmp_path):
    asked = {kind for kind, found in levels(resolved(tmp_path, "fixed, noise")).items() if found}
    assert asked == {"noise"}
    every = levels(resolved(tmp_path, "all"))
    assert every["noise"] == [20.0, 10.0, 5.0, 0.0, -5.0] and every["word_errors"] == [
        0.1,
        0.2,
        0.3,
        0.4,
        0.5,
    ]
    assert all(every.values())


def test_a_kind_depends_on_its_modality_and_its_own_section_alone(tmp_path):
    before = resolved(tmp_path, "fixed, rate, noise, blur")
    after = resolved(
        tmp_path,
        "fixed, rate, noise, blur",
        ("pool: 5 ", "pool: 4 "),
        ("    sound: white ", "    sound: babble "),
    )
    changed = {name for name in before if before[name] != after[name]}
    assert {name for name in changed if name.startswith("damage/")} == {"damage/noise"}
    assert not changed & {"masks", "video", "text", "cmarr", "linear"}
    assert after["damage/noise"]["extraction"] == after["speech"]
    assert "noise" not in before["masks"]["protocols"]


def test_a_corpus_of_features_refuses_and_all_leaves_them_out(tmp_path):
    mosi = ("dataset: demo ", "dataset: mosi ")
    with pytest.raises(
        UserError, match=re.escape("protocols: noise damages recordings") + ".*mosi comes as features"
    ):
        resolved(tmp_path, "fixed, noise", mosi)
    assert not any(levels(resolved(tmp_path, "all", mosi)).values())


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("    sound: white ", "    sound: pink ", "protocol.noise.sound"),
        ("    - 20.0\n", "    - .inf\n", "protocol.noise.levels"),
        ("    - 2.5\n", "    - -2.5\n", "protocol.dark.levels"),
    ],
)
def test_levels_that_cannot_be_are_refused_by_their_key(tmp_path, old, new, told):
    with pytest.raises(UserError, match=re.escape(told)):
        resolved(tmp_path, "fixed, noise", (old, new))
