"""What `python -m zeroshot_client` does: flags in, files and a table out.

Exits with 0, with 1 if the work failed, with 2 if a flag is wrong. Results are on stdout, all else on stderr.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from zeroshot_client.client import Client
from zeroshot_client.errors import InvalidArgumentError, ZeroshotError
from zeroshot_client.spec import Spec

if TYPE_CHECKING:
    from zeroshot_client.classifier import Classifier
    from zeroshot_client.evaluate import Dataset, Evaluation

TREE = """a folder with a folder of images for each class; or a .csv with the columns path and label; or a .tar
in WebDataset's layout (label in .cls or .txt), or a folder of these"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command that the arguments name; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m zeroshot_client", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _evaluate_flags(
        commands.add_parser("evaluate", help="accuracy of classifiers on labelled images", allow_abbrev=False)
    )
    _tune_flags(
        commands.add_parser("tune", help="templates, temperature, thresholds and background", allow_abbrev=False)
    )
    given = parser.parse_args(arguments)
    missing = [name for name in ("sklearn", "scipy", "matplotlib", "pandas", "PIL") if find_spec(name) is None]
    if missing:
        print(f"{', '.join(missing)}: not installed; pip install 'zeroshot_client[evaluate]'", file=sys.stderr)
        return 1
    try:
        _check_outputs(given)
        with _client(given) as client:
            (_evaluate if given.command == "evaluate" else _tune)(client, given)
    except (ZeroshotError, OSError) as error:
        print(f"{given.command}: {_words(error)}", file=sys.stderr)
        return 1
    return 0


def _check_outputs(given: argparse.Namespace) -> None:
    """Raises now what would be found after all the work."""
    for flag in ("output", "prompts_output", "json", "csv", "classes_csv", "report", "cache"):
        path = getattr(given, flag, None)
        if path and not Path(path).parent.is_dir():
            raise InvalidArgumentError(f"--{flag}={path}: there is no folder '{Path(path).parent}'")


def _words(error: Exception) -> str:
    if isinstance(error, InvalidArgumentError) and not error.reason:
        return error.message  # found here, not by the server
    return str(error)


def _shared_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("tree", metavar="TREE", help=TREE)
    parser.add_argument("--target", help="where the server is, HOST:PORT; ZEROSHOT_TARGET, else 127.0.0.1:50051")
    parser.add_argument("--token_file", metavar="FILE", help="a token, sent with every call")
    parser.add_argument("--tls_ca", metavar="FILE", help="TLS with the authorities of this file")
    parser.add_argument("--tls_cert", metavar="FILE", help="a certificate of one's own, with --tls_key")
    parser.add_argument("--tls_key", metavar="FILE", help="its key")
    parser.add_argument("--map", metavar="FILE", help="classes of labels: a JSON object, or a .csv with folder,class")
    parser.add_argument("--none", default="", metavar="LABEL", help="label of images that show none of the classes")
    parser.add_argument("--skip_unknown", action="store_true", help="leave out images whose label is no class")
    parser.add_argument("--cache", metavar="FILE", help="embeddings, read and written: a rerun embeds nothing")
    parser.add_argument("--score_function", choices=("softmax", "sigmoid"), help="instead of the model's own")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn (default 0)")
    parser.add_argument("--json", metavar="FILE", help="write all figures as JSON")
    parser.add_argument("--csv", metavar="FILE", help="write a line for each image and classifier")
    parser.add_argument("--classes_csv", metavar="FILE", help="write a line for each class and classifier")
    parser.add_argument("--report", metavar="FILE", help="write an HTML page that needs nothing else")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def _evaluate_flags(parser: argparse.ArgumentParser) -> None:
    parser.description = "Accuracy of one or several classifiers on the same labelled images."
    _shared_flags(parser)
    parser.add_argument("--spec", action="append", default=[], metavar="FILE", help="what to build; may be repeated")
    parser.add_argument(
        "--template_set", action="append", default=[], metavar="NAME",
        help="these templates for the classes of --spec, or for the labels; may be repeated",
    )  # fmt: skip
    parser.add_argument("--weight_set", action="append", default=[], metavar="ID", help="one that the server has")
    parser.add_argument("--min_probability", type=float, help="from which on an image is accepted")


