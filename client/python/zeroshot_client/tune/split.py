"""Which images to fit on, and which to report on. Thread rule: a free function without state."""

from __future__ import annotations

import numpy as np

from zeroshot_client.errors import InvalidArgumentError
from zeroshot_client.evaluate.dataset import IntArray


def stratified(labels: IntArray, held_out: float, seed: int) -> tuple[IntArray, IntArray]:
    """Indices of the images to fit on and of those that are held out, both sorted.

    Of each class (and of the images of none) the share `held_out`, rounded, is drawn; a class with one image is
    fitted on. InvalidArgumentError: the share leaves no image on one side.
    """
    if not 0 < held_out < 1:
        raise InvalidArgumentError(f"held_out is {held_out}; it must be over 0 and under 1")
    generator = np.random.default_rng(seed)
    out = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        places = generator.permutation(np.flatnonzero(labels == label))
        out[places[: min(len(places) - 1, round(held_out * len(places)))]] = True
    if not (out & (labels >= 0)).any():
        raise InvalidArgumentError(f"held_out is {held_out}: of {len(labels)} images none would be held out")
    return np.flatnonzero(~out), np.flatnonzero(out)
