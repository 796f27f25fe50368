"""What MkDocs does besides: a reference of the code, and links to files of the project that are no pages."""

import posixpath
import re
from pathlib import Path

import griffe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]

PUBLIC = "cmarr"
REFERENCE = {
    PUBLIC: "What `import cmarr` has.",
    "recognition": "A trained model and its answers.",
    "study": "A study from Python.",
    "methods": "The compared methods and the protocol that they obey.",
    "layers": "What the methods are built of.",
    "losses": "What they learn from.",
    "encoders": "From recordings and texts to features.",
    "corpora": "Readers of corpora.",
    "masks": "Which modalities are hidden from whom.",
    "folds": "Who is trained on, who is tested.",
    "training": "The training loop.",
    "evaluation": "Scores, intervals, tests.",
}
"""Folder of cmarr/ -> what its page of the reference says first."""

LINK = re.compile(r"(?<!!)\[((?:[^][]|\[[^]]*\])+)\]\(([^)\s]+)\)")
PAGES = {"README.md": "index.md", "params.yaml": "settings.md"}
"""Files of the project for which a page stands."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The reference in the navigation."""
    assert config.nav is not None
    config.nav.append({"Reference": [f"reference/{name}.md" for name in REFERENCE]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """One page a folder, one entry a module; they are written here and lie in no folder."""
    for name in REFERENCE:
        files.append(File.generated(config, f"reference/{name}.md", content=reference(name)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links out of docs/: a module to its entry, what is no page to its words. Code is left as it is."""
    parts = re.split(r"(```.*?```)", markdown, flags=re.DOTALL)
    place = posixpath.dirname(page.file.src_uri)
    known = files.src_uris
    return "".join(
        part if part.startswith("```") else LINK.sub(lambda link: _inside(link, place, set(known)), part)
        for part in parts
    )


class Docstrings(griffe.Extension):
    """Docstrings as Markdown: examples as code, words with their explanations as lists."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        """Whatever has a docstring."""
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)


WORD = re.compile(r"[*`\w./]+(?:, [*`\w./]+)*:\s+\S")


def as_markdown(text: str) -> str:
    """A docstring of this project as Markdown.

    >>> print(as_markdown("Twice.\\n\\nx: a number\\ny: another"))
    Twice.
    <BLANKLINE>
    - `x`: a number
    - `y`: another
    """
    parts = []
    for number, part in enumerate(re.split(r"\n\s*\n", text)):
        lines = part.splitlines()
        first = lines[0] if lines else ""
        if first.startswith(">>>"):
            part = f"```pycon\n{part}\n```"
        elif (
            number and WORD.match(first) and all(WORD.match(line) or line.startswith("  ") for line in lines)
        ):
            part = re.sub(r"(?m)^([^\s:][^:]*):\s+", r"- `\1`: ", part)
        parts.append(part)
    return "\n\n".join(parts)


def reference(name: str) -> str:
    """The source of a page of the reference."""
    head = f"# {name if name == PUBLIC else f'cmarr.{name}'}\n\n{REFERENCE[name]}\n"
    return head + "".join(f"\n::: {entry}\n" for entry in entries(name))


def entries(name: str) -> list[str]:
    """What a page of the reference describes: public names as they are imported, or modules."""
    if name == PUBLIC:
        from cmarr import _HOMES

        return [f"cmarr.{public}" for public in _HOMES]
    return [
        f"cmarr.{name}.{path.stem}"
        for path in sorted((ROOT / "cmarr" / name).glob("*.py"))
        if not path.stem.startswith("_")
    ]


def _inside(link: re.Match[str], place: str, known: set[str]) -> str:
    """A link of a page that lies in `place`, as it leads within the site."""
    words, target = link[1], link[2]
    if re.match(r"[a-z]+:|#", target):
        return link[0]
    path = target.partition("#")[0]
    path = posixpath.normpath(posixpath.join("docs", place, path))
    inner = path.removeprefix("docs/")
    if path.startswith("docs/") and inner in known:
        return link[0]
    back = "../" * (place.count("/") + 1 if place else 0)
    if path in PAGES:
        return f"[{words}]({back}{PAGES[path]})"
    module = path.removesuffix(".py").replace("/", ".")
    folder = module.split(".")[1] if module.startswith("cmarr.") else ""
    if folder in REFERENCE and module in entries(folder):
        return f"[{words}]({back}reference/{folder}.md#{module})"
    return words
