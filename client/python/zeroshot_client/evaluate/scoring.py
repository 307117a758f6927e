"""What the server would answer, from vectors: logits, probabilities, order and `accepted` of Classify.

Thread rule: plain values.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit, softmax

from zeroshot_client.errors import FailedPreconditionError, InvalidArgumentError
from zeroshot_client.evaluate.dataset import IntArray
from zeroshot_client.types import SCORE_FUNCTIONS, FloatArray, ModelInfo

if TYPE_CHECKING:
    from zeroshot_client.classifier import Classifier
    from zeroshot_client.client import Client

DoubleArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
ROWS = 2048  # images that are scored at once, so that memory does not grow with all classes of all images
TOP = 5


@dataclasses.dataclass(frozen=True)
class Scores:
    """What a classifier says of n images whose classes are known; k = min(5, classes).

    classes        [n, k] indices of the best classes, best first
    probabilities  [n, k] theirs
    labels         [n] indices of the right classes; -1: none of the classes is right
    ranks          [n] how many classes stand before the right one; of none of the classes: all
    label_probabilities  [n] of the right class; of none of the classes: other
    others         [n] other_probability
    accepted       [n] whether the best class is accepted
    """

    classes: IntArray
    probabilities: DoubleArray
    labels: IntArray
    ranks: IntArray
    label_probabilities: DoubleArray
    others: DoubleArray
    accepted: BoolArray

    @property
    def known(self) -> BoolArray:
        """Which images show one of the classes."""
        return self.labels >= 0


@dataclasses.dataclass(frozen=True)
class Scorer:
    """The numbers that a weight set decides with.

    weights            [classes, dim] unit rows
    background         [background classes, dim]
    temperature        divides the logits
    score_function     softmax, sigmoid
    min_probabilities  by class index; min_probability: of the other classes
    """

    class_names: Sequence[str]
    weights: FloatArray
    logit_scale: float
    logit_bias: float
    score_function: str
    background: FloatArray
    temperature: float = 1.0
    min_probabilities: Mapping[int, float] = dataclasses.field(default_factory=dict)
    min_probability: float = 0.0

    @classmethod
    def of(
        cls,
        client: Client,
        classifier: Classifier,
        model: ModelInfo,
        *,
        score_function: str | None = None,
        min_probability: float | None = None,
    ) -> Scorer:
        """Of a classifier that was built, found or imported; score_function and min_probability as Classify's.

        FailedPreconditionError: the weight set is of another model than the server's.
        """
        if score_function is not None and score_function not in SCORE_FUNCTIONS:
            raise InvalidArgumentError(f"score_function is '{score_function}'; allowed: {', '.join(SCORE_FUNCTIONS)}")
        described = client.describe_weight_set(classifier.weight_set_id)
        if described.info.model_fingerprint not in ("", model.fingerprint):
            raise FailedPreconditionError(
                f"the weight set {classifier.weight_set_id[:12]} is of the model "
                f"{described.info.model_fingerprint[:12]}; the server serves {model.fingerprint[:12]}. "
                "Build it again with this model",
                reason="WRONG_MODEL",
            )
        return cls(
            described.class_names,
            classifier.weights,
            model.logit_scale,
            model.logit_bias,
            score_function or model.score_function or "softmax",
            classifier.background_weights,
            described.info.temperature or 1.0,
            described.min_probabilities,
            min_probability or 0.0,
        )

    def logits(self, vectors: FloatArray) -> DoubleArray:
        """[n, classes + background], before the temperature."""
        weights = np.concatenate([self.weights, self.background]).astype(np.float64)
        return self.logit_scale * (vectors.astype(np.float64) @ weights.T) + self.logit_bias

    def probabilities(self, logits: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
        """Of the classes [n, classes], and other_probability [n]."""
        of_all = probabilities(logits / self.temperature, self.score_function)
        named, others = of_all[:, : len(self.weights)], of_all[:, len(self.weights) :]
        if not len(self.background):
            return named, np.zeros(len(logits))
        return named, others.sum(axis=1) if self.score_function == "softmax" else others.max(axis=1)

    def thresholds(self) -> DoubleArray:
        """[classes] from which probability on a class is accepted. Of single precision, as on the wire."""
        return np.array(
            [np.float32(self.min_probabilities.get(i, self.min_probability)) for i in range(len(self.weights))],
            np.float64,
        )

    def score(self, vectors: FloatArray, labels: IntArray) -> Scores:
        """Of images [n, dim] with the indices of their classes, -1 for none of them."""
        parts = list(self._parts(vectors, labels))
        return Scores(*(np.concatenate(columns) for columns in zip(*parts)))

    def _parts(self, vectors: FloatArray, labels: IntArray) -> Iterator[tuple[npt.NDArray[Any], ...]]:
        thresholds = self.thresholds()
        for start in range(0, max(1, len(vectors)), ROWS):
            logits = self.logits(vectors[start : start + ROWS])
            named, others = self.probabilities(logits)
            of_rows = labels[start : start + ROWS]
            rows = np.arange(len(of_rows))
            # As the server: of equal logits the class that stands first.
            order = np.argsort(-logits[:, : named.shape[1]], axis=1, kind="stable")
            top = order[:, :TOP]
            ranks = np.argmax(order == of_rows[:, None], axis=1)
            ranks[of_rows < 0] = named.shape[1]
            right = np.where(of_rows < 0, others, named[rows, of_rows])
            best = top[:, 0]
            accepted = named[rows, best] >= thresholds[best]
            yield top, np.take_along_axis(named, top, axis=1), of_rows, ranks, right, others, accepted


def probabilities(logits: DoubleArray, score_function: str) -> DoubleArray:
    """Of logits that were divided by the temperature."""
    result: DoubleArray = expit(logits) if score_function == "sigmoid" else softmax(logits, axis=1)
    return result


def class_vectors(prompts: FloatArray) -> FloatArray:
    """[classes, dim] of unit vectors of prompts [prompts of a class, classes, dim]: the mean, brought to
    length 1, as the server makes them."""
    return unit(prompts.mean(axis=0, dtype=np.float64))


def unit(vectors: npt.NDArray[Any]) -> FloatArray:
    """Rows of length 1."""
    rows: FloatArray = (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)
    return rows
