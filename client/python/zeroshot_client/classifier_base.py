"""What Classifier and AsyncClassifier share: what they were built from, and the calls that they make.

Internal. Thread rule: plain values and functions; what changes is its subclass's, under the subclass's rule.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Callable, Generic, TypeVar, cast

from zeroshot_client import calls, errors
from zeroshot_client.calls import Call, Options
from zeroshot_client.connection import Prepared
from zeroshot_client.images import ImageLike, encode
from zeroshot_client.spec import Spec
from zeroshot_client.types import Answer, BuildResult, CallOptions, FloatArray

AnyClient = TypeVar("AnyClient")
Item = TypeVar("Item")

# Prompts and examples that a server takes within a call, unless it is told otherwise (--max_inline_prompts).
INLINE_PROMPTS = 10_000


@dataclasses.dataclass(frozen=True)
class Current:
    """The id in use. A rebuild makes another object, of the same id unless the server's model changed."""

    weight_set_id: str


@dataclasses.dataclass(frozen=True)
class Question:
    """A call of one classifier: by its id, or with its spec where no server keeps the set long enough."""

    by_id: Callable[[str], Call[list[Answer]]]
    inline: Callable[[Spec], Call[list[Answer]]]


def about_image(image: bytes, options: Options) -> Question:
    """What one image shows."""
    return Question(
        lambda weight_set_id: calls.classify(image, [weight_set_id], options),
        lambda spec: calls.classify(image, [], options, spec),
    )


def about_images(images: Sequence[bytes], options: Options) -> Question:
    """What each of several images shows."""
    return Question(
        lambda weight_set_id: calls.classify_batch(images, weight_set_id, options),
        lambda spec: calls.classify_batch(images, "", options, spec),
    )


def about_embeddings(rows: FloatArray, options: Options) -> Question:
    """What each of several embeddings [n, dim] shows."""
    return Question(
        lambda weight_set_id: calls.classify_embeddings(rows, weight_set_id, options),
        lambda spec: calls.classify_embeddings(rows, "", options, spec),
    )


class ClassifierBase(Generic[AnyClient]):
    """A weight set, what it was built from, and the id that it has now."""

    def __init__(
        self,
        client: AnyClient,
        spec: Spec | None,
        built: BuildResult,
        call: CallOptions,
        class_names: Sequence[str] = (),
    ) -> None:
        self._client = client
        self._spec = spec
        self._built = built
        self._call = call  # of later builds
        self._current = Current(built.weight_set_id)
        # Empty where only the server knows them, by the name of a class set.
        self._class_names = tuple(class_names or (spec.class_names if spec is not None else ()))
        self._weights: FloatArray | None = None

    def __repr__(self) -> str:
        names = self._class_names
        shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        return f"<{type(self).__name__} of {self._built.num_classes} classes{': ' if shown else ''}{shown}>"

    @property
    def built(self) -> BuildResult:
        """What the first build said."""
        return self._built

    @property
    def spec(self) -> Spec | None:
        """What it was built from; None of one that was imported or found by its id."""
        return self._spec

    @property
    def weight_set_id(self) -> str:
        """The id in use: another one than built.weight_set_id only if the server has changed its model."""
        return self._current.weight_set_id

    def _inline_spec(self) -> Spec | None:
        """What can be sent instead of an id: of several servers that share no store one can have built a set,
        and another get the call, as often as it is built again."""
        parts = self._built.num_prompts + self._built.num_examples
        return self._spec if parts <= INLINE_PROMPTS else None

    def _replaced(self, built: BuildResult) -> Current:
        """Uses what was built again."""
        self._current, self._weights = Current(built.weight_set_id), None
        return self._current


def may_rebuild(error: errors.ZeroshotError, classifiers: Iterable[ClassifierBase[Any]]) -> bool:
    """Whether building again may help."""
    if error.reason == "WEIGHT_SET_NOT_REBUILDABLE":
        return False
    return any(classifier.spec is not None for classifier in classifiers)


def takes_longer(prepared: Prepared) -> errors.DeadlineExceededError:
    """The error of a call whose time ends before a rebuild does."""
    return errors.DeadlineExceededError(
        "the server has forgotten the weight set, and building it again takes longer than a call may; "
        "a later call finds it",
        reason="DEADLINE_EXCEEDED",
        request_id=prepared.request_id,
    )


def failed_alone(error: errors.ZeroshotError, count: int) -> list[Answer]:
    """The answers of `count` images whose call failed. Raises `error` if it says the same of all others."""
    if not errors.concerns_one(error):
        raise error
    return [Answer(error=error, request_id=error.request_id)] * count


def check_many(options: Options, batch_size: int) -> None:
    """Raises what is wrong with the arguments of classify_many before its first image is read."""
    calls.classify(b"", [""], options)
    if batch_size < 1:
        raise errors.InvalidArgumentError(f"batch_size is {batch_size}; it must be at least 1")


def image_of(image: Callable[[Item], ImageLike] | None) -> Callable[[Item], ImageLike]:
    """What of an item is its image; without a function the item itself."""
    return image or (lambda item: cast(ImageLike, item))


def calls_in_flight(images: int, batch_size: int) -> int:
    """How many calls of `batch_size` images hold that many images; 0 and less stay what they are."""
    return max(1, images // batch_size) if images > 0 else images


class Batch:
    """Images of one call: those that cannot be encoded have failed before it."""

    def __init__(self, items: Sequence[Item], of_item: Callable[[Item], ImageLike] | None = None) -> None:
        self.data: list[bytes] = []
        self._answers: list[Answer | None] = [None] * len(items)
        self._places: list[int] = []
        for place, item in enumerate(items):
            try:
                self.data.append(encode(of_item(item) if of_item is not None else item))
                self._places.append(place)
            except Exception as error:
                self._answers[place] = Answer(error=error)

    def parts(self) -> Iterator[list[bytes]]:
        """As several calls, of BATCH_BYTES each."""
        return calls.in_batches(self.data, max(1, len(self.data)))

    def answers(self, answered: Iterable[Answer]) -> list[Answer]:
        """One an item, with those of `data`."""
        for place, answer in zip(self._places, answered):
            self._answers[place] = answer
        return cast("list[Answer]", self._answers)
