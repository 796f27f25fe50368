"""A table in LaTeX, with the rules of booktabs."""

import re
from collections.abc import Collection, Sequence

from cmarr.report.markdown import BOLD

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "−": r"$-$",
    "–": "--",
    "…": r"\dots{}",
    "α": r"$\alpha$",
    "β": r"$\beta$",
    "λ": r"$\lambda$",
    "\n": " ",
}
_SPECIALS = re.compile("|".join(map(re.escape, _SPECIAL)))


def latex_text(text: str) -> str:
    """Plain text as LaTeX shows it; a number in two stars becomes bold."""
    return BOLD.sub(r"\\textbf{\1}", _SPECIALS.sub(lambda found: _SPECIAL[found[0]], text))


def latex_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], left: Collection[int], *, caption: str, label: str
) -> str:
    """A table float; `left` are the columns set to the left, the others are set to the right."""

    def line(cells: Sequence[str]) -> str:
        return " & ".join(map(latex_text, cells)) + r" \\"

    columns = "".join("l" if i in left else "r" for i in range(len(header)))
    return "\n".join(
        [
            r"% needs \usepackage{booktabs}",
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{latex_text(caption)}}}",
            rf"\label{{{label}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            line(header),
            r"\midrule",
            *map(line, rows),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )
