"""An evaluation as one HTML file that needs nothing else: no network, no script.

Thread rule: as plots.py.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape

import numpy as np

from zeroshot_client.evaluate import plots
from zeroshot_client.evaluate.evaluation import Evaluation, Result
from zeroshot_client.evaluate.metrics import Interval

MOST_WORST = 24  # images that are shown of a classifier
MOST_CONFUSIONS = 20
SIDE = 144  # of a thumbnail, in pixels

# Whatever a name holds, the page loads and runs nothing.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
STYLE = """
:root { color-scheme: light dark; --line: #d1d5db; --soft: #f3f4f6; --faint: #4b5563; }
@media (prefers-color-scheme: dark) { :root { --line: #4b5563; --soft: #1f2937; --faint: #b6bcc6; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
body { background: Canvas; color: CanvasText; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; margin-bottom: 0; }
h2 { margin-top: 2.5rem; border-top: 1px solid var(--line); padding-top: 1rem; }
p.note, figcaption, caption, small { color: var(--faint); } caption { text-align: left; padding-bottom: .4rem; }
table { overflow-wrap: break-word; border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .8rem .25rem 0; text-align: left; border-bottom: 1px solid var(--line); vertical-align: top; }
span.interval { color: var(--faint); font-size: .85em; white-space: nowrap; }
.wide { overflow-x: auto; } figure { margin: 1rem 0; }
.plot img { background: #fff; max-width: 100%; height: auto; border-radius: 6px; }
.warnings { background: var(--soft); border-left: 4px solid #c2570c; padding: .6rem 1rem; }
ul.images { display: flex; flex-wrap: wrap; gap: 1rem; padding: 0; list-style: none; }
ul.images li { width: 9rem; font-size: .85rem; overflow-wrap: anywhere; }
ul.images img, .no-image { width: 9rem; height: 9rem; object-fit: contain; border-radius: 6px; }
ul.images img, .no-image { background: var(--soft); }
.no-image { display: grid; place-items: center; color: var(--faint); }
details summary { cursor: pointer; margin: .5rem 0; }
"""


def to_html(evaluation: Evaluation, title: str = "") -> str:
    """The whole file. It shows names of classes and files, and small copies of images."""
    dataset, model = evaluation.dataset, evaluation.model
    title = title or f"Accuracy on {dataset.name}"
    of_none = sum(bool(evaluation.none) and item.label == evaluation.none for item in dataset.items)
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p class='note'>{len(dataset.items)} images, {of_none} of them of none of the classes. "
        f"Model {escape(model.name)} ({escape(model.family)}, {escape(model.precision)}), "
        f"fingerprint {escape(model.fingerprint[:12])}.</p>",
    ]
    if model.is_demo:
        parts.append("<p class='warnings'>The demo model knows pictograms and simple objects only.</p>")
    if evaluation.warnings:
        lines = "".join(f"<li>{escape(warning)}</li>" for warning in evaluation.warnings)
        parts.append(f"<div class='warnings'><strong>Warnings</strong><ul>{lines}</ul></div>")
    parts.append(_summary(evaluation))
    if evaluation.comparisons:
        parts.append(_comparisons(evaluation))
    parts += [_result(evaluation, result) for result in evaluation.results]
    if evaluation.failures:
        rows = ((failure.name, failure.label, failure.error) for failure in evaluation.failures)
        parts.append("<h2>Images that could not be used</h2>")
        parts.append(_table("In no figure.", ("image", "label", "error"), rows))
    return (
        "<!doctype html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>\n"
        f"<meta http-equiv='Content-Security-Policy' content=\"{POLICY}\">\n"
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(parts)
        + "\n</main>\n</body>\n</html>\n"
    )


def percent(value: float) -> str:
    """58.4 %, or - of what does not exist."""
    return "-" if np.isnan(value) else f"{100 * value:.1f} %"


def with_interval(interval: Interval) -> str:
    """58.4 % (55.3 to 61.4)."""
    if np.isnan(interval.value):
        return "-"
    return f"{100 * interval.value:.1f} % ({100 * interval.low:.1f} to {100 * interval.high:.1f})"


def _cell(interval: Interval) -> str:
    value, _, rest = with_interval(interval).partition(" (")
    return f"{value} <span class='interval'>({rest}</span>" if rest else value


def _table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Cells are text and are escaped, but _Html; the first cell of a row heads it."""
    head = "".join(f"<th scope='col'>{escape(name)}</th>" for name in heads)
    body = []
    for row in rows:
        first, *rest = (item if isinstance(item, _Html) else escape(str(item)) for item in row)
        body.append(f"<tr><th scope='row'>{first}</th>{''.join(f'<td>{cell}</td>' for cell in rest)}</tr>")
    return (
        f"<div class='wide'><table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


class _Html(str):
    """Markup that is made here, of figures only."""

    __slots__ = ()


def _summary(evaluation: Evaluation) -> str:
    decided = not all(result.scores.accepted.all() for result in evaluation.results)
    heads = ["classifier", "top-1", "top-5", "mean per-class recall", "calibration error", "log loss"]
    heads += ["accepted", "right of accepted", "accepted of none"] if decided else []
    rows = []
    for result in evaluation.results:
        row: list[object] = [result.name]
        row += [_Html(_cell(interval)) for interval in (result.top_1, result.top_5, result.mean_recall)]
        row += [percent(result.calibration_error), f"{result.log_loss:.3f}"]
        if decided:
            found = result.decisions
            row += [_Html(_cell(interval)) for interval in (found.accepted, found.precision, found.false_positive)]
        rows.append(row)
    return "<h2>Summary</h2>" + _table(
        "In parentheses: 95 % confidence interval, Wilson's; of the mean per-class recall a bootstrap's.", heads, rows
    )


def _comparisons(evaluation: Evaluation) -> str:
    rows = [
        (
            f"{comparison.second} against {comparison.first}",
            f"{100 * comparison.difference:+.1f}",
            comparison.test.only_second,
            comparison.test.only_first,
            f"{comparison.test.p_value:.3g}",
            f"{comparison.test.p_holm:.3g}",
        )
        for comparison in evaluation.comparisons
    ]
    return "<h2>Comparison</h2>" + _table(
        "McNemar's exact test on the same images, two-sided: under 0.05 the difference is hardly chance.",
        ("pair", "points of top-1", "only the first has right", "only the second", "p", "p, Holm's correction"),
        rows,
    )


def _plot(svg: str, description: str, caption: str) -> str:
    data = base64.b64encode(svg.encode()).decode()
    return (
        f"<figure class='plot'><img alt='{escape(description, quote=True)}' src='data:image/svg+xml;base64,{data}'>"
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _result(evaluation: Evaluation, result: Result) -> str:
    worst = min(result.classes, key=lambda figures: figures.recall.value)
    shown = len(result.classes)
    of_many = f" The worst {plots.MOST_BARS} of {shown} classes." if shown > plots.MOST_BARS else ""
    parts = [
        f"<h2>{escape(result.name)}</h2>",
        f"<p class='note'>{len(result.class_names)} classes, {result.num_background} background classes, "
        f"{escape(result.score_function)}, temperature {result.temperature:.3g}.</p>",
        "<h3>Accuracy by class</h3>",
        _plot(
            plots.accuracy_by_class(result),
            f"Bars of the recall of each class of {result.name}, worst first. The worst is {worst.class_name} with "
            f"{percent(worst.recall.value)}. The table below has all numbers.",
            f"In parentheses the number of images.{of_many}",
        ),
        "<details><summary>All classes as a table</summary>",
        _table(
            "Recall with Wilson's interval; precision: of the images taken for the class.",
            ("class", "images", "recall", "top-5", "precision", "most often taken for"),
            (
                (
                    figures.class_name,
                    figures.count,
                    _Html(_cell(figures.recall)),
                    percent(figures.top_5),
                    percent(figures.precision),
                    f"{figures.confused_with} ({figures.confused_count})" if figures.confused_count else "-",
                )
                for figures in result.classes
            ),
        ),
        "</details><h3>Confusions</h3>",
    ]
    if result.confusions:
        first = result.confusions[0]
        parts += [
            _plot(
                plots.confusion_matrix(result),
                "Matrix of what images of each class are taken for. The most frequent error: "
                f"{first.class_name} taken for {first.taken_for}, {first.count} images. The table below has more.",
                "Numbers are images. Of many classes those with the most errors.",
            ),
            "<details><summary>The most frequent confusions as a table</summary>",
            _table(
                f"At most {MOST_CONFUSIONS}.",
                ("shows", "taken for", "images"),
                ((found.class_name, found.taken_for, found.count) for found in result.confusions[:MOST_CONFUSIONS]),
            ),
            "</details>",
        ]
    else:
        parts.append("<p>None: every image is right.</p>")
    sure = float(result.scores.probabilities[:, 0].mean())
    right = float((result.scores.ranks == 0).mean())
    parts += [
        "<h3>Reliability</h3>",
        _plot(
            plots.reliability(result),
            f"Curve of accuracy over probability. On average the best class has {percent(sure)} and is "
            f"right in {percent(right)} of the images.",
            f"Calibration error {percent(result.calibration_error)}. Over the dashed line the classifier is less sure "
            "than it could be, under it too sure.",
        ),
        "<h3>Worst images</h3>",
        _worst(evaluation, result),
    ]
    return "\n".join(parts)


def _worst(evaluation: Evaluation, result: Result) -> str:
    """Those that are wrong with the highest probability."""
    scores = result.scores
    wrong = np.flatnonzero(scores.ranks > 0)
    wrong = wrong[np.argsort(-scores.probabilities[wrong, 0], kind="stable")][:MOST_WORST]
    if not len(wrong):
        return "<p>None: every image is right.</p>"
    lines = []
    for index in wrong.tolist():
        item = evaluation.dataset.items[index]
        label = scores.labels[index]
        right = result.class_names[label] if label >= 0 else "none of the classes"
        taken_for = result.class_names[scores.classes[index, 0]]
        said = f"{percent(scores.label_probabilities[index])}" if label >= 0 or result.num_background else ""
        alt = f"{right}, taken for {taken_for}"
        try:
            image = f"<img alt='{escape(alt, quote=True)}' src='data:image/jpeg;base64,{_thumbnail(item.read())}'>"
        except Exception:  # of what Pillow does not read, and the server does
            image = f"<span class='no-image' role='img' aria-label='{escape(alt, quote=True)}'>no thumbnail</span>"
        lines.append(
            f"<li>{image}<br><strong>{escape(taken_for)}</strong> {percent(scores.probabilities[index, 0])}<br>"
            f"shows {escape(right)} {said}<br><small>{escape(item.name)}</small></li>"
        )
    note = f"<p class='note'>Wrong with the highest probability, at most {MOST_WORST}.</p>"
    return f"{note}<ul class='images'>{''.join(lines)}</ul>"


def _thumbnail(data: bytes) -> str:
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        image.draft("RGB", (SIDE, SIDE))
        image.thumbnail((SIDE, SIDE))
        small = image.convert("RGBA")
    ground = Image.new("RGBA", small.size, "white")
    ground.alpha_composite(small)
    file = io.BytesIO()
    ground.convert("RGB").save(file, "JPEG", quality=80)
    return base64.b64encode(file.getvalue()).decode()
