"""What is called as transformers' pipeline("zero-shot-image-classification") is."""

from __future__ import annotations

import collections
import threading
from collections.abc import Iterable, Sequence
from typing import Any

from zeroshot_client.classifier import Classifier
from zeroshot_client.client import Client
from zeroshot_client.errors import InvalidArgumentError
from zeroshot_client.images import ImageLike
from zeroshot_client.types import Answer

TASK = "zero-shot-image-classification"
KEPT = 64  # classifiers; the server keeps more

Scores = list[dict[str, Any]]


class ZeroShotImageClassificationPipeline:
    """Made by `pipeline`. Thread rule: it may be called from many threads at once."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._lock = threading.Lock()
        self._classifiers: collections.OrderedDict[tuple[Any, ...], Classifier] = collections.OrderedDict()

    def __call__(
        self,
        image: ImageLike | Sequence[ImageLike],
        candidate_labels: str | Iterable[str],
        hypothesis_template: str = "This is a photo of {}.",
        *,
        timeout: float | None = None,
        in_flight: int = 32,
    ) -> Any:
        """[{"score": 0.98, "label": "cat"}, ...], best first, of one image; a list of these of a list.

        candidate_labels  labels, or a text of them with commas between
        timeout           seconds of each image's call
        in_flight         images at the server at once

        The first image that fails raises its error.
        """
        if isinstance(candidate_labels, str):
            candidate_labels = [label.strip() for label in candidate_labels.split(",") if label.strip()]
        labels = tuple(candidate_labels)
        if not labels:
            raise InvalidArgumentError("candidate_labels has no label")
        if "{}" not in hypothesis_template:
            raise InvalidArgumentError(f"hypothesis_template is '{hypothesis_template}'; it must hold {{}}")
        classifier = self._classifier(labels, hypothesis_template)
        call: dict[str, Any] = {} if timeout is None else {"timeout": timeout}
        if isinstance(image, (list, tuple)):
            answers = classifier.classify_many(image, in_flight=in_flight, return_probabilities=True, **call)
            return [_scores(labels, answer) for _, answer in answers]
        return _scores(labels, classifier(image, return_probabilities=True, **call))

    def _classifier(self, labels: tuple[str, ...], template: str) -> Classifier:
        key = (labels, template)
        with self._lock:
            found = self._classifiers.get(key)
            if found is not None:
                self._classifiers.move_to_end(key)
                return found
        built = self.client.build(labels, template)
        with self._lock:
            self._classifiers[key] = built
            if len(self._classifiers) > KEPT:
                self._classifiers.popitem(last=False)
        return built


def pipeline(
    task: str = TASK, model: str | None = None, *, client: Client | str | None = None, **_: Any
) -> ZeroShotImageClassificationPipeline:
    """Called as transformers' is, answered by a server.

        from zeroshot_client import pipeline
        classifier = pipeline("zero-shot-image-classification")
        classifier("photo.jpg", candidate_labels=["cat", "dog"])

    client  a Client, or a target. None: ZEROSHOT_TARGET, else 127.0.0.1:50051
    model   the server's, whatever is said here; device, torch_dtype and other keywords are its affair too
    """
    if task != TASK:
        raise InvalidArgumentError(f"the task is '{task}'; allowed: {TASK}")
    return ZeroShotImageClassificationPipeline(client if isinstance(client, Client) else Client(client))


def _scores(labels: Sequence[str], answer: Answer) -> Scores:
    probabilities = answer.probabilities.tolist()
    best = sorted(range(len(labels)), key=lambda index: -probabilities[index])
    return [{"score": probabilities[index], "label": labels[index]} for index in best]
