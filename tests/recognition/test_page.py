"""The server's page in a real browser: one session, which no request leaves."""

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from recordings import tone

sys.path.append(str(Path(__file__).parents[1]))
import browser
from browser import answer, visit

pytestmark = pytest.mark.skipif(browser.missing() is not None, reason=str(browser.missing()))

LIMIT = 120_000
"""Milliseconds that bound a hang, and nothing else."""

STARTED = "#clock:not(:empty, :has-text('0:00'))"
"""A second of a recording has gone by, or more."""


@pytest.fixture(scope="module")
def session():
    with browser.browser() as running:
        yield running


@pytest.fixture
def page(session, tight):
    """The page, of which nothing may be asked elsewhere, and where nothing may go wrong unseen."""
    url = tight.url.removesuffix("invocations")
    with session.new_context(viewport={"width": 1200, "height": 900}) as context:
        context.set_default_timeout(LIMIT)
        asked, told = [], []
        context.on("request", lambda request: asked.append(request.url))
        context.on("console", lambda message: told.append(message.text))
        context.on("weberror", lambda error: told.append(str(error.error)))
        shown = visit(context, url)
        yield shown
        assert [u for u in asked if not u.startswith((url, f"blob:{url}"))] == []
        assert [line for line in told if "400 (Bad Request)" not in line] == []
        kept = "[localStorage.length, sessionStorage.length, document.cookie.length]"
        assert shown.evaluate(kept) == [0, 0, 0]


def shares(page):
    return page.locator("#bars .share").all_inner_texts()


def test_a_text_by_keyboard_alone(page):
    focused = "document.activeElement.id"
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate(focused) == "text":
            break
    page.keyboard.type("well, that is a surprise")
    for _ in range(5):
        page.keyboard.press("Tab")
        if page.evaluate(focused) == "send":
            break
    page.keyboard.press("Enter")
    page.wait_for_selector("#told:not([hidden])")
    page.wait_for_selector("#status:has-text('Answered')")
    assert page.evaluate(focused) == "answer-title", "a reader hears where the answer is"
    assert page.locator("#bars .name").all_inner_texts() == ["calm", "tense", "glad"]
    assert "it rests on text alone" in page.inner_text("#doubt")
    assert "reconstructed from the rest" in page.inner_text(".modality:has-text('video')")
    assert page.locator("#modalities button").count() == 1 and page.is_disabled("#modalities button")
    assert page.is_hidden("#course")


def test_hiding_a_modality_shows_what_changes(page, clips):
    answer(page, [clips / "a.mp4"], "hello")
    whole, first = shares(page), page.inner_text("#winner")
    switch = page.get_by_role("switch", name="text")
    switch.focus()
    page.keyboard.press("Space")
    assert switch.get_attribute("aria-checked") == "false"
    assert page.evaluate("document.activeElement.getAttribute('role')") == "switch", "the focus stays"
    assert page.inner_text("#change").startswith("Without text it ")
    assert page.locator("#bars .before").count() == 3, "what it was is still to be seen"
    assert page.get_by_role("switch", name="video").is_disabled(), "something must be left"
    assert page.is_visible("#marks") and "it rests on video alone" in page.inner_text("#doubt")
    hidden = shares(page)
    switch.click()
    assert page.is_hidden("#marks") and "it rests on" not in page.inner_text("#doubt")
    assert shares(page) == whole and page.inner_text("#winner") == first and page.inner_text("#change") == ""
    assert hidden != whole


