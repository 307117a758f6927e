"""Chooses templates: greedy forward selection by accuracy. Thread rule: plain values and functions."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from zeroshot_client.evaluate.dataset import IntArray
from zeroshot_client.evaluate.scoring import unit
from zeroshot_client.types import FloatArray


@dataclasses.dataclass(frozen=True)
class Step:
    """A candidate that was added, and the figures on the images that are fitted on with it."""

    candidate: str
    accuracy: float
    log_loss: float


def choose(
    vectors: FloatArray,
    labels: IntArray,
    names: Sequence[str],
    sums: FloatArray,
    counts: IntArray,
    scale: float,
    most: int,
) -> tuple[list[int], list[Step]]:
    """Indices of the chosen candidates, in the order of the choice, and the steps.

    vectors  [images, dim], labels [images]
    names    of the candidates
    sums     [candidates, classes, dim]: of each class the sum of its prompts' unit vectors by that candidate
    counts   [candidates, classes] how many prompts that are; 0: the candidate says nothing of the class

    First the candidate with the best accuracy is taken, then the one that adds most to it, until none adds
    any, or `most` are chosen. Of equal accuracies the one with the least log loss at the model's scale counts,
    then the first. A class vector is the mean of its prompts' unit vectors, brought to length 1.
    """
    chosen: list[int] = []
    steps: list[Step] = []
    total = np.zeros(sums.shape[1:], dtype=np.float64)
    have = np.zeros(sums.shape[1], dtype=np.int64)
    best = (-1.0, 0.0)
    while len(chosen) < most:
        found: tuple[float, float, int] | None = None
        for candidate in range(len(names)):
            if candidate in chosen or not (have + counts[candidate]).all():
                continue  # a class would have no prompt
            accuracy, loss = _figures(vectors, labels, unit(total + sums[candidate]), scale)
            if found is None or (accuracy, -loss) > (found[0], -found[1]):
                found = (accuracy, loss, candidate)
        if found is None or found[0] <= best[0]:
            break
        best = found[:2]
        chosen.append(found[2])
        total += sums[found[2]]
        have += counts[found[2]]
        steps.append(Step(names[found[2]], found[0], found[1]))
    return chosen, steps


def _figures(vectors: FloatArray, labels: IntArray, weights: FloatArray, scale: float) -> tuple[float, float]:
    logits = scale * (vectors @ weights.T)
    right = logits[np.arange(len(labels)), labels]
    most = logits.max(axis=1)
    accuracy = float((logits.argmax(axis=1) == labels).mean())
    logits -= most[:, None]
    loss = float((np.log(np.exp(logits).sum(axis=1)) + most - right).mean())
    return accuracy, loss
