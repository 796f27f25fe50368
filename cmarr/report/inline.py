"""What a notebook shows of a figure and of a table; elsewhere they are saved, or printed."""

from html import escape
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from cmarr.report.style import drawn, fit_fonts, save_figure


class Plot:
    """A figure that a notebook shows by itself, whatever backend it has.

    results.plot()                       # the last line of a cell
    results.plot().save("results.svg")
    results.plot().figure                # matplotlib's, to change it
    """

    def __init__(self, figure: Figure) -> None:
        self.figure = figure

    def save(self, path: str | Path) -> Path:
        """Write it; the ending, .png or .svg, chooses the format."""
        save_figure(path, self.figure)
        return Path(path)

    def _repr_png_(self) -> bytes:
        fit_fonts(self.figure)
        return drawn(self.figure, "png", dpi=110)

    def __repr__(self) -> str:
        width, height = self.figure.get_size_inches()
        return f"<a plot of {width:g} x {height:g} inches; .save(path) writes it, .figure is matplotlib's>"


def shown(table: pd.DataFrame | None, above: str, below: str) -> str:
    """A table with the sentences above and below it, as HTML."""
    head, foot = (f"<p>{escape(text).replace(chr(10), '<br>')}</p>" for text in (above, below))
    rows = "" if table is None else table.to_html(index=False, escape=True, border=0)
    return f"{head}{rows}{foot}"
