"""Suggests background classes: words that take images of none of the classes away from them.

Thread rule: plain values and functions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.special import logsumexp

from zeroshot_client.errors import InvalidArgumentError
from zeroshot_client.evaluate.dataset import IntArray, PathLike
from zeroshot_client.evaluate.scoring import DoubleArray

KEPT = 0.95  # of the images that are right, which must stay accepted


@dataclasses.dataclass(frozen=True)
class Suggestion:
    """A word that was added, and how many images of none of the classes are accepted with it, at a threshold
    that 95 % of the images that are right pass."""

    word: str
    false_positives: int


def words() -> list[str]:
    """The list that is shipped: neutral everyday nouns for scenes, surfaces and objects."""
    return lines_of(Path(__file__).with_name("words.txt"))


def lines_of(path: PathLike) -> list[str]:
    """The lines of a text file without blanks around them; empty ones are left out. InvalidArgumentError: none."""
    with open(path, encoding="utf-8-sig") as file:
        lines = [line.strip() for line in file if line.strip()]
    if not lines:
        raise InvalidArgumentError(f"{path}: it holds nothing")
    return list(dict.fromkeys(lines))


def suggest(
    logits: DoubleArray,
    labels: IntArray,
    background: DoubleArray,
    names: Sequence[str],
    word_logits: DoubleArray,
    most: int,
) -> tuple[int, list[int], list[Suggestion]]:
    """How many false positives there are without a word; the indices of the chosen words; the steps.

    logits       [images, classes], divided by the temperature; labels [images], -1: none of the classes
    background   [images, background] of background classes that stay
    word_logits  [images, words]

    Greedy: the word with the fewest false positives is added until none takes one away, or `most` are chosen.
    Of equal words the one that leaves images of none the least sure is taken, then the first. A word that is the
    name of a class must not be among them.
    """
    none = labels < 0
    correct = ~none & (logits.argmax(axis=1) == labels)
    best = logits.max(axis=1)
    total = logsumexp(np.concatenate([logits, background], axis=1), axis=1)

    def false_positives(totals: DoubleArray) -> tuple[int, float]:
        sure = best - totals  # the log of the best class's probability
        threshold = np.quantile(sure[correct], 1 - KEPT, method="lower") if correct.any() else -np.inf
        return int((sure[none] >= threshold).sum()), float(np.exp(sure[none]).mean())

    now = false_positives(total)
    begun = now[0]
    chosen: list[int] = []
    steps: list[Suggestion] = []
    while len(chosen) < most and now[0] > 0:
        tried = [
            (*false_positives(np.logaddexp(total, word_logits[:, word])), word)
            for word in range(len(names))
            if word not in chosen
        ]
        if not tried:
            break
        found = min(tried)
        if found[0] >= now[0]:
            break
        now = found[:2]
        chosen.append(found[2])
        total = np.logaddexp(total, word_logits[:, found[2]])
        steps.append(Suggestion(names[found[2]], found[0]))
    return begun, chosen, steps
