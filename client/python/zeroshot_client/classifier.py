"""Classifier: a weight set together with what it was built from, so that it survives a server that has
forgotten it. AsyncClassifier (aio_classifier.py) is the same for asyncio."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Sequence, Sized
from concurrent.futures import Future
from typing import IO, TYPE_CHECKING, Any, Callable, TypeVar, cast

from zeroshot_client import calls, errors, progress, tables
from zeroshot_client.bulk import Bulk
from zeroshot_client.calls import Options
from zeroshot_client.classifier_base import (
    Batch,
    ClassifierBase,
    Current,
    Question,
    about_embeddings,
    about_image,
    about_images,
    calls_in_flight,
    check_many,
    failed_alone,
    image_of,
    may_rebuild,
    takes_longer,
)
from zeroshot_client.connection import Prepared
from zeroshot_client.images import ImageLike, encode
from zeroshot_client.spec import Spec
from zeroshot_client.types import Answer, BuildResult, CallOptions, FloatArray

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd
    from typing_extensions import Unpack

    from zeroshot_client.client import Client

Item = TypeVar("Item")
Result = TypeVar("Result")


def ask(
    classifiers: Sequence[Classifier],
    prepared: Prepared,
    run: Callable[[list[str]], Result],
    inline: Callable[[Spec], Result] | None = None,
) -> Result:
    """What `run` says of the ids in use; once more, of new ones, if a set is unknown to the server, or is of
    the model it had before; at last what `inline` says, if it is unknown again."""
    tried = [classifier._current for classifier in classifiers]
    try:
        return run([current.weight_set_id for current in tried])
    except (errors.NotFoundError, errors.FailedPreconditionError) as error:
        if not may_rebuild(error, classifiers):
            raise
    now = [classifier._replace(missed, prepared) for classifier, missed in zip(classifiers, tried)]
    try:
        return run([current.weight_set_id for current in now])
    except errors.NotFoundError:
        spec = classifiers[0]._inline_spec() if inline is not None else None
        if inline is None or spec is None:
            raise
    return inline(spec)


class Classifier(ClassifierBase["Client"]):
    """Says what images show, in its classes. Made by Client.build.

        pets = client.build(["cat", "dog"])
        print(pets("photo.jpg").top)

    If the server has forgotten the weight set (restarted, evicted, replaced), it is built again and the
    call made once more, within the call's time. Threads that miss it together share one build.

    Thread rule: every method may be called from many threads at once. It can be pickled.
    """

    def __init__(
        self,
        client: Client,
        spec: Spec | None,
        built: BuildResult,
        call: CallOptions,
        class_names: Sequence[str] = (),
    ) -> None:
        super().__init__(client, spec, built, call, class_names)
        self._lock = threading.Lock()  # guards the current id and the rebuild
        self._rebuild: Future[Current] | None = None

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        del state["_lock"], state["_rebuild"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()
        self._rebuild = None

    @property
    def class_names(self) -> tuple[str, ...]:
        """In the order of `weights` and of `Prediction.class_index`."""
        if not self._class_names:
            prepared = Prepared(self._client._settings, self._call)
            self._class_names = ask(
                [self],
                prepared,
                lambda ids: self._client.describe_weight_set(ids[0], **self._call).class_names,
            )
        return self._class_names

    @property
    def weights(self) -> FloatArray:
        """The class vectors, unit rows [classes, dim]: `logit_scale * embeddings @ weights.T` are the logits."""
        return self._matrix()[: self._built.num_classes]

    @property
    def background_weights(self) -> FloatArray:
        """The vectors of the background classes [background, dim]."""
        return self._matrix()[self._built.num_classes :]

    def _matrix(self) -> FloatArray:
        if self._weights is None:
            self._weights = calls.load_matrix(self.export(format="npy"))
        return self._weights

    def export(self, *, format: str = "safetensors", layout: str = "", **call: Unpack[CallOptions]) -> bytes:
        """The file of the weight set, as Client.export_weight_set."""
        prepared = Prepared(self._client._settings, call, self._client._settings.build_timeout)
        return ask(
            [self],
            prepared,
            lambda ids: self._client.export_weight_set(ids[0], format=format, layout=layout, **call),
        )

    def __call__(
        self,
        image: ImageLike,
        *,
        top_k: int = 5,
        return_probabilities: bool = False,
        score_function: str | None = None,
        min_probability: float | None = None,
        **call: Unpack[CallOptions],
    ) -> Answer:
        """What the image shows: a path, bytes, an open file, a PIL image, an array [H, W, 3] of uint8 in RGB,
        or a torch tensor [3, H, W].

        top_k                 how many predictions
        return_probabilities  also those of all classes
        score_function        softmax or sigmoid, instead of the model's own
        min_probability       from which on predictions are `accepted`
        """
        options = Options(top_k, return_probabilities, score_function, min_probability)
        question = about_image(encode(image), options)
        return self._ask(question, self._client, Prepared(self._client._settings, call))[0]

    def _ask(self, question: Question, client: Client, prepared: Prepared) -> list[Answer]:
        return ask(
            [self],
            prepared,
            lambda ids: client._make(question.by_id(ids[0]), prepared),
            lambda spec: client._make(question.inline(spec), prepared),
        )

    def classify_batch(
        self,
        images: Sequence[ImageLike],
        *,
        top_k: int = 5,
        return_probabilities: bool = False,
        score_function: str | None = None,
        min_probability: float | None = None,
        **call: Unpack[CallOptions],
    ) -> list[Answer]:
        """Several images in one call, at most the server's max_batch_items. One that fails has an `error`."""
        options = Options(top_k, return_probabilities, score_function, min_probability)
        prepared = Prepared(self._client._settings, call)
        batch = Batch(images)
        if not batch.data:
            return batch.answers([])
        return batch.answers(self._ask(about_images(batch.data, options), self._client, prepared))

    def classify_embeddings(
        self,
        embeddings: npt.ArrayLike,
        *,
        in_flight: int = 4,
        wait_for_server: float = 30.0,
        top_k: int = 5,
        return_probabilities: bool = False,
        score_function: str | None = None,
        min_probability: float | None = None,
        **call: Unpack[CallOptions],
    ) -> list[Answer]:
        """One answer per row of embeddings [n, dim], as `embed_images` gave them: without an image pass, as often as
        other classes are tried. Any number of rows, with `in_flight` calls at once."""
        options = Options(top_k, return_probabilities, score_function, min_probability)
        rows = calls.embedding_rows(embeddings)
        answers: list[Answer] = []
        if not len(rows):
            return answers
        size = self._client._items(len(rows), call)
        parts = [rows[start : start + size] for start in range(0, len(rows), size)]
        with Bulk(self._client, in_flight, wait_for_server, call) as bulk:
            for _, answered in bulk.run(
                parts,
                lambda part: bulk.persist(
                    lambda twin, prepared: self._ask(about_embeddings(part, options), twin, prepared)
                ),
            ):
                answers += answered
        return answers

    def classify_many(
        self,
        images: Iterable[Item],
        *,
        image: Callable[[Item], ImageLike] | None = None,
        in_flight: int = 32,
        batch_size: int = 1,
        ordered: bool = True,
        progress: bool = False,
        wait_for_server: float = 30.0,
        top_k: int = 5,
        return_probabilities: bool = False,
        score_function: str | None = None,
        min_probability: float | None = None,
        **call: Unpack[CallOptions],
    ) -> Iterator[tuple[Item, Answer]]:
        """Any number of images, each with its answer. Memory stays flat: `images` is read as there is room.

        image            what of an item is its image, such as lambda row: row["jpg"]; the item itself
        in_flight        images at the server at once
        batch_size       images per call: over 1 the interpreter needs less time per image
        ordered          False: as they are answered
        progress         a bar (tqdm)
        wait_for_server  seconds that a server may be away, each time

        An image that fails has an `error` (a file that cannot be read: OSError) and the others go on.
        What would end all of them the same way is raised: a token that is refused, an option that is not
        allowed, a server that does not come back. A full server is asked again until the call's timeout.
        """
        options = Options(top_k, return_probabilities, score_function, min_probability)
        check_many(options, batch_size)
        bulk = Bulk(self._client, calls_in_flight(in_flight, batch_size), wait_for_server, call)
        if batch_size == 1:
            pairs = self._one_by_one(bulk, images, image_of(image), options, ordered)
        else:
            pairs = self._in_batches(bulk, images, image_of(image), options, ordered, batch_size)
        return _with_bar(pairs, len(images) if isinstance(images, Sized) else None) if progress else pairs

    def _one_by_one(
        self,
        bulk: Bulk,
        images: Iterable[Item],
        of_item: Callable[[Item], ImageLike],
        options: Options,
        ordered: bool,
    ) -> Iterator[tuple[Item, Answer]]:
        def work(item: Item) -> Answer:
            try:
                data = encode(of_item(item))
            except Exception as error:
                return Answer(error=error)
            return self._persist(bulk, about_image(data, options), 1)[0]

        with bulk:
            yield from bulk.run(images, work, ordered)

    def _in_batches(
        self,
        bulk: Bulk,
        images: Iterable[Item],
        of_item: Callable[[Item], ImageLike],
        options: Options,
        ordered: bool,
        batch_size: int,
    ) -> Iterator[tuple[Item, Answer]]:
        def work(items: list[Item]) -> list[Answer]:
            batch = Batch(items, of_item)
            answered = (self._persist(bulk, about_images(part, options), len(part)) for part in batch.parts())
            return batch.answers([answer for part in answered for answer in part])

        with bulk:
            for batch, answers in bulk.run(calls.lists(images, batch_size), work, ordered):
                yield from zip(batch, answers)

    def _persist(self, bulk: Bulk, question: Question, count: int) -> list[Answer]:
        try:
            return bulk.persist(lambda twin, prepared: self._ask(question, twin, prepared))
        except errors.ZeroshotError as error:
            return failed_alone(error, count)

    def to_csv(
        self, file: str | os.PathLike[str] | IO[str], images: Iterable[Any], *, top_k: int = 1, **how: Any
    ) -> tables.Summary:
        """Classifies them into a CSV file, a row an image as it is answered: image, class_name, probability,
        accepted, class_name_2, probability_2, ... up to top_k, other_probability, error. `how`: keywords of
        classify_many. Returns how many were answered and failed.
        """
        with tables.CsvWriter(file, top_k) as writer:
            for item, answer in self.classify_many(images, top_k=top_k, **how):
                writer.add(item, answer)
        return writer.summary

    def to_pandas(self, images: Iterable[Any], *, top_k: int = 1, **how: Any) -> pd.DataFrame:
        """The rows of `to_csv` as a DataFrame."""
        return tables.data_frame(self.classify_many(images, top_k=top_k, **how), top_k)

    def _replace(self, missed: Current, prepared: Prepared) -> Current:
        """What is in use instead of `missed`: waits for the build that is under way, or begins one."""
        if self._spec is None:
            return self._current
        with self._lock:
            if self._current is not missed:
                return self._current
            if self._rebuild is None or self._rebuild.done():
                self._rebuild = Future()
                threading.Thread(
                    target=self._build_again, args=(self._rebuild,), name="zeroshot-client-build", daemon=True
                ).start()
            rebuild = self._rebuild
        ended = threading.Event()
        rebuild.add_done_callback(lambda _: ended.set())
        unwatch = prepared.cancellation.watch(ended.set) if prepared.cancellation is not None else lambda: None
        in_time = ended.wait(prepared.left())
        unwatch()
        if rebuild.done():
            return rebuild.result()
        if not in_time:
            raise takes_longer(prepared)
        raise prepared.cancelled()

    def _build_again(self, rebuild: Future[Current]) -> None:
        try:
            built = self._client._build(cast(Spec, self._spec), False, self._call)
        except BaseException as error:
            rebuild.set_exception(error)
            return
        with self._lock:
            current = self._replaced(built)
        rebuild.set_result(current)


def _with_bar(pairs: Iterator[tuple[Item, Answer]], total: int | None) -> Iterator[tuple[Item, Answer]]:
    shown = progress.bar("classify", total, " images")
    try:
        for pair in pairs:
            yield pair
            shown.update()
    finally:
        shown.close()
