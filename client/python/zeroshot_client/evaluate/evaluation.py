"""Accuracy of one or several classifiers on labelled images.

Thread rule: plain values; `evaluate` may be called from many threads at once.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import confusion_matrix

from zeroshot_client.errors import InvalidArgumentError
from zeroshot_client.evaluate import metrics
from zeroshot_client.evaluate.dataset import Dataset, IntArray, class_indices
from zeroshot_client.evaluate.embeddings import Embedded, EmbeddingCache, Failure, embed
from zeroshot_client.evaluate.metrics import Bin, Interval, PairedTest
from zeroshot_client.evaluate.scoring import BoolArray, Scorer, Scores
from zeroshot_client.types import ModelInfo

if TYPE_CHECKING:
    import pandas as pd

    from zeroshot_client.classifier import Classifier
    from zeroshot_client.client import Client


@dataclasses.dataclass(frozen=True)
class ClassFigures:
    """One class that has images.

    count          its images
    recall         share of them that is classified so; top_5: that has it among the best five
    precision      share of the images classified so that shows it; NaN if none is
    accepted       share of its images that is classified so and accepted
    confused_with  the class that its images are most often taken for, and how often; "" if for none
    """

    class_index: int
    class_name: str
    count: int
    recall: Interval
    top_5: float
    precision: float
    accepted: float
    confused_with: str
    confused_count: int


@dataclasses.dataclass(frozen=True)
class Confusion:
    """How many images of one class are taken for another."""

    class_name: str
    taken_for: str
    count: int


@dataclasses.dataclass(frozen=True)
class Decisions:
    """What thresholds make of the images: what is accepted, and what of that is right.

    accepted        images of the classes whose best class is accepted
    precision       of all that is accepted, images of none of the classes included, the share that is right
    false_positive  images of none of the classes that are accepted; NaN without such images
    """

    accepted: Interval
    precision: Interval
    false_positive: Interval


@dataclasses.dataclass(frozen=True)
class Result:
    """One classifier's figures. Images of none of the classes count in `decisions`, and in the calibration,
    where the best class is wrong whatever it is.

    top_1, top_5       with Wilson's interval; mean_recall with a bootstrap's
    calibration_error  expected calibration error of the best class's probability, 15 bins
    log_loss           mean negative log of the right class's probability
    """

    name: str
    weight_set_id: str
    temperature: float
    score_function: str
    num_background: int
    class_names: Sequence[str]
    top_1: Interval
    top_5: Interval
    mean_recall: Interval
    calibration_error: float
    log_loss: float
    decisions: Decisions
    classes: Sequence[ClassFigures]
    confusions: Sequence[Confusion]
    reliability: Sequence[Bin]
    scores: Scores

    @property
    def correct(self) -> BoolArray:
        """[images of the classes] which are right."""
        right: BoolArray = self.scores.ranks[self.scores.known] == 0
        return right

    def confusion_matrix(self) -> tuple[list[int], IntArray]:
        """Indices of the classes that occur, and [right class, best class] counts in their order."""
        known = self.scores.known
        right, best = self.scores.labels[known], self.scores.classes[known, 0]
        present = sorted(set(right.tolist()) | set(best.tolist()))
        matrix: IntArray = confusion_matrix(right, best, labels=present)
        return present, matrix


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Two classifiers on the same images. difference: of their top-1 accuracy, second less first."""

    first: str
    second: str
    difference: float
    test: PairedTest


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found. `warnings`: all that was not used, and what is too little to say."""

    model: ModelInfo
    dataset: Dataset
    none: str
    results: Sequence[Result]
    comparisons: Sequence[Comparison]
    failures: Sequence[Failure]
    warnings: Sequence[str]
    num_embedded: int

    def to_json(self) -> str:
        """All figures; a number that does not exist is null."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False)

    def to_dict(self) -> dict[str, Any]:
        """What to_json writes, as plain values."""
        model = self.model
        value: dict[str, Any] = {
            "model": {"name": model.name, "fingerprint": model.fingerprint, "precision": model.precision},
            "dataset": {
                "name": self.dataset.name,
                "images": len(self.dataset.items),
                "images_of_none": sum(bool(self.none) and item.label == self.none for item in self.dataset.items),
                "failed": [dataclasses.asdict(failure) for failure in self.failures],
                "skipped": dict(self.dataset.skipped),
                "embedded_now": self.num_embedded,
            },
            "intervals": "95 %: Wilson's score interval; of mean_recall a bootstrap within classes, 2000 resamples",
            "calibration_error": "expected calibration error, 15 bins of equal width; images of none are wrong",
            "test": "McNemar's exact test, two-sided; p_holm is corrected for the number of pairs by Holm",
            "classifiers": [_plain(result) for result in self.results],
            "comparisons": [dataclasses.asdict(comparison) for comparison in self.comparisons],
            "warnings": list(self.warnings),
        }
        plain: dict[str, Any] = _without_nan(value)
        return plain

    def to_pandas(self) -> pd.DataFrame:
        """A row for each image and classifier: what it shows, what it was taken for, and how sure."""
        import pandas as pd

        frames = []
        for result in self.results:
            scores = result.scores
            names = np.array([*result.class_names, self.none], dtype=object)  # NONE is the last
            frames.append(
                pd.DataFrame(
                    {
                        "classifier": result.name,
                        "image": [item.name for item in self.dataset.items],
                        "label": names[scores.labels],
                        "class_name": names[scores.classes[:, 0]],
                        "probability": scores.probabilities[:, 0],
                        "accepted": scores.accepted,
                        "correct": scores.ranks == 0,
                        "rank": np.where(scores.known, scores.ranks + 1, 0),
                        "label_probability": scores.label_probabilities,
                        "other_probability": scores.others,
                    }
                )
            )
        return pd.concat(frames, ignore_index=True)

    def classes_to_pandas(self) -> pd.DataFrame:
        """A row for each class that has images and each classifier."""
        import pandas as pd

        rows = []
        for result in self.results:
            for figures in result.classes:
                row = {"classifier": result.name, **dataclasses.asdict(figures)}
                recall = row.pop("recall")
                row.update(recall=recall["value"], recall_low=recall["low"], recall_high=recall["high"])
                rows.append(row)
        return pd.DataFrame(rows)


