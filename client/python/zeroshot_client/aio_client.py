"""AsyncClient: Client for asyncio. client.py says what its methods mean. To end a call cancel its task."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Callable, TypeVar

import grpc
import grpc.aio
import numpy as np
from google.protobuf import wrappers_pb2

from zeroshot_client import calls, connection, errors, types
from zeroshot_client.aio_bulk import encode_aside, run
from zeroshot_client.aio_classifier import AsyncClassifier, ask
from zeroshot_client.bulk import TRIES, ServerGoneError
from zeroshot_client.calls import Call, Options, Pages, WeightsLike
from zeroshot_client.cancellation import Cancellation
from zeroshot_client.connection import Pem, Prepared
from zeroshot_client.errors import InvalidArgumentError, UnavailableError, ZeroshotError
from zeroshot_client.images import ImageLike
from zeroshot_client.progress import BuildBar, OnBuild
from zeroshot_client.spec import Classes, Spec, Templates, spec_of
from zeroshot_client.types import (
    Answer,
    BuildResult,
    CallOptions,
    FloatArray,
    ModelInfo,
    WeightSet,
    WeightSetInfo,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack

Item = TypeVar("Item")
Result = TypeVar("Result")


class AsyncClient:
    """Calls a zeroshot server from coroutines.

        async with AsyncClient("127.0.0.1:50051") as client:
            pets = await client.build(["cat", "dog"])
            print((await pets("photo.jpg")).top)

    Thread rule: it belongs to the event loop of its first call. gRPC's asyncio API is made for one loop at a
    time in a process.
    """

    def __init__(
        self,
        target: str | None = None,
        *,
        token: str | None = None,
        tls: bool | None = None,
        tls_ca: Pem = None,
        tls_cert: Pem = None,
        tls_key: Pem = None,
        token_without_tls: bool = False,
        timeout: float = 60.0,
        build_timeout: float = 3600.0,
        max_attempts: int = connection.MAX_ATTEMPTS,
        watch_health: bool = False,
        max_message_bytes: int = 64 << 20,
    ) -> None:
        """As Client's. Does not connect yet."""
        self._settings = connection.settings(
            target,
            token=token,
            tls=tls,
            tls_ca=tls_ca,
            tls_cert=tls_cert,
            tls_key=tls_key,
            token_without_tls=token_without_tls,
            timeout=timeout,
            build_timeout=build_timeout,
            max_attempts=max_attempts,
            watch_health=watch_health,
            max_message_bytes=max_message_bytes,
        )
        self._channel: grpc.aio.Channel | None = None
        self._callables: dict[str, Any] = {}
        self._waiting: asyncio.Lock | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"AsyncClient({self.target!r})"

    @property
    def target(self) -> str:
        """Where it calls."""
        return self._settings.target

    async def close(self) -> None:
        """Ends the connection, and the calls that are under way."""
        channel, self._channel, self._callables, self._closed = self._channel, None, {}, True
        if channel is not None:
            await channel.close(None)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # ---- classifiers

    async def build(
        self,
        classes: Classes | Spec,
        templates: Templates = None,
        *,
        background: Iterable[str] = (),
        temperature: float | None = None,
        name: str = "",
        progress: OnBuild = False,
        **call: Unpack[CallOptions],
    ) -> AsyncClassifier:
        """As Client.build."""
        spec = spec_of(classes, templates, background, temperature, name)
        return AsyncClassifier(self, spec, await self._build(spec, progress, call), types.kept(call))

    async def weight_set(self, weight_set_id: str, **call: Unpack[CallOptions]) -> AsyncClassifier:
        """As Client.weight_set."""
        described = await self.describe_weight_set(weight_set_id, **call)
        return AsyncClassifier(self, None, types.found(described.info), types.kept(call), described.class_names)

    async def classify(
        self,
        image: ImageLike,
        classes: Classes | Spec,
        templates: Templates = None,
        *,
        top_k: int = 5,
        return_probabilities: bool = False,
        score_function: str | None = None,
        min_probability: float | None = None,
        background: Iterable[str] = (),
        temperature: float | None = None,
        **call: Unpack[CallOptions],
    ) -> Answer:
        """As Client.classify."""
        spec = spec_of(classes, templates, background, temperature, "")
        options = Options(top_k, return_probabilities, score_function, min_probability)
        return (await self._run(calls.classify(await encode_aside(image), [], options, spec), call))[0]

    async def classify_with_each(
        self,
        classifiers: Sequence[AsyncClassifier],
        image: ImageLike,
        *,
        top_k: int = 5,
        return_probabilities: bool = False,
        score_function: str | None = None,
        min_probability: float | None = None,
        **call: Unpack[CallOptions],
    ) -> list[Answer]:
        """As Client.classify_with_each."""
        options = Options(top_k, return_probabilities, score_function, min_probability)
        data = await encode_aside(image)
        prepared = self._prepare(call)
        return await ask(classifiers, prepared, lambda ids: self._make(calls.classify(data, ids, options), prepared))

    # ---- embeddings

    async def embed_images(
        self,
        images: Iterable[ImageLike],
        *,
        errors: str = "raise",
        batch_size: int = 16,
        in_flight: int = 4,
        wait_for_server: float = 30.0,
        **call: Unpack[CallOptions],
    ) -> FloatArray:
        """As Client.embed_images."""

        async def work(batch: list[ImageLike]) -> tuple[int, list[calls.Embedded]]:
            data = [await encode_aside(image) for image in batch]
            parts = calls.in_batches(data, batch_size)
            return len(batch), [await self._persist(call, wait_for_server, calls.embed_images(p)) for p in parts]

        return await self._embed(
            calls.lists(images, await self._items(batch_size, call)), work, errors, in_flight, call
        )

    async def embed_texts(
        self,
        texts: Iterable[str],
        *,
        errors: str = "raise",
        batch_size: int = 64,
        in_flight: int = 2,
        wait_for_server: float = 30.0,
        **call: Unpack[CallOptions],
    ) -> FloatArray:
        """As Client.embed_texts."""
        if isinstance(texts, str):
            raise TypeError("texts is one text; a list of them is needed")

        async def work(batch: list[str]) -> tuple[int, list[calls.Embedded]]:
            return len(batch), [await self._persist(call, wait_for_server, calls.embed_texts(batch))]

        return await self._embed(calls.lists(texts, await self._items(batch_size, call)), work, errors, in_flight, call)

    async def _items(self, wanted: int, call: CallOptions) -> int:
        return max(1, min(wanted, (await self.model(**call)).limits.max_batch_items))

    async def _embed(
        self,
        batches: Iterable[list[Item]],
        work: Callable[[list[Item]], Awaitable[tuple[int, list[calls.Embedded]]]],
        on_error: str,
        in_flight: int,
        call: CallOptions,
    ) -> FloatArray:
        if on_error not in ("raise", "nan"):
            raise InvalidArgumentError(f"errors is '{on_error}'; allowed: raise, nan")
        parts: list[FloatArray] = []
        start = 0
        async for _, (_count, embedded) in run(batches, work, in_flight):
            for vectors, failed in embedded:
                for index, error in failed.items():
                    if on_error == "raise":
                        raise errors.numbered(error, start + index)
                    vectors[index] = np.nan
                parts.append(vectors)
                start += len(vectors)
        if parts:
            return np.concatenate(parts)
        return np.zeros((0, (await self.model(**call)).embedding_dim), np.float32)

    # ---- what the server has

    async def model(self, **call: Unpack[CallOptions]) -> ModelInfo:
        """As Client.model."""
        return await self._run(calls.model(), call)

    async def template_sets(self, **call: Unpack[CallOptions]) -> dict[str, tuple[str, ...]]:
        """As Client.template_sets."""
        return await self._run(calls.template_sets(), call)

    async def class_sets(self, **call: Unpack[CallOptions]) -> list[types.ClassSet]:
        """As Client.class_sets."""
        return await self._run(calls.class_sets(), call)

    async def class_set(self, name: str, **call: Unpack[CallOptions]) -> list[str]:
        """As Client.class_set."""
        return await self._all(calls.class_set(name), call)

    async def list_weight_sets(self, **call: Unpack[CallOptions]) -> list[WeightSetInfo]:
        """As Client.list_weight_sets."""
        return await self._all(calls.weight_sets(), call)

    async def describe_weight_set(self, weight_set_id: str, **call: Unpack[CallOptions]) -> WeightSet:
        """As Client.describe_weight_set."""
        return calls.joined(await self._all(calls.weight_set(weight_set_id), call))

    async def delete_weight_set(self, weight_set_id: str, **call: Unpack[CallOptions]) -> None:
        """As Client.delete_weight_set."""
        await self._run(calls.delete_weight_set(weight_set_id), call)

    async def export_weight_set(
        self,
        weight_set_id: str,
        *,
        format: str = "safetensors",
        layout: str = "",
        **call: Unpack[CallOptions],
    ) -> bytes:
        """As Client.export_weight_set."""
        request = calls.export(weight_set_id, format, layout)
        prepared = self._prepare(call, self._settings.build_timeout)
        pieces = await self._stream(connection.EXPORT, request, prepared, lambda _: None)
        return calls.check_exported(pieces, prepared.request_id)

    async def import_weight_set(
        self,
        weights: WeightsLike,
        class_names: Sequence[str] = (),
        *,
        layout: str = "",
        model_fingerprint: str = "",
        name: str = "",
        **call: Unpack[CallOptions],
    ) -> AsyncClassifier:
        """As Client.import_weight_set."""
        content = await asyncio.to_thread(calls.weights_file, weights)
        prepared = self._prepare(call, self._settings.build_timeout)
        messages = list(calls.import_messages(content, class_names, layout, model_fingerprint, name))
        response = await self._repeat(prepared, lambda: self._invoke(connection.IMPORT, iter(messages), prepared))
        info = types.weight_set_info(response.weight_set)
        result = types.found(info, cached=response.cached, warnings=response.warnings)
        return AsyncClassifier(self, None, result, types.kept(call))

    # ---- health

    async def health(self, **call: Unpack[CallOptions]) -> None:
        """As Client.health."""
        prepared = self._prepare(call)
        try:
            request = wrappers_pb2.StringValue(value=connection.SERVICE)
            status = (await self._invoke(connection.HEALTH, request, prepared)).value
        except errors.CancelledError as error:
            raise connection.cut_off(prepared) from error
        connection.check_serving(status, prepared)

    async def wait_until_ready(self, timeout: float = 60.0) -> None:
        """As Client.wait_until_ready."""
        until = time.monotonic() + timeout
        while True:
            try:
                return await self.health(timeout=connection.time_of_a_question(until, self._settings))
            except connection.NOT_READY as error:
                if time.monotonic() + connection.HEALTH_INTERVAL >= until:
                    raise connection.not_ready(self.target, timeout, error) from error
            await asyncio.sleep(connection.HEALTH_INTERVAL)

    # ---- how calls are made

    def _prepare(
        self, call: CallOptions, timeout: float | None = None, persistent: Cancellation | None = None
    ) -> Prepared:
        if "cancellation" in call:
            raise TypeError("cancellation is for the sync client; with asyncio cancel the task")
        return Prepared(self._settings, call, timeout, persistent)

    async def _build(self, spec: Spec, progress: OnBuild, call: CallOptions) -> BuildResult:
        prepared = self._prepare(call, self._settings.build_timeout)
        if progress is False:
            return await self._make(calls.build(spec), prepared)
        shown = BuildBar(progress)
        try:
            events = await self._stream(connection.BUILD_STREAM, spec.request, prepared, shown.see)
        finally:
            shown.close()
        return calls.build_result(events, prepared.request_id)

    async def _run(self, call: Call[Result], options: CallOptions) -> Result:
        return await self._make(call, self._prepare(options))

    async def _make(self, call: Call[Result], prepared: Prepared) -> Result:
        response = await self._repeat(
            prepared, lambda: self._invoke(call.method, call.request, prepared), call.repeat_unavailable
        )
        return call.convert(response, prepared.request_id)

    async def _all(self, pages: Pages[Result], options: CallOptions) -> list[Result]:
        call: Call[Any] | None = pages.call
        while call is not None:
            call = pages.add(await self._run(call, options))
        return pages.items

    async def _repeat(
        self, prepared: Prepared, attempt: Callable[[], Awaitable[Result]], unavailable_too: bool = False
    ) -> Result:
        while True:
            try:
                return await attempt()
            except ZeroshotError as error:
                delay = prepared.delay(error, unavailable_too)
                if delay is None:
                    raise
            await asyncio.sleep(delay)

    async def _persist(self, call: CallOptions, wait_for_server: float, one: Call[Result]) -> Result:
        return await self._across_restarts(call, wait_for_server, lambda prepared: self._make(one, prepared))

    async def _across_restarts(
        self, call: CallOptions, wait_for_server: float, attempt: Callable[[Prepared], Awaitable[Result]]
    ) -> Result:
        """As Bulk.persist."""
        for _ in range(TRIES):
            try:
                return await attempt(self._prepare(call, persistent=Cancellation()))
            except (errors.UnavailableError, errors.CancelledError) as error:
                last = error
            if wait_for_server <= 0:
                raise ServerGoneError(last)
            try:
                # One asks for all: a server answers few such questions at once.
                self._waiting = self._waiting or asyncio.Lock()
                async with self._waiting:
                    await self.wait_until_ready(wait_for_server)
            except UnavailableError as gone:
                raise ServerGoneError(gone) from last
        raise connection.gone_again(last)

    def _callable(self, method: Any) -> Any:
        found = self._callables.get(method.path)
        if found is not None:
            return found
        if self._closed:
            raise ValueError(f"the client of {self.target} is closed")
        if self._channel is None:
            credentials, options = self._settings.credentials(), self._settings.channel_options()
            self._channel = (
                grpc.aio.insecure_channel(self.target, options)
                if credentials is None
                else grpc.aio.secure_channel(self.target, credentials, options)
            )
        return self._callables.setdefault(method.path, method.of(self._channel))

    async def _invoke(self, method: Any, request: Any, prepared: Prepared) -> Any:
        call = self._callable(method)
        try:
            return await call(request, timeout=prepared.left(), metadata=prepared.metadata)
        except grpc.RpcError as error:
            raise errors.of_rpc(error, prepared.request_id) from None

    async def _stream(self, method: Any, request: Any, prepared: Prepared, see: Callable[[Any], object]) -> list[Any]:
        async def attempt() -> list[Any]:
            stream = self._callable(method)(request, timeout=prepared.left(), metadata=prepared.metadata)
            messages = []
            try:
                async for message in stream:
                    see(message)
                    messages.append(message)
            except grpc.RpcError as error:
                raise errors.of_rpc(error, prepared.request_id) from None
            finally:
                stream.cancel()  # of one that was left in the middle
            return messages

        return await self._repeat(prepared, attempt)
