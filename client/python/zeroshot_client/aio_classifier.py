"""AsyncClassifier: Classifier for asyncio. classifier.py says what its methods mean."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Iterable, Sequence
from typing import IO, TYPE_CHECKING, Any, Callable, TypeVar

from zeroshot_client import calls, errors, tables
from zeroshot_client.aio_bulk import encode_aside, flat, lists, run, with_bar
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
from zeroshot_client.errors import ZeroshotError
from zeroshot_client.images import ImageLike
from zeroshot_client.spec import Spec
from zeroshot_client.types import (
    Answer,
    BuildResult,
    CallOptions,
    FloatArray,
)

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd
    from typing_extensions import Unpack

    from zeroshot_client.aio_client import AsyncClient

Item = TypeVar("Item")
Result = TypeVar("Result")


async def ask(
    classifiers: Sequence[AsyncClassifier],
    prepared: Prepared,
    run: Callable[[list[str]], Awaitable[Result]],
    inline: Callable[[Spec], Awaitable[Result]] | None = None,
) -> Result:
    """As classifier.ask."""
    tried = [classifier._current for classifier in classifiers]
    try:
        return await run([current.weight_set_id for current in tried])
    except (errors.NotFoundError, errors.FailedPreconditionError) as error:
        if not may_rebuild(error, classifiers):
            raise
    now = [await classifier._replace(missed, prepared) for classifier, missed in zip(classifiers, tried)]
    try:
        return await run([current.weight_set_id for current in now])
    except errors.NotFoundError:
        spec = classifiers[0]._inline_spec() if inline is not None else None
        if inline is None or spec is None:
            raise
    return await inline(spec)


class AsyncClassifier(ClassifierBase["AsyncClient"]):
    """Says what images show, in its classes. Made by AsyncClient.build; as Classifier, built again by itself.

    Thread rule: it belongs to its client's event loop.
    """

    def __init__(
        self,
        client: AsyncClient,
        spec: Spec | None,
        built: BuildResult,
        call: CallOptions,
        class_names: Sequence[str] = (),
    ) -> None:
        super().__init__(client, spec, built, call, class_names)
        self._rebuild: asyncio.Task[Current] | None = None

    async def class_names(self) -> tuple[str, ...]:
        """As Classifier.class_names."""
        if not self._class_names:
            prepared = self._client._prepare(self._call)
            described = await ask([self], prepared, lambda ids: self._client.describe_weight_set(ids[0], **self._call))
            self._class_names = described.class_names
        return self._class_names

    async def weights(self) -> FloatArray:
        """As Classifier.weights."""
        return (await self._matrix())[: self._built.num_classes]

    async def background_weights(self) -> FloatArray:
        """As Classifier.background_weights."""
        return (await self._matrix())[self._built.num_classes :]

    async def _matrix(self) -> FloatArray:
        if self._weights is None:
            self._weights = calls.load_matrix(await self.export(format="npy"))
        return self._weights

    async def export(self, *, format: str = "safetensors", layout: str = "", **call: Unpack[CallOptions]) -> bytes:
        """As Classifier.export."""
        prepared = self._client._prepare(call, self._client._settings.build_timeout)
        return await ask(
            [self],
            prepared,
            lambda ids: self._client.export_weight_set(ids[0], format=format, layout=layout, **call),
        )

    async def __call__(
        self,
        image: ImageLike,
        *,
        top_k: int = 5,
        return_probabilities: bool = False,
        score_function: str | None = None,
        min_probability: float | None = None,
        **call: Unpack[CallOptions],
    ) -> Answer:
        """As Classifier's. A file is read on a thread, so that the event loop does not wait for it."""
        options = Options(top_k, return_probabilities, score_function, min_probability)
        prepared = self._client._prepare(call)
        return (await self._ask(about_image(await encode_aside(image), options), prepared))[0]

    async def _ask(self, question: Question, prepared: Prepared) -> list[Answer]:
        make = self._client._make
        return await ask(
            [self],
            prepared,
            lambda ids: make(question.by_id(ids[0]), prepared),
            lambda spec: make(question.inline(spec), prepared),
        )

    async def classify_batch(
        self,
        images: Sequence[ImageLike],
        *,
        top_k: int = 5,
        return_probabilities: bool = False,
        score_function: str | None = None,
        min_probability: float | None = None,
        **call: Unpack[CallOptions],
    ) -> list[Answer]:
        """As Classifier.classify_batch."""
        options = Options(top_k, return_probabilities, score_function, min_probability)
        prepared = self._client._prepare(call)
        batch = await asyncio.to_thread(Batch, images)
        answered = await self._ask(about_images(batch.data, options), prepared) if batch.data else []
        return batch.answers(answered)

    async def classify_embeddings(
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
        """As Classifier.classify_embeddings."""
        options = Options(top_k, return_probabilities, score_function, min_probability)
        rows = calls.embedding_rows(embeddings)
        answers: list[Answer] = []
        if not len(rows):
            return answers

        async def work(part: FloatArray) -> list[Answer]:
            return await self._client._across_restarts(
                call,
                wait_for_server,
                lambda prepared: self._ask(about_embeddings(part, options), prepared),
            )

        size = await self._client._items(len(rows), call)
        parts = [rows[start : start + size] for start in range(0, len(rows), size)]
        async for _, answered in run(parts, work, in_flight):
            answers += answered
        return answers

    def classify_many(
        self,
        images: Iterable[Item] | AsyncIterable[Item],
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
    ) -> AsyncGenerator[tuple[Item, Answer], None]:
        """As Classifier.classify_many, of an iterable or an async one."""
        options = Options(top_k, return_probabilities, score_function, min_probability)
        check_many(options, batch_size)
        self._client._prepare(call)
        of_item = image_of(image)

        async def persist(question: Question, count: int) -> list[Answer]:
            try:
                return await self._client._across_restarts(
                    call, wait_for_server, lambda prepared: self._ask(question, prepared)
                )
            except ZeroshotError as error:
                return failed_alone(error, count)

        async def one(item: Item) -> Answer:
            try:
                data = await encode_aside(of_item(item))
            except Exception as error:
                return Answer(error=error)
            return (await persist(about_image(data, options), 1))[0]

        async def several(items: list[Item]) -> list[Answer]:
            batch = await asyncio.to_thread(Batch, items, of_item)
            answered: list[Answer] = []
            for part in batch.parts():
                answered += await persist(about_images(part, options), len(part))
            return batch.answers(answered)

        if batch_size == 1:
            pairs = run(images, one, in_flight, ordered)
        else:
            limit = calls_in_flight(in_flight, batch_size)
            pairs = flat(run(lists(images, batch_size), several, limit, ordered))
        return with_bar(pairs, images) if progress else pairs

    async def to_csv(
        self, file: str | os.PathLike[str] | IO[str], images: Any, *, top_k: int = 1, **how: Any
    ) -> tables.Summary:
        """As Classifier.to_csv."""
        with tables.CsvWriter(file, top_k) as writer:
            async for item, answer in self.classify_many(images, top_k=top_k, **how):
                writer.add(item, answer)
        return writer.summary

    async def to_pandas(self, images: Any, *, top_k: int = 1, **how: Any) -> pd.DataFrame:
        """As Classifier.to_pandas."""
        pairs = [pair async for pair in self.classify_many(images, top_k=top_k, **how)]
        return tables.data_frame(pairs, top_k)

    async def _replace(self, missed: Current, prepared: Prepared) -> Current:
        if self._spec is None or self._current is not missed:
            return self._current
        if self._rebuild is None or self._rebuild.done():
            self._rebuild = asyncio.ensure_future(self._build_again(self._spec))
        rebuild = self._rebuild
        await asyncio.wait({rebuild}, timeout=prepared.left())
        if not rebuild.done():
            raise takes_longer(prepared)
        return rebuild.result()

    async def _build_again(self, spec: Spec) -> Current:
        return self._replaced(await self._client._build(spec, False, self._call))