def test_a_long_recording_has_a_course(page, tmp_path, clips):
    soundfile.write(tmp_path / "talk.wav", tone(440, 10.0), 16_000)
    answer(page, [tmp_path / "talk.wav", clips / "long.srt"])
    assert page.inner_text("#name").endswith("with long.srt")
    assert page.is_visible("#course svg") and page.locator("#course path").count() == 3
    page.click("#course summary")
    rows = page.locator("#windows tr").all_inner_texts()
    assert len(rows) == 7 and rows[0].split("\t") == [
        "seconds",
        "calm",
        "tense",
        "glad",
        "doubt",
        "read from",
    ]
    assert rows[1].startswith("0.0–3.0") and rows[1].endswith("speech, text")
    page.get_by_role("switch", name="speech").click()
    assert "hidden" in page.locator("#windows tr").all_inner_texts()[-1], "these windows have sound alone"


@pytest.mark.parametrize("kind", ["both", "sound"])
def test_a_recording_from_the_browser(page, kind):
    page.click(f"#record-{kind}")
    page.wait_for_selector("#stop:not([hidden])")
    assert page.evaluate("document.activeElement.id") == "stop"
    page.wait_for_selector(STARTED)
    page.keyboard.press("Enter")
    page.wait_for_selector("#remove:not([hidden])")
    page.click("#send")
    page.wait_for_selector("#told:not([hidden])")
    assert (
        "speech" in page.inner_text(".modality >> nth=0")
        and page.get_by_role("switch", name="speech").count()
    )
    if kind == "both":
        assert "no face" in page.inner_text("#doubt")
    page.click("#remove")
    assert page.is_hidden("#told") and page.is_hidden("#preview")


def test_what_is_wrong_is_said(page, tmp_path):
    page.click("#send")
    assert "Choose or record a clip" in page.inner_text("#status.wrong")
    (tmp_path / "no.mp4").write_bytes(b"no media at all" * 100)
    page.set_input_files("#file", str(tmp_path / "no.mp4"))
    page.click("#send")
    page.wait_for_selector("#status.wrong:has-text('the given clip cannot be opened')")
    for name, size, told in (
        ("large.mp4", 500_000_000, "large.mp4 has 500.0 MB; this server takes 1 MB"),
        ("large.srt", 1_100_000, "large.srt has 1.1 MB; this server takes 1 MB"),
        ("large.txt", 500_000_000, "large.txt has 500.0 MB; this server takes 100000 characters"),
        ("empty.wav", 0, "empty.wav is empty"),
    ):
        with (tmp_path / name).open("wb") as file:
            file.truncate(size)
        page.set_input_files("#file", str(tmp_path / name))
        page.wait_for_selector(f"#status.wrong:has-text('{told}')")
    assert page.inner_text("#name").startswith("no.mp4") and page.input_value("#text") == ""
    soundfile.write(tmp_path / "other.wav", tone(440, 1.0), 16_000)
    page.set_input_files("#file", [str(tmp_path / "no.mp4"), str(tmp_path / "other.wav")])
    page.wait_for_selector("#status.wrong:has-text('other.wav is left out: one clip at a time.')")


@pytest.fixture
def rough(session, tight):
    """The page, where requests may go wrong."""
    with session.new_context() as context:
        context.set_default_timeout(LIMIT)
        yield visit(context, tight.url.removesuffix("invocations"))


def test_what_breaks_on_the_way_is_said_and_can_be_tried_again(rough):
    def ask(handle, told):
        rough.route("**/predict", handle)
        rough.click("#send")
        rough.wait_for_selector(f"#status.wrong:has-text('{told}')")
        assert rough.is_enabled("#send") and rough.is_hidden("#cancel")
        rough.unroute("**/predict")

    rough.fill("#text", "مرحبا 😀")
    assert rough.evaluate("getComputedStyle(document.getElementById('text')).direction") == "rtl"
    ask(lambda route: route.abort(), "It did not arrive whole")
    ask(lambda route: route.fulfill(status=502, body="<h1>Bad gateway</h1>"), "The server answered 502")
    rough.route("**/ping", lambda route: route.abort())
    ask(lambda route: route.abort(), "The server cannot be reached")
    rough.click("#send")
    rough.wait_for_selector("#status:has-text('Answered')")


