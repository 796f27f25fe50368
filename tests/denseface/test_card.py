"""From a trained state to the page that people read; and the shipped weights against what that page says."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from miniature import faces

from cmarr.encoders.denseface import DensefaceRows
from cmarr.encoders.emotions import emotion_probabilities, face_patch
from cmarr.encoders.face_network import SHIPPED, Denseface, load_denseface, save_weights
from cmarr.errors import UserError
from cmarr.files import file_digest, read_json, write_json
from cmarr.media.faces import cut
from denseface.augment import plain
from denseface.card import BEGIN, END, card_numbers, card_text, drawn_faces, first_faces, write_card
from denseface.ferplus import FER_SIDE, read_part
from denseface.scoring import both_ways, log_probabilities, validation_scores

ROOT = Path(__file__).parents[2]
FERPLUS = ROOT / "../shared/data/ferplus"
NUMBERS = SHIPPED.with_suffix(".json")


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "best.safetensors"
    notes = {"epoch": 3, "epochs": 60, "shares": [1 / 8] * 8, "strength": 0.5}
    save_weights(path, Denseface(), half=True, notes=notes)
    found = card_numbers(path, faces(9), faces(12, seed=1), timed=[1])
    write_json(path.with_suffix(".json"), found)
    return read_json(path.with_suffix(".json"))  # as the stage finds it again


def test_numbers_are_of_these_weights_and_these_faces(numbers):
    assert numbers["weights"]["parameters"] == 768_092
    assert numbers["weights"]["bytes"] < 2e6
    assert numbers["test"]["faces"] == 12 and numbers["validation"]["faces"] == 9
    assert numbers["test"]["plain"] == numbers["test"]["balanced"]  # equal shares move nothing
    assert numbers["mirrored"]["test"]["faces"] == 12 and numbers["mirrored"]["validation"]["faces"] == 9
    assert numbers["milliseconds"]["1"] > 0


def test_the_page_gets_the_numbers_and_keeps_the_rest(numbers, tmp_path):
    page = tmp_path / "card.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_card(page, numbers)
    once = page.read_text()
    assert once.startswith(f"before\n{BEGIN}\n") and once.endswith(f"{END}\nafter\n") and "old" not in once
    write_card(page, numbers)
    assert page.read_text() == once
    page.write_text("no place for results")
    with pytest.raises(UserError, match=r"card\.md: must hold the lines"):
        write_card(page, numbers)


def test_every_emotion_has_its_own_row(numbers):
    shown = card_text(numbers)
    recall = 100 * numbers["test"]["plain"]["recall"]["contempt"]
    assert f"| contempt  |     1 | {recall:6.2f} |" in shown
    assert f"{numbers['weights']['sha256'][:16]}" in shown
    uar = numbers["mirrored"]["test"]["balanced"]["all"]["UAR"]
    assert "mirrored=True)`, the mean" in shown and f"and {100 * uar[0]:.2f} [{100 * uar[1]:.2f}, " in shown
    accuracy = numbers["test"]["plain"]["all"]["accuracy"]
    assert f"{100 * accuracy[0]:.2f} [{100 * accuracy[1]:.2f}, {100 * accuracy[2]:.2f}]" in shown


def test_a_subset_without_faces_has_no_row(numbers):
    ways = {
        way: {k: v for k, v in numbers["test"][way].items() if k != "majority"}
        for way in ("plain", "balanced")
    }
    shown = card_text(numbers | {"test": numbers["test"] | ways})
    assert "validation: majority" in shown and "test: majority" not in shown and "test: without ties" in shown


def test_weights_from_elsewhere_have_no_card(face_weights_without_notes):
    with pytest.raises(UserError, match="was not written by `make denseface`"):
        card_numbers(face_weights_without_notes, faces(2), faces(2))


@pytest.fixture
def face_weights_without_notes(tmp_path):
    save_weights(tmp_path / "w.safetensors", Denseface())
    return tmp_path / "w.safetensors"


def test_answers_to_mirror_images_are_averaged_as_probabilities(tmp_path):
    torch.manual_seed(0)
    network, some = Denseface().eval(), faces(5)
    turned = replace(some, images=some.images[:, :, ::-1].copy())
    mirrored = log_probabilities(network, some, mirrored=True)
    torch.testing.assert_close(mirrored, log_probabilities(network, turned))
    seen = log_probabilities(network, some)
    assert not torch.allclose(seen, mirrored)
    torch.testing.assert_close(both_ways(seen, mirrored).exp(), (seen.exp() + mirrored.exp()) / 2)


def test_half_precision_changes_no_answer_that_matters(tmp_path):
    torch.manual_seed(0)
    network = Denseface().eval()
    save_weights(tmp_path / "w.safetensors", network, half=True)
    some = faces(16)
    kept = log_probabilities(load_denseface(str(tmp_path / "w.safetensors")), some)
    np.testing.assert_allclose(kept.exp(), log_probabilities(network, some).detach().exp(), atol=1e-3)


shipped = pytest.mark.skipif(not NUMBERS.is_file(), reason="no weights are shipped yet")


@shipped
def test_the_page_tells_what_was_measured_of_the_shipped_file():
    numbers = read_json(NUMBERS)
    assert numbers["weights"]["sha256"] == file_digest(SHIPPED)
    assert card_text(numbers) in (ROOT / "docs/denseface.md").read_text(encoding="utf-8")


@shipped
@pytest.mark.skipif(not FERPLUS.is_dir(), reason="FER+ is not at ../shared/data/ferplus")
def test_the_shipped_file_gives_the_numbers_of_the_card():
    sample = first_faces(read_part(FERPLUS, "valid"))
    found = validation_scores(log_probabilities(load_denseface(), sample), sample)
    numbers = read_json(NUMBERS)["sample"]
    assert {"faces": len(sample), **found} == pytest.approx(numbers, abs=1e-4)


def on_every_path(some):
    """Predictions (N, 8) for the faces as the card, the public function and extraction make them."""
    encoder = DensefaceRows(DensefaceRows.Settings(), device="cpu")
    whole = [cut(image, (0, 0, FER_SIDE, FER_SIDE), 0.0) for image in some.images]
    features = torch.from_numpy(np.concatenate([encoder.rows([patch[None]])[0] for patch in whole]))
    yield log_probabilities(load_denseface(), some).argmax(1).numpy()
    yield emotion_probabilities(some.images).argmax(1)
    yield encoder.network.classifier(features).argmax(1).numpy()


@shipped
@pytest.mark.skipif(not FERPLUS.is_dir(), reason="FER+ is not at ../shared/data/ferplus")
def test_no_prediction_differs_between_card_public_function_and_extraction():
    card, public, extracted = on_every_path(first_faces(read_part(FERPLUS, "test")))
    assert (int((card != public).sum()), int((card != extracted).sum())) == (0, 0)


def test_a_face_has_the_same_bytes_on_every_path():
    some = faces(6)
    seen = ((plain(torch.from_numpy(some.images))[:, 0] + 1) * 127.5).round().to(torch.uint8).numpy()
    for image, patch in zip(some.images, seen, strict=True):
        np.testing.assert_array_equal(face_patch(image), patch)
        np.testing.assert_array_equal(cut(image, (0, 0, FER_SIDE, FER_SIDE), 0.0), patch)


@shipped
def test_the_shipped_file_answers_drawn_patterns_as_it_did():
    found = log_probabilities(load_denseface(), drawn_faces()).exp().numpy()
    np.testing.assert_allclose(found, read_json(NUMBERS)["drawn"], atol=1e-4)
    assert found.argmax(1).tolist() != [0, 0, 0, 0]