def evaluate(
    client: Client,
    dataset: Dataset | str | os.PathLike[str],
    classifiers: Mapping[str, Classifier],
    *,
    none: str = "",
    cache: EmbeddingCache | str | os.PathLike[str] | None = None,
    unknown: str = "raise",
    score_function: str | None = None,
    min_probability: float | None = None,
    seed: int = 0,
    progress: bool = False,
) -> Evaluation:
    """Accuracy of classifiers, by their names, on the same labelled images.

        seven = client.build(names, "openai-imagenet-7")
        found = evaluate(client, "val/", {"simple": client.build(names), "seven": seven})
        print(found.results[0].top_1, found.comparisons[0].test.p_value)

    Each image is embedded once, whatever the number of classifiers, and not at all where the cache has it.

    none             the label of images that show none of the classes
    cache            file of embeddings, read and written
    unknown          labels of no class: "raise", or "skip" their images with a warning
    score_function, min_probability   as Classify's
    seed             of the bootstrap

    InvalidArgumentError: a label is the name of no class; no image can be used; what Dataset.load says.
    """
    if isinstance(dataset, (str, os.PathLike)):
        dataset = Dataset.load(dataset)
    model = client.model()
    if not isinstance(cache, EmbeddingCache):
        cache = EmbeddingCache(cache, model)
    # What is wrong with a classifier or a label shows before any image is sent.
    scorers = {
        name: Scorer.of(client, classifier, model, score_function=score_function, min_probability=min_probability)
        for name, classifier in classifiers.items()
    }
    ids = {name: classifier.weight_set_id for name, classifier in classifiers.items()}
    dataset, warnings = of_known_labels(dataset, scorers, none, unknown)
    embedded = embed(client, dataset, cache, progress=progress)
    return evaluate_vectors(model, embedded, scorers, none=none, ids=ids, warnings=warnings, seed=seed)