def test_an_answer_to_what_is_gone_is_not_shown(rough, clips):
    held = []
    rough.route("**/predict", lambda route: held.append(route))
    rough.fill("#text", "hello")
    rough.click("#send")
    rough.wait_for_selector("#cancel:not([hidden])")
    rough.set_input_files("#file", str(clips / "a.wav"))
    rough.wait_for_selector("#name:has-text('a.wav')")
    assert rough.is_hidden("#told") and rough.is_hidden("#cancel") and rough.is_enabled("#send")
    assert rough.inner_text("#status") == ""
    rough.unroute("**/predict")
    rough.click("#send")
    rough.wait_for_selector("#status:has-text('Answered')")
    assert rough.get_by_role("switch", name="speech").count()


def test_a_camera_is_asked_for_once_and_its_refusal_explained(rough):
    stub = """name => {
        window.asked = 0;
        navigator.mediaDevices.getUserMedia = () => {
            window.asked += 1;
            return new Promise((_, no) => setTimeout(() => no(new DOMException("", name)), 200));
        };
    }"""
    for name, told in (
        ("NotAllowedError", "the browser was not allowed to"),
        ("NotFoundError", "there is none"),
        ("NotReadableError", "another program holds it"),
    ):
        rough.evaluate(stub, name)
        rough.evaluate("for (let i = 0; i < 3; i++) document.getElementById('record-both').click()")
        rough.wait_for_selector(f"#status.wrong:has-text('No camera or microphone: {told}')")
        assert rough.evaluate("window.asked") == 1 and rough.is_enabled("#record-both")


def test_a_file_is_dropped(page, clips):
    data = page.evaluate_handle("new DataTransfer()")
    content = list((clips / "a.wav").read_bytes())
    fill = "(data, bytes) => data.items.add(new File([new Uint8Array(bytes)], 'a.wav', {type: 'audio/wav'}))"
    data.evaluate(fill, content)
    page.dispatch_event("#drop", "drop", {"dataTransfer": data})
    page.wait_for_selector(STARTED)
    assert page.inner_text("#name").startswith("a.wav")


def contrast(page):
    """Of each kind of text to what it stands on."""
    names = (
        "ink/paper",
        "ink/card",
        "faint/paper",
        "faint/card",
        "warn/warn-paper",
        "on-accent/accent",
        "accent/paper",
    )
    style = "name => getComputedStyle(document.documentElement).getPropertyValue('--' + name)"

    def light(name):
        code = page.evaluate(style, name).strip().lstrip("#")
        code = "".join(2 * c for c in code) if len(code) == 3 else code
        part = np.array([int(code[i : i + 2], 16) / 255 for i in (0, 2, 4)])
        linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722] + 0.05

    pairs = {name: [light(part) for part in name.split("/")] for name in names}
    return {name: max(pair) / min(pair) for name, pair in pairs.items()}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read_and_used_on_a_phone(page, clips, scheme):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 360, "height": 740})
    assert min(contrast(page).values()) >= 4.5, contrast(page)
    answer(page, [clips / "long.wav"], "a word" + "verylong" * 40)
    page.click("text=As JSON")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    small = (
        "[...document.querySelectorAll('button')].filter(b => b.offsetParent && b.offsetHeight < 40).length"
    )
    assert page.evaluate(small) == 0
    label = "e.labels?.length || e.textContent.trim() || e.ariaLabel || e.getAttribute('aria-labelledby')"
    every = "[...document.querySelectorAll('button, input, textarea, video, [tabindex=\"0\"]')]"
    nameless = f"{every}.filter(e => !({label})).map(e => e.id)"
    assert page.evaluate(nameless) == []


def test_the_page_for_programs(page):
    page.click("text=For programs")
    page.wait_for_selector("text=POST /predict")
    page.set_viewport_size({"width": 360, "height": 740})
    page.wait_for_function("document.documentElement.scrollWidth <= 360")  # it may still be laying itself out
