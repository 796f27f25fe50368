"""The pages as a site: built without a warning, without a broken link, and without a request to another machine."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest

from tests import browser
from tests.documented import ROOT


class Page(HTMLParser):
    """Ids, links, and what a browser fetches without being asked."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.fetched = set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids |= {found[key] for key in ("id", "name") if found.get(key)}
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        elif tag == "link" and found.get("rel") not in ("canonical",):
            self.fetched.append(found.get("href") or "")
        self.fetched += [found[key] for key in ("src", "srcset", "poster", "data") if found.get(key)]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site):
    return {path: Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}


def test_every_page_of_docs_is_there_and_the_reference(pages, site):
    names = {str(path.relative_to(site)) for path in pages}
    assert {f"{path.stem}.html" for path in (ROOT / "docs").glob("*.md")} <= names
    assert "cmarr.Recognizer.predict" in pages[site / "reference/cmarr.html"].ids
    assert "cmarr.layers.flow.ConditionalFlow" in pages[site / "reference/layers.html"].ids or any(
        name.startswith("cmarr.layers.flow.") for name in pages[site / "reference/layers.html"].ids
    )


def test_no_link_is_broken(pages, site):
    broken = []
    for path, page in pages.items():
        for link in page.links:
            if path.name == "404.html" or re.match(r"[a-z]+:|//", link):
                continue
            target, _, anchor = link.partition("#")
            there = (path.parent / unquote(target)).resolve() if target else path
            there = there / "index.html" if there.is_dir() else there
            if not there.is_file() or (
                anchor and there.suffix == ".html" and unquote(anchor) not in pages[there].ids
            ):
                broken.append(f"{path.relative_to(site)}: {link}")
    assert not broken


def test_nothing_is_fetched_from_elsewhere(pages, site):
    for path, page in pages.items():
        assert not [place for place in page.fetched if re.match(r"(https?:)?//", place)], path.name
    for sheet in site.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        assert not re.findall(r"(?:@import\s+|url\()[\"']?(?:https?:)?//", text), sheet.name


@pytest.mark.skipif(browser.missing() is not None, reason=str(browser.missing()))
def test_it_is_searched_without_a_server(site):
    with browser.browser() as running:
        page = running.new_page()
        page.goto((site / "index.html").as_uri())
        page.click(".md-search__input")
        page.keyboard.type("calibrated")
        page.wait_for_selector(".md-search-result__item", timeout=120_000)


def test_it_opens_with_a_clip_an_answer_and_then_the_table(site):
    text = re.sub(r"<[^>]+>", "", (site / "index.html").read_text(encoding="utf-8"))
    places = [text.index(word) for word in ("cmarr predict clip.mp4", "winner", "avg6")]
    assert places == sorted(places)
