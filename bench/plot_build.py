#!/usr/bin/env python3
"""Plots what bench/build.py --json wrote: the time of a build over its distinct prefixes.

    python3 bench/plot_build.py .cache/build.json docs/plots/build.svg

Needs matplotlib. A dashed line through the largest build and the origin shows
what cost in proportion to prefixes looks like.
"""

import json
import pathlib
import sys

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.fonttype"] = "none"
matplotlib.rcParams["svg.hashsalt"] = "zeroshot"
from matplotlib import pyplot  # noqa: E402


def main() -> None:
    replies = json.loads(pathlib.Path(sys.argv[1]).read_text())
    figure, axes = pyplot.subplots(figsize=(7, 4.2))
    for precision in dict.fromkeys(reply["precision"] for reply in replies):
        points = sorted((reply["num_tokens_encoded"], reply["timing_ms"]["encode"] / 1000)
                        for reply in replies if reply["precision"] == precision)
        prefixes, seconds = zip(*points)
        (line,) = axes.loglog(prefixes, seconds, "o", label=precision)
        axes.loglog(prefixes, [seconds[-1] * n / prefixes[-1] for n in prefixes], "--", color=line.get_color(), lw=0.8)
    axes.set_xlabel("distinct prefixes")
    axes.set_ylabel("seconds in the text tower")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    pathlib.Path(sys.argv[2]).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(sys.argv[2], metadata={"Date": None})


if __name__ == "__main__":
    main()