def evaluate_vectors(
    model: ModelInfo,
    embedded: Embedded,
    scorers: Mapping[str, Scorer],
    *,
    none: str = "",
    ids: Mapping[str, str] | None = None,
    warnings: Sequence[str] = (),
    seed: int = 0,
) -> Evaluation:
    """As `evaluate`, of vectors that are there. Every label must be a class, or `none`."""
    warnings = [*warnings, *_warnings(embedded)]
    results = []
    for name, scorer in scorers.items():
        labels, unknown = class_indices([item.label for item in embedded.dataset.items], scorer.class_names, none)
        if unknown:
            raise InvalidArgumentError(_unknown_labels(name, unknown, scorer))
        absent = sorted(set(range(len(scorer.class_names))) - set(labels.tolist()))
        if absent:
            shown = ", ".join(scorer.class_names[index] for index in absent[:5])
            more = ", ..." if len(absent) > 5 else ""
            warnings.append(f"{name}: {len(absent)} classes have no image: {shown}{more}")
        if not (labels >= 0).any():
            raise InvalidArgumentError(f"{embedded.dataset.name}: no image shows one of the classes of {name}")
        scores = scorer.score(embedded.vectors, labels)
        results.append(_result(name, (ids or {}).get(name, ""), scorer, scores, seed))
    return Evaluation(
        model,
        embedded.dataset,
        none,
        tuple(results),
        tuple(_comparisons(results)),
        embedded.failures,
        tuple(dict.fromkeys(warnings)),
        embedded.num_embedded,
    )


def of_known_labels(
    dataset: Dataset, scorers: Mapping[str, Scorer], none: str, unknown: str
) -> tuple[Dataset, list[str]]:
    """The images whose label all classifiers know; without those, warnings or an error."""
    if unknown not in ("raise", "skip"):
        raise InvalidArgumentError(f"unknown is '{unknown}'; allowed: raise, skip")
    if not scorers:
        raise InvalidArgumentError("no classifier is given")
    labels = [item.label for item in dataset.items]
    used = np.ones(len(labels), dtype=bool)
    by_number = set()
    for name, scorer in scorers.items():
        indices, not_known = class_indices(labels, scorer.class_names, none)
        if not_known and unknown == "raise":
            raise InvalidArgumentError(_unknown_labels(name, not_known, scorer))
        used &= indices < len(scorer.class_names)
        by_number |= {label for label in set(labels) - set(not_known) - {none} if label not in scorer.class_names}
    warnings = []
    if by_number:
        warnings.append(f"{len(by_number)} labels are numbers that name no class; they were taken for class indices")
    if not used.all():
        labels_left_out = sorted({label for label, use in zip(labels, used) if not use})
        shown = ", ".join(labels_left_out[:5]) + (", ..." if len(labels_left_out) > 5 else "")
        warnings.append(f"{int((~used).sum())} images are left out, whose label is no class: {shown}")
        if not used.any():
            raise InvalidArgumentError(f"{dataset.name}: the label of every image is no class: {shown}")
    return dataset.subset(np.flatnonzero(used)), warnings


def _unknown_labels(name: str, unknown: Sequence[str], scorer: Scorer) -> str:
    shown = ", ".join(f"'{label}'" for label in unknown[:5]) + (", ..." if len(unknown) > 5 else "")
    known = ", ".join(scorer.class_names[:5]) + (", ..." if len(scorer.class_names) > 5 else "")
    return (
        f"{len(unknown)} labels are the name of no class of {name}: {shown}. Its classes are: {known}. "
        "Name the classes of labels in a mapping, the label of images of none of the classes as none, or skip them"
    )


