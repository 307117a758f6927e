#!/usr/bin/env python3
"""Plots what bench/served.py --json wrote: throughput and latency percentiles over the number of clients.

    .cache/golden/bin/python bench/plot_served.py .cache/served.json docs/plots/served.svg
"""

import json
import pathlib
import sys

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.fonttype"] = "none"
matplotlib.rcParams["svg.hashsalt"] = "zeroshot"
from matplotlib import pyplot  # noqa: E402

MARKERS = {"ours": "o-", "Python": "s:", "infinity": "^:"}


def main() -> None:
    points = json.loads(pathlib.Path(sys.argv[1]).read_text())
    figure, (throughput, latency) = pyplot.subplots(1, 2, figsize=(11, 4.4))
    colors = {precision: f"C{i}" for i, precision in enumerate(("fp32", "bf16", "int8"))}
    for system, precision in dict.fromkeys((p["system"], p["precision"]) for p in points):
        line = sorted((p for p in points if (p["system"], p["precision"]) == (system, precision)),
                      key=lambda p: p["clients"])
        clients, color = [p["clients"] for p in line], colors[precision]
        throughput.plot(clients, [p["calls_per_second"] for p in line], MARKERS[system], color=color,
                        label=f"{system}, {precision}")
        if system == "ours":
            throughput.axhline(line[-1]["tower"], color=color, lw=0.7, ls="--")
            for percentile, style in (("p50", "o-"), ("p99", "o--")):
                latency.plot(clients, [p["latency_ms"][percentile] for p in line], style, color=color,
                             label=f"{precision}, {percentile}")
    throughput.set_ylabel("calls per second (dashed: our tower alone, batch 32)")
    throughput.set_ylim(bottom=0)
    latency.set_ylabel("latency of ours, ms")
    latency.set_yscale("log")
    for axes in (throughput, latency):
        axes.set_xscale("log", base=2)
        axes.set_xlabel("clients in a closed loop")
        axes.xaxis.set_major_formatter(matplotlib.ticker.ScalarFormatter())
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.tight_layout()
    pathlib.Path(sys.argv[2]).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(sys.argv[2], metadata={"Date": None})


if __name__ == "__main__":
    main()
