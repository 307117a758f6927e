"""Plots of a report, as SVG texts. Made without pyplot, so that a program's own figures stay as they are.

Thread rule: matplotlib's, whose settings are global: one thread at a time.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from zeroshot_client.evaluate.evaluation import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREY = "#1f5fa8", "#c2570c", "#6b7280"  # at least 4.5:1 on white, told apart by the colour-blind
MOST_BARS = 40
MOST_IN_MATRIX = 30


def accuracy_by_class(result: Result) -> str:
    """Recall of each class with its interval, worst first; of many classes the worst."""
    classes = sorted(result.classes, key=lambda figures: (figures.recall.value, figures.class_name))[:MOST_BARS]
    with _style():
        figure, axes = _figure(7.2, 0.9 + 0.24 * len(classes))
        places = np.arange(len(classes))
        values = np.array([100 * figures.recall.value for figures in classes])
        low = values - [100 * figures.recall.low for figures in classes]
        high = np.array([100 * figures.recall.high for figures in classes]) - values
        axes.barh(places, values, color=BLUE, height=0.7)
        axes.errorbar(
            values, places, xerr=np.maximum(0, [low, high]), fmt="none", ecolor="#111827", elinewidth=1, capsize=2
        )
        axes.set_yticks(places, [f"{_short(figures.class_name)} ({figures.count})" for figures in classes])
        axes.invert_yaxis()
        axes.set_xlim(0, 100)
        axes.set_xlabel("images that are right, % (lines: 95 % interval)")
        axes.margins(y=0.01)
        return _svg(figure)


def confusion_matrix(result: Result) -> str:
    """Shares of each class's images; of many classes those with the most errors."""
    present, matrix = result.confusion_matrix()
    if len(present) > MOST_IN_MATRIX:
        errors = matrix.sum(axis=0) + matrix.sum(axis=1) - 2 * np.diag(matrix)
        kept = np.sort(np.argsort(-errors, kind="stable")[:MOST_IN_MATRIX])
        totals = matrix.sum(axis=1)[kept]
        present, matrix = [present[index] for index in kept], matrix[np.ix_(kept, kept)]
    else:
        totals = matrix.sum(axis=1)
    shares = 100 * matrix / np.maximum(1, totals)[:, None]
    names = [_short(result.class_names[index]) for index in present]
    with _style():
        side = 1.6 + 0.3 * len(names)
        figure, axes = _figure(side + 1.2, side)
        shown = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
        axes.set_xticks(range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(names)), names)
        axes.set_xlabel("taken for")
        axes.set_ylabel("shows")
        for row, column in zip(*np.nonzero(matrix)):
            colour = "white" if shares[row, column] > 55 else "#111827"
            axes.text(column, row, str(matrix[row, column]), ha="center", va="center", color=colour, fontsize=7)
        bar = figure.colorbar(shown, ax=axes, shrink=0.8)
        bar.set_label("share of the class's images, %")
        return _svg(figure)


def reliability(result: Result) -> str:
    """How often answers of a probability are right, and how many there are."""
    with _style():
        figure, (axes, counts) = _figures(5.2, 5.2)
        axes.plot([0, 100], [0, 100], color=GREY, linestyle="--", linewidth=1, label="calibrated")
        probabilities = [100 * part.probability for part in result.reliability]
        accuracies = [100 * part.accuracy for part in result.reliability]
        axes.plot(probabilities, accuracies, color=BLUE, marker="o", label=_short(result.name))
        axes.set_xlim(0, 100)
        axes.set_ylim(0, 102)
        axes.set_ylabel("images that are right, %")
        axes.legend(loc="upper left", frameon=False)
        width = 100 / 15
        counts.bar(
            [100 * (part.low + part.high) / 2 for part in result.reliability],
            [part.count for part in result.reliability],
            width=0.9 * width,
            color=ORANGE,
        )
        counts.set_xlim(0, 100)
        counts.set_ylabel("images")
        counts.set_xlabel("probability of the best class, %")
        return _svg(figure)


def _short(name: str) -> str:
    # matplotlib reads $...$ as mathematics.
    text = name if len(name) <= 24 else name[:23] + "…"
    return text.replace("$", r"\$")


def _style() -> Any:
    import matplotlib as mpl

    # Text stays text: to be found, read aloud, and small. A salt makes the file the same each time.
    return mpl.rc_context(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "zeroshot",
            "font.family": "sans-serif",
            "font.size": 9,
            "axes.spines.top": False,
            "axes.spines.right": False,
        }
    )


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _figures(width: float, height: float) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(2, sharex=True, height_ratios=(3, 1))


def _svg(figure: Figure) -> str:
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()