def _warnings(embedded: Embedded) -> list[str]:
    warnings = []
    for reason, count in embedded.dataset.skipped.items():
        warnings.append(reason if reason.startswith("the class folder") else f"{count} files were not used: {reason}")
    if embedded.failures:
        first = embedded.failures[0]
        warnings.append(
            f"{len(embedded.failures)} images could not be read or embedded and are in no figure; the first: "
            f"{first.name}: {first.error}"
        )
    return warnings


def _result(name: str, weight_set_id: str, scorer: Scorer, scores: Scores, seed: int) -> Result:
    known = scores.known
    labels, best, ranks = scores.labels[known], scores.classes[known, 0], scores.ranks[known]
    correct = ranks == 0
    count = len(labels)
    error, bins = metrics.reliability(scores.probabilities[:, 0], scores.ranks == 0)
    with np.errstate(divide="ignore"):
        log_loss = float(-np.log(scores.label_probabilities[known]).mean())
    pairs, counts = np.unique(np.stack([labels, best])[:, ~correct], axis=1, return_counts=True)
    confusions = sorted(zip(counts.tolist(), *pairs.tolist()), key=lambda found: (-found[0], found[1], found[2]))
    most: dict[int, tuple[int, int]] = {}
    for times, right, taken_for in confusions:
        most.setdefault(right, (taken_for, times))
    classes = []
    for index in np.unique(labels).tolist():
        of_class, taken = labels == index, best == index
        taken_for, times = most.get(index, (-1, 0))
        hits = int((of_class & taken).sum())
        classes.append(
            ClassFigures(
                index,
                scorer.class_names[index],
                int(of_class.sum()),
                metrics.proportion(hits, int(of_class.sum())),
                float((ranks[of_class] < 5).mean()),
                hits / int(taken.sum()) if taken.any() else float("nan"),
                float((of_class & taken & scores.accepted[known]).sum() / of_class.sum()),
                scorer.class_names[taken_for] if times else "",
                times,
            )
        )
    of_none = int((~known).sum())
    accepted = int(scores.accepted.sum())
    return Result(
        name,
        weight_set_id,
        scorer.temperature,
        scorer.score_function,
        len(scorer.background),
        tuple(scorer.class_names),
        metrics.proportion(int(correct.sum()), count),
        metrics.proportion(int((ranks < 5).sum()), count),
        metrics.mean_recall(labels, correct, seed),
        error,
        log_loss,
        Decisions(
            metrics.proportion(int(scores.accepted[known].sum()), count),
            metrics.proportion(int((correct & scores.accepted[known]).sum()), accepted),
            metrics.proportion(int(scores.accepted[~known].sum()), of_none),
        ),
        tuple(classes),
        tuple(
            Confusion(scorer.class_names[right], scorer.class_names[taken_for], times)
            for times, right, taken_for in confusions
        ),
        tuple(bins),
        scores,
    )


def _comparisons(results: Sequence[Result]) -> list[Comparison]:
    pairs = [(first, second) for i, first in enumerate(results) for second in results[i + 1 :]]
    tests = metrics.holm([metrics.paired_test(first.correct, second.correct) for first, second in pairs])
    return [
        Comparison(first.name, second.name, second.top_1.value - first.top_1.value, test)
        for (first, second), test in zip(pairs, tests)
    ]


def _plain(result: Result) -> dict[str, Any]:
    """Without the scores of each image."""
    value = {field.name: getattr(result, field.name) for field in dataclasses.fields(result) if field.name != "scores"}
    for name, item in value.items():
        if dataclasses.is_dataclass(item) and not isinstance(item, type):
            value[name] = dataclasses.asdict(item)
        elif isinstance(item, tuple) and item and dataclasses.is_dataclass(item[0]):
            value[name] = [dataclasses.asdict(part) for part in item]
    value["class_names"] = list(result.class_names)
    return value


def _without_nan(value: Any) -> Any:
    # JSON has no NaN and no infinity.
    if isinstance(value, dict):
        return {name: _without_nan(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return value if not isinstance(value, float) or math.isfinite(value) else None