def _tune_flags(parser: argparse.ArgumentParser) -> None:
    parser.description = "Chooses templates, temperature, thresholds and background; reports on images held out."
    _shared_flags(parser)
    parser.add_argument("--spec", metavar="FILE", help="what to begin with; without it the labels are the classes")
    parser.add_argument("--output", metavar="FILE", help="write the tuned spec, for zeroshot_client build --spec")
    parser.add_argument("--prompts_output", metavar="FILE", help="write its prompts by class, as CuPL does")
    parser.add_argument("--candidates", metavar="FILE", help="templates to choose from, one a line")
    parser.add_argument(
        "--template_set", action="append", default=[], metavar="NAME",
        help="choose from these sets' templates; may be repeated (default: from all sets')",
    )  # fmt: skip
    parser.add_argument("--prompts", metavar="FILE", help="prompts by class (CuPL) as one more candidate")
    parser.add_argument("--max_templates", type=int, default=8, help="choose at most so many (default 8)")
    parser.add_argument("--keep_templates", action="store_true", help="choose none: those of --spec stay")
    parser.add_argument("--held_out", type=float, default=0.5, help="share of images to report on (default 0.5)")
    wanted = parser.add_mutually_exclusive_group()
    wanted.add_argument("--precision", type=float, help="thresholds: wanted of what is accepted, such as 0.95")
    wanted.add_argument("--false_positive_rate", type=float, help="thresholds: wanted of other images, such as 0.01")
    parser.add_argument(
        "--background_words", metavar="FILE", help="words to choose background classes from, one a line"
    )
    parser.add_argument("--max_background", type=int, default=8, help="choose at most so many (default 8)")


def _client(given: argparse.Namespace) -> Client:
    token = Path(given.token_file).read_text(encoding="utf-8").strip() if given.token_file else None
    return Client(given.target, token=token, tls_ca=given.tls_ca, tls_cert=given.tls_cert, tls_key=given.tls_key)


def _progress(given: argparse.Namespace) -> bool:
    """Whether to show bars: on a terminal, where tqdm is there."""
    if given.quiet or not sys.stderr.isatty():
        return False
    try:
        import tqdm  # noqa: F401
    except ImportError:
        return False
    return True


def _classifiers(client: Client, given: argparse.Namespace, dataset: Dataset) -> dict[str, Classifier]:
    specs: dict[str, Spec] = {}
    for path in given.spec:
        spec = _spec(path)
        _add(specs, spec.request.display_name or Path(path).stem, spec)
    if not specs and (given.template_set or not given.weight_set):
        classes = [label for label in dataset.labels if label != given.none]
        specs = {"labels": Spec.of(classes)}
    if given.template_set:
        if len(specs) > 1:
            raise InvalidArgumentError("--template_set is given with several --spec; allowed is one")
        base = next(iter(specs.values()))
        specs = {}
        for name in given.template_set:
            request = type(base.request)()
            request.CopyFrom(base.request)
            del request.templates[:]
            request.template_set = name
            _add(specs, name, Spec(request))
    found = {name: client.build(spec) for name, spec in specs.items()}
    for weight_set_id in given.weight_set:
        _add(found, weight_set_id[:12], client.weight_set(weight_set_id))
    for name, classifier in found.items():
        for warning in classifier.built.warnings:
            print(f"warning: {name}: {warning}", file=sys.stderr)
    return found


def _spec(path: str) -> Spec:
    try:
        return Spec.from_file(path)
    except (InvalidArgumentError, UnicodeDecodeError) as error:
        raise InvalidArgumentError(f"{path}: {_words(error)}") from error


def _add(found: dict[str, Spec] | dict[str, Classifier], name: str, value: Spec | Classifier) -> None:
    unique, count = name, 1
    while unique in found:
        count += 1
        unique = f"{name} ({count})"
    found[unique] = value  # type: ignore[assignment]


def _evaluate(client: Client, given: argparse.Namespace) -> None:
    from zeroshot_client.evaluate import Dataset, evaluate

    dataset = Dataset.load(given.tree, given.map)
    found = evaluate(
        client,
        dataset,
        _classifiers(client, given, dataset),
        none=given.none,
        cache=given.cache,
        unknown="skip" if given.skip_unknown else "raise",
        score_function=given.score_function,
        min_probability=given.min_probability,
        seed=given.seed,
        progress=_progress(given),
    )
    _warn(found.warnings)
    print(table(found))
    if given.json:
        Path(given.json).write_text(found.to_json() + "\n", encoding="utf-8")
    _write(found, given)


