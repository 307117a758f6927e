"""Fits a temperature, and thresholds for a wanted precision or false-positive rate.

Thread rule: plain values and functions.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from zeroshot_client.evaluate import metrics
from zeroshot_client.evaluate.dataset import IntArray
from zeroshot_client.evaluate.scoring import BoolArray, DoubleArray, Scores

# Errors under which a temperature says little.
FEW_ERRORS = 10
LOWEST, HIGHEST = 0.02, 50.0


def temperature(
    logits: DoubleArray, labels: IntArray, score_function: str = "softmax", num_classes: int | None = None
) -> float:
    """The one with the least negative log-likelihood of the right classes, from 0.02 to 50.

    logits  [images, classes + background]; labels [images]: indices of classes, of the first `num_classes`;
            -1: none of these, which under softmax is the background's probability, and left out without one
    Under sigmoid each class is a question of its own: the likelihood of all answers.
    """
    num_classes = logits.shape[1] if num_classes is None else num_classes
    if score_function == "softmax" and logits.shape[1] == num_classes:
        logits, labels = logits[labels >= 0], labels[labels >= 0]
    right = np.arange(logits.shape[1]) == labels[:, None]
    if score_function == "softmax":
        right[labels < 0, num_classes:] = True

    def loss(log_temperature: float) -> float:
        scaled = logits / math.exp(log_temperature)
        if score_function == "sigmoid":
            wrong_way = np.where(right, -scaled, scaled)[:, :num_classes]
            return float(np.logaddexp(0, wrong_way).mean())
        return float((logsumexp(scaled, axis=1) - logsumexp(np.where(right, scaled, -np.inf), axis=1)).mean())

    found = minimize_scalar(
        loss, bounds=(math.log(LOWEST), math.log(HIGHEST)), method="bounded", options={"xatol": 1e-4}
    )
    return float(math.exp(found.x))


@dataclasses.dataclass(frozen=True)
class Threshold:
    """From which probability on a class is accepted.

    class_index      the class
    min_probability  None: the images say nothing, and none is set
    accepted         images of those fitted on that are taken for the class and accepted; right: that show it
    holds            whether a one-sided 95 % bound keeps what was wanted; else only the images' own share does,
                     or not even that
    needed           images without an error that the bound would need; 0 where it holds
    """

    class_index: int
    min_probability: float | None
    accepted: int
    right: int
    holds: bool
    needed: int


def thresholds(
    scores: Scores,
    class_count: int,
    *,
    precision: float | None = None,
    false_positive_rate: float | None = None,
) -> list[Threshold]:
    """One a class, the lowest that keeps what is wanted of images that are taken for the class.

    precision            of those that are accepted, the share that shows the class, at least
    false_positive_rate  of all images that do not show the class, the share that is accepted as it, at most

    Wanted is that the one-sided 95 % bound of Clopper and Pearson keeps it. Where no threshold does, the lowest
    whose own share does is taken, and `holds` is False.
    """
    best, probability = scores.classes[:, 0], scores.probabilities[:, 0]
    found = []
    for index in range(class_count):
        taken = np.flatnonzero(best == index)
        order = taken[np.argsort(-probability[taken], kind="stable")]
        values, right = probability[order], scores.labels[order] == index
        others = int((scores.labels != index).sum())
        found.append(_threshold(index, values, right, others, precision, false_positive_rate))
    return found


def _threshold(
    index: int, values: DoubleArray, right: BoolArray, others: int, precision: float | None, rate: float | None
) -> Threshold:
    """values: descending probabilities of images taken for the class; right: whether they show it."""
    hits: IntArray = np.cumsum(right, dtype=np.int64)
    accepted = np.arange(1, len(values) + 1)
    if precision is not None:
        kept = metrics.lower_bounds(hits, accepted) >= precision
        shares = hits >= precision * accepted
    else:
        rate = rate or 0.0
        kept = metrics.upper_bounds(accepted - hits, np.full(len(values), others)) <= rate
        shares = accepted - hits <= rate * others
    # Images of equal probability are accepted together.
    ends = np.append(values[1:] < values[:-1], True)[: len(values)]
    holds = bool((kept & ends).any())
    place = int(np.flatnonzero((kept if holds else shares) & ends).max(initial=-1))
    if precision is None and not len(values):
        holds = bool(others) and metrics.upper_bounds(np.array([0]), np.array([others]))[0] <= rate  # nothing is taken
    needed = 0 if holds else needed_images(precision if precision is not None else 1 - (rate or 0.0))
    if not len(values):
        return Threshold(index, None, 0, 0, holds, needed)
    if place < 0:
        # Not even the surest is enough.
        return Threshold(index, 1.0, 0, 0, False, needed)
    below = float(values[place + 1]) if place + 1 < len(values) else 0.0
    return Threshold(index, _between(below, float(values[place])), place + 1, int(hits[place]), holds, needed)


def needed_images(share: float) -> int:
    """How many images, all right, the bound needs for that share: 59 for 0.95, 299 for 0.99."""
    return math.ceil(math.log(1 - metrics.CONFIDENCE) / math.log(share)) if 0 < share < 1 else 0


def _between(below: float, value: float) -> float:
    """The shortest decimal fraction over `below` and at most `value`, with room for another machine's rounding."""
    middle = below + (value - below) * 0.98
    for digits in range(2, 12):
        rounded = math.floor(middle * 10.0**digits) / 10.0**digits
        if rounded > below:
            return rounded
    return middle


def few_errors(correct: BoolArray) -> Sequence[str]:
    """What to say of a temperature that was fitted on these images."""
    wrong = int((~correct).sum())
    if wrong >= FEW_ERRORS:
        return []
    return [
        f"the temperature was fitted on images of which {wrong} are wrong; with fewer than {FEW_ERRORS} it says little"
    ]
