"""Figures of labelled answers, each with its method. All intervals are of 95 %.

Thread rule: free functions without state.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy.stats import beta, binomtest

from zeroshot_client.evaluate.dataset import IntArray
from zeroshot_client.evaluate.scoring import BoolArray, DoubleArray

CONFIDENCE = 0.95
BINS = 15  # of a reliability curve
RESAMPLES = 2000  # of a bootstrap


@dataclasses.dataclass(frozen=True)
class Interval:
    """A figure and its confidence interval. `value` is NaN of nothing."""

    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Bin:
    """Answers whose probability is over `low` and at most `high`: how many, their mean probability, and what
    share of them is right."""

    low: float
    high: float
    count: int
    probability: float
    accuracy: float


@dataclasses.dataclass(frozen=True)
class PairedTest:
    """McNemar's exact test: of the images that only one of two classifiers has right, is it one as often as
    the other? p_value is two-sided; p_holm is it after Holm's correction for the number of pairs."""

    only_first: int
    only_second: int
    p_value: float
    p_holm: float = float("nan")


def proportion(successes: int, count: int) -> Interval:
    """Wilson's score interval."""
    if count == 0:
        return Interval(float("nan"), 0.0, 1.0)
    interval = binomtest(int(successes), int(count)).proportion_ci(CONFIDENCE, method="wilson")
    return Interval(successes / count, float(interval.low), float(interval.high))


def lower_bounds(successes: IntArray, counts: IntArray) -> DoubleArray:
    """One-sided bounds under which the proportions are not, each with 95 % confidence (Clopper and Pearson)."""
    with np.errstate(invalid="ignore"):
        bounds = beta.ppf(1 - CONFIDENCE, successes, counts - successes + 1)
    result: DoubleArray = np.where(successes > 0, bounds, 0.0)
    return result


def upper_bounds(successes: IntArray, counts: IntArray) -> DoubleArray:
    """One-sided bounds over which the proportions are not."""
    return 1.0 - lower_bounds(counts - successes, counts)


def mean_recall(labels: IntArray, correct: BoolArray, seed: int = 0) -> Interval:
    """The mean over classes of the share of their images that is right, of classes that have images.

    The interval is a percentile bootstrap that draws images again within each class (2000 times): the images
    of one class that are right then follow a binomial distribution, which is drawn from.
    """
    _, places = np.unique(labels, return_inverse=True)
    counts = np.bincount(places)
    if not len(counts):
        return Interval(float("nan"), 0.0, 1.0)
    recalls = np.bincount(places, weights=correct) / counts
    drawn = np.random.default_rng(seed).binomial(counts, recalls, size=(RESAMPLES, len(counts))) / counts
    low, high = np.quantile(drawn.mean(axis=1), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(float(recalls.mean()), float(low), float(high))


def reliability(probabilities: DoubleArray, correct: BoolArray) -> tuple[float, list[Bin]]:
    """The expected calibration error (Guo et al. 2017) and its bins, 15 of equal width: the mean over answers
    of how far the accuracy of their bin is from its mean probability. Bins without answers are left out."""
    places = np.clip(np.ceil(probabilities * BINS).astype(int) - 1, 0, BINS - 1)
    bins, error = [], 0.0
    for place in range(BINS):
        inside = places == place
        count = int(inside.sum())
        if count:
            probability, accuracy = float(probabilities[inside].mean()), float(correct[inside].mean())
            bins.append(Bin(place / BINS, (place + 1) / BINS, count, probability, accuracy))
            error += count / len(probabilities) * abs(accuracy - probability)
    return error if bins else float("nan"), bins


def paired_test(first: BoolArray, second: BoolArray) -> PairedTest:
    """Of which images two classifiers have right."""
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    differ = only_first + only_second
    p_value = 1.0 if differ == 0 else float(binomtest(only_first, differ, 0.5).pvalue)
    return PairedTest(only_first, only_second, p_value)


def holm(tests: Sequence[PairedTest]) -> list[PairedTest]:
    """The tests with p_holm."""
    order = sorted(range(len(tests)), key=lambda index: tests[index].p_value)
    adjusted, most = [0.0] * len(tests), 0.0
    for place, index in enumerate(order):
        most = max(most, min(1.0, (len(tests) - place) * tests[index].p_value))
        adjusted[index] = most
    return [dataclasses.replace(test, p_holm=p) for test, p in zip(tests, adjusted)]