def _warn(warnings: Sequence[str]) -> None:
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)


def _write(found: Evaluation, given: argparse.Namespace, title: str = "") -> None:
    """The files that both commands write."""
    if given.csv:
        found.to_pandas().to_csv(given.csv, index=False, errors="surrogateescape")
    if given.classes_csv:
        found.classes_to_pandas().to_csv(given.classes_csv, index=False)
    if given.report:
        from zeroshot_client.evaluate import to_html

        Path(given.report).write_text(to_html(found, title), encoding="utf-8", errors="replace")


def table(found: Evaluation) -> str:
    """The figures for people, a line a classifier and a line a comparison."""
    from zeroshot_client.evaluate.report import percent, with_interval

    width = max(10, *(len(result.name) for result in found.results))
    of_none = sum(bool(found.none) and item.label == found.none for item in found.dataset.items)
    lines = [
        f"{len(found.dataset.items) - of_none} images of {len(found.results[0].classes)} classes"
        + (f", {of_none} of none of them" if of_none else "")
        + (f", {len(found.failures)} failed" if found.failures else ""),
        f"{'classifier':<{width}}  {'top-1 (95 % interval)':<24}{'top-5':>8}{'recall':>8}{'ECE':>8}",
    ]
    lines += [
        f"{result.name:<{width}}  {with_interval(result.top_1):<24}{percent(result.top_5.value):>8}"
        f"{percent(result.mean_recall.value):>8}{percent(result.calibration_error):>8}"
        for result in found.results
    ]
    for result in found.results:
        if not result.scores.accepted.all():
            decided = result.decisions
            line = f"{result.name}: accepted {percent(decided.accepted.value)}"
            line += f", of all accepted right {percent(decided.precision.value)}"
            if of_none:
                line += f"; of none accepted {percent(decided.false_positive.value)}"
            lines.append(line)
    for comparison in found.comparisons:
        test = comparison.test
        lines.append(
            f"{comparison.second} against {comparison.first}: {100 * comparison.difference:+.1f} points, "
            f"{test.only_second} images only the first has right, {test.only_first} only the second; "
            f"McNemar exact p = {test.p_value:.2g}"
        )
    return "\n".join(lines)


def _tune(client: Client, given: argparse.Namespace) -> None:
    from zeroshot_client.evaluate import Dataset
    from zeroshot_client.tune import lines_of, tune

    dataset = Dataset.load(given.tree, given.map)
    spec = _spec(given.spec) if given.spec else Spec.of([label for label in dataset.labels if label != given.none])
    candidates: list[str] | None = lines_of(given.candidates) if given.candidates else None
    if given.template_set:
        sets = client.template_sets()
        for name in given.template_set:
            if name not in sets:
                raise InvalidArgumentError(f"--template_set={name}: unknown; it is one of: {', '.join(sets)}")
            candidates = [*(candidates or []), *sets[name]]
    found = tune(
        client,
        dataset,
        spec,
        candidates=[] if given.keep_templates else candidates,
        prompts=_spec(given.prompts) if given.prompts else None,
        none=given.none,
        precision=given.precision,
        false_positive_rate=given.false_positive_rate,
        held_out=given.held_out,
        max_templates=given.max_templates,
        max_background=given.max_background,
        background_words=lines_of(given.background_words) if given.background_words else None,
        cache=given.cache,
        unknown="skip" if given.skip_unknown else "raise",
        score_function=given.score_function,
        seed=given.seed,
        progress=_progress(given),
    )
    _warn(found.warnings)
    print(found.summary())
    print(table(found.evaluation))
    if given.output:
        Path(given.output).write_text(found.spec.to_json() + "\n", encoding="utf-8")
    if given.prompts_output:
        Path(given.prompts_output).write_text(found.prompts_json() + "\n", encoding="utf-8")
    if given.json:
        Path(given.json).write_text(found.to_json() + "\n", encoding="utf-8")
    _write(found.evaluation, given, f"Tuned on {found.num_fitted} images, held out: {dataset.name}")
