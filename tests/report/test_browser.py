"""The page in a real browser: Debian's chromium, headless."""

import json
import re
import shutil
import subprocess
from html import unescape

import pytest

CHROMIUM = shutil.which("chromium")

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no `chromium` on the PATH (Debian: apt-get install chromium)"
)

WIDTHS = (1280, 375)

WATCH = """
<!doctype html><meta charset="utf-8"><body>
FRAMES
<pre id="told"></pre>
<script>
function look(frame) {
  const page = frame.contentDocument, root = page.documentElement;
  page.querySelectorAll("details").forEach((fold) => (fold.open = true));
  const drawings = [...page.querySelectorAll("figure.picture .panel > svg")];
  const missing = (link) => !page.getElementById(link.getAttribute("href").slice(1));
  const colour = () => frame.contentWindow.getComputedStyle(page.body).backgroundColor;
  const before = colour();
  page.getElementById("theme").click();
  const after = colour();
  frame.contentWindow.dispatchEvent(new Event("resize"));
  page.getElementById("theme").click();
  return {
    width: frame.clientWidth,
    title: page.title,
    overflow: root.scrollWidth - root.clientWidth,
    drawings: drawings.length,
    figures: page.querySelectorAll("figure.picture").length,
    empty: drawings.filter((one) => {
      const box = one.getBoundingClientRect();
      return box.width < 50 || box.height < 50 || one.querySelectorAll("path").length < 5;
    }).length,
    images: [...page.querySelectorAll("img")].map((image) => image.naturalWidth),
    loose: [...page.querySelectorAll("a[href^='#']")].filter(missing).length,
    themes: [before, after],
    tables: [...page.querySelectorAll(".scroll")].map((table) => ({
      wide: table.scrollWidth > table.clientWidth + 1,
      told: table.previousElementSibling.getBoundingClientRect().height > 0,
    })),
    sticky: frame.contentWindow.getComputedStyle(page.querySelector("nav")).position,
  };
}
addEventListener("load", () => {
  document.getElementById("told").textContent = JSON.stringify(
    [...document.querySelectorAll("iframe")].map(look)
  );
});
</script>
"""


@pytest.fixture(scope="module")
def seen(folder, tmp_path_factory):
    """What a script beside the page sees in it at both widths, and what the browser said on its console."""
    frames = "".join(f'<iframe src="index.html" width="{w}" height="900"></iframe>' for w in WIDTHS)
    watch = folder / "watch.html"
    watch.write_text(WATCH.replace("FRAMES", frames), encoding="utf-8")
    profile = tmp_path_factory.mktemp("profile")
    command = [
        *(
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            f"--user-data-dir={profile}",
        ),
        # the page may be looked into by a page of the same folder
        *(
            "--allow-file-access-from-files",
            "--enable-logging=stderr",
            "--v=0",
            "--virtual-time-budget=20000",
        ),
        *("--dump-dom", watch.as_uri()),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    watch.unlink()
    (told,) = re.findall(r'<pre id="told">(.*?)</pre>', done.stdout, re.DOTALL)
    said = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(unescape(told)), said


def test_the_browser_has_nothing_to_complain_about(seen):
    assert seen[1] == []


def test_every_figure_is_there_and_shows_something(seen, page):
    for width in seen[0]:
        assert width["figures"] == len(page.pictures)
        assert width["drawings"] == sum(len(picture.panels) for picture in page.pictures)
        assert width["empty"] == 0
        assert width["images"]
        assert min(width["images"]) > 0


def test_a_table_that_goes_on_to_the_right_says_so_and_no_other(seen):
    wide, narrow = (width["tables"] for width in seen[0])
    assert all(table["told"] == table["wide"] for table in [*wide, *narrow])
    assert any(table["wide"] for table in narrow) and not all(table["wide"] for table in wide)


def test_every_anchor_resolves(seen):
    assert [width["loose"] for width in seen[0]] == [0, 0]


def test_nothing_sticks_out_to_the_side_at_either_width(seen):
    assert [width["width"] for width in seen[0]] == list(WIDTHS)
    assert [width["overflow"] for width in seen[0]] == [0, 0]


def test_the_contents_stay_in_sight_where_there_is_room(seen):
    assert seen[0][0]["sticky"] == "sticky"


def test_the_theme_can_be_changed_and_hostile_names_do_nothing(seen):
    for width in seen[0]:
        assert width["themes"][0] != width["themes"][1]
        assert "pwned" in width["title"]  # as a word of the corpus' name
        assert width["title"] != "pwned"
