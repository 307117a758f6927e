"""Client: calls a server and waits for its answers. AsyncClient (aio_client.py) is the same for asyncio."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Callable, TypeVar

import grpc
import numpy as np
from google.protobuf import wrappers_pb2

from zeroshot_client import calls, connection, errors, types
from zeroshot_client.bulk import Bulk
from zeroshot_client.calls import Call, Options, Pages, WeightsLike
from zeroshot_client.cancellation import Cancellation
from zeroshot_client.classifier import Classifier, ask
from zeroshot_client.connection import Pem, Prepared
from zeroshot_client.images import ImageLike, encode
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

Result = TypeVar("Result")


class Client:
    """Calls a zeroshot server.

        with Client("127.0.0.1:50051") as client:
            pets = client.build(["cat", "dog"])
            print(pets("photo.jpg").top)

    It connects with its first call. Every method that calls the server takes the keywords of CallOptions
    and raises ZeroshotError.

    Thread rule: every method may be called from many threads at once; they share one connection.
    Processes: it can be pickled, and used in a process that was forked; either has a connection of its
    own there.
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
        """Does not connect yet.

        target             gRPC's: HOST:PORT, dns:///HOST:PORT (all addresses of a name), ipv4:A:PORT,B:PORT,
                           unix:PATH; calls go to several in turn. None: ZEROSHOT_TARGET, else 127.0.0.1:50051
        token              sent with every call; over TLS, or to this machine, or with token_without_tls
        tls                TLS with the system's authorities; tls_ca: with these. tls_cert, tls_key: the
                           client's own. Files, or their bytes
        timeout            seconds of a call; build_timeout: of builds, exports and imports
        max_attempts       while a server is away or full, 1 to 5; 1 turns repetitions off
        watch_health       leaves out servers that load or stop as soon as they say so; not through a proxy
        max_message_bytes  of a request and of an answer
        """
        self._open(
            connection.settings(
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
        )

    def _open(self, settings: connection.Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._channel: grpc.Channel | None = None
        self._callables: dict[str, Any] = {}
        self._closed = False
        _clients.add(self)

    def _forget_connection(self) -> None:
        # In a process that was forked: gRPC's threads, and who held the lock, are not there.
        self._lock = threading.Lock()
        self._channel, self._callables = None, {}

    def twin(self) -> Client:
        """A client of the same settings with a connection of its own."""
        twin = Client.__new__(Client)
        twin._open(self._settings)
        return twin

    def __getstate__(self) -> connection.Settings:
        return self._settings

    def __setstate__(self, settings: connection.Settings) -> None:
        self._open(settings)

    def __repr__(self) -> str:
        return f"Client({self.target!r})"

    @property
    def target(self) -> str:
        """Where it calls."""
        return self._settings.target

    def close(self) -> None:
        """Ends the connection, and the calls that are under way."""
        with self._lock:
            channel, self._channel, self._callables = self._channel, None, {}
            self._closed = True
        if channel is not None:
            channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- classifiers

    def build(
        self,
        classes: Classes | Spec,
        templates: Templates = None,
        *,
        background: Iterable[str] = (),
        temperature: float | None = None,
        name: str = "",
        progress: OnBuild = False,
        **call: Unpack[CallOptions],
    ) -> Classifier:
        """Builds a classifier, or finds it: safe to repeat.

        classes      names; ClassDefinitions; names with their prompts, {"frog": ["a green animal"]};
                     the name of a class set of the server, "imagenet-1k"; or a Spec, which has all of these
        templates    the name of a template set, "openai-imagenet-7"; one or more templates with {} for the
                     name; functions of a name. None: "a photo of a {}."
        background   names of what is none of the classes
        temperature  divides the logits
        name         for people, shown by lists
        progress     True: a bar (tqdm). A function: called with BuildProgress
        """
        spec = spec_of(classes, templates, background, temperature, name)
        return Classifier(self, spec, self._build(spec, progress, call), types.kept(call))

    def weight_set(self, weight_set_id: str, **call: Unpack[CallOptions]) -> Classifier:
        """A classifier of what the server has: by id, or its beginning of at least 8 digits. It cannot be
        built again if the server loses it.
        """
        described = self.describe_weight_set(weight_set_id, **call)
        return Classifier(self, None, types.found(described.info), types.kept(call), described.class_names)

    def classify(
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
        """Builds and classifies in one call. A classifier that is used again is cheaper by `build`."""
        spec = spec_of(classes, templates, background, temperature, "")
        options = Options(top_k, return_probabilities, score_function, min_probability)
        return self._run(calls.classify(encode(image), [], options, spec), call)[0]

    def classify_with_each(
        self,
        classifiers: Sequence[Classifier],
        image: ImageLike,
        *,
        top_k: int = 5,
        return_probabilities: bool = False,
        score_function: str | None = None,
        min_probability: float | None = None,
        **call: Unpack[CallOptions],
    ) -> list[Answer]:
        """One answer a classifier, for one pass of the image through the model."""
        options = Options(top_k, return_probabilities, score_function, min_probability)
        data = encode(image)
        prepared = Prepared(self._settings, call)
        return ask(classifiers, prepared, lambda ids: self._make(calls.classify(data, ids, options), prepared))

    # ---- embeddings

    def embed_images(
        self,
        images: Iterable[ImageLike],
        *,
        errors: str = "raise",
        batch_size: int = 16,
        in_flight: int = 4,
        wait_for_server: float = 30.0,
        **call: Unpack[CallOptions],
    ) -> FloatArray:
        """Unit vectors [n, dim]. errors: "raise" the first, or "nan": the row of an image that fails is NaN."""
        batches = calls.in_batches(map(encode, images), self._items(batch_size, call))
        return self._embed(batches, calls.embed_images, errors, in_flight, wait_for_server, call)

    def embed_texts(
        self,
        texts: Iterable[str],
        *,
        errors: str = "raise",
        batch_size: int = 64,
        in_flight: int = 2,
        wait_for_server: float = 30.0,
        **call: Unpack[CallOptions],
    ) -> FloatArray:
        """Unit vectors [n, dim] of complete prompts. errors: as embed_images."""
        if isinstance(texts, str):
            raise TypeError("texts is one text; a list of them is needed")
        batches = calls.lists(texts, self._items(batch_size, call))
        return self._embed(batches, calls.embed_texts, errors, in_flight, wait_for_server, call)

    def _items(self, wanted: int, call: CallOptions) -> int:
        """Of one call: what the server allows, at most."""
        return max(1, min(wanted, self.model(**call).limits.max_batch_items))

    def _embed(
        self,
        batches: Iterable[list[Any]],
        make: Callable[[list[Any]], Call[calls.Embedded]],
        on_error: str,
        in_flight: int,
        wait_for_server: float,
        call: CallOptions,
    ) -> FloatArray:
        if on_error not in ("raise", "nan"):
            raise errors.InvalidArgumentError(f"errors is '{on_error}'; allowed: raise, nan")
        parts: list[FloatArray] = []
        with Bulk(self, in_flight, wait_for_server, call) as bulk:
            start = 0
            for batch, (vectors, failed) in bulk.run(
                batches, lambda batch: bulk.persist(lambda twin, prepared: twin._make(make(batch), prepared))
            ):
                for index, error in failed.items():
                    if on_error == "raise":
                        raise errors.numbered(error, start + index)
                    vectors[index] = np.nan
                parts.append(vectors)
                start += len(batch)
        return np.concatenate(parts) if parts else np.zeros((0, self.model(**call).embedding_dim), np.float32)

    # ---- what the server has

    def model(self, **call: Unpack[CallOptions]) -> ModelInfo:
        """The model served, and the limits in force."""
        return self._run(calls.model(), call)

    def template_sets(self, **call: Unpack[CallOptions]) -> dict[str, tuple[str, ...]]:
        """Templates that the server knows by name."""
        return self._run(calls.template_sets(), call)

    def class_sets(self, **call: Unpack[CallOptions]) -> list[types.ClassSet]:
        """Lists of classes that the server knows by name."""
        return self._run(calls.class_sets(), call)

    def class_set(self, name: str, **call: Unpack[CallOptions]) -> list[str]:
        """The class names of one of them."""
        return self._all(calls.class_set(name), call)

    def list_weight_sets(self, **call: Unpack[CallOptions]) -> list[WeightSetInfo]:
        """What the server has, in the order of the ids."""
        return self._all(calls.weight_sets(), call)

    def describe_weight_set(self, weight_set_id: str, **call: Unpack[CallOptions]) -> WeightSet:
        """One of them with its class names: by id, or its beginning of at least 8 digits."""
        return calls.joined(self._all(calls.weight_set(weight_set_id), call))

    def delete_weight_set(self, weight_set_id: str, **call: Unpack[CallOptions]) -> None:
        """NotFoundError: there is none."""
        self._run(calls.delete_weight_set(weight_set_id), call)

    def export_weight_set(
        self,
        weight_set_id: str,
        *,
        format: str = "safetensors",
        layout: str = "",
        **call: Unpack[CallOptions],
    ) -> bytes:
        """The file of a weight set. format: safetensors, npy. layout, of npy: rows [classes, dim] (as
        without), or columns [dim, classes], as OpenAI's notebook has it.
        """
        request = calls.export(weight_set_id, format, layout)
        prepared = Prepared(self._settings, call, self._settings.build_timeout)
        pieces = self._stream(connection.EXPORT, request, prepared, lambda _: None)
        return calls.check_exported(pieces, prepared.request_id)

    def import_weight_set(
        self,
        weights: WeightsLike,
        class_names: Sequence[str] = (),
        *,
        layout: str = "",
        model_fingerprint: str = "",
        name: str = "",
        **call: Unpack[CallOptions],
    ) -> Classifier:
        """A classifier of vectors that were made elsewhere: a safetensors or .npy file, its bytes, or the
        matrix itself. class_names: where the file has none. layout: rows or columns, where the matrix is
        square. It cannot be built again if the server loses it.
        """
        content = calls.weights_file(weights)
        prepared = Prepared(self._settings, call, self._settings.build_timeout)

        def send() -> Any:
            return calls.import_messages(content, class_names, layout, model_fingerprint, name)

        next(send())  # raises here what is wrong with the arguments
        response = self._repeat(prepared, lambda: self._invoke(connection.IMPORT, send(), prepared))
        info = types.weight_set_info(response.weight_set)
        result = types.found(info, cached=response.cached, warnings=response.warnings)
        return Classifier(self, None, result, types.kept(call))

    # ---- health

    def health(self, **call: Unpack[CallOptions]) -> None:
        """Returns if the server takes calls. UnavailableError: it starts, stops or cannot be reached."""
        prepared = Prepared(self._settings, call)
        try:
            request = wrappers_pb2.StringValue(value=connection.SERVICE)
            status = self._invoke(connection.HEALTH, request, prepared).value
        except errors.CancelledError as error:
            if prepared.cancellation is not None and prepared.cancellation.cancelled:
                raise
            raise connection.cut_off(prepared) from error
        connection.check_serving(status, prepared)

    def wait_until_ready(self, timeout: float = 60.0, *, cancellation: Cancellation | None = None) -> None:
        """Returns when the server takes calls. UnavailableError: it does not within `timeout` seconds."""
        until = time.monotonic() + timeout
        call: CallOptions = {"cancellation": cancellation or Cancellation()}
        while True:
            call["timeout"] = connection.time_of_a_question(until, self._settings)
            try:
                return self.health(**call)
            except connection.NOT_READY as error:
                if time.monotonic() + connection.HEALTH_INTERVAL >= until:
                    raise connection.not_ready(self.target, timeout, error) from error
            if not call["cancellation"].sleep(connection.HEALTH_INTERVAL):
                raise errors.CancelledError("the call was cancelled", reason="CANCELLED")

    # ---- how calls are made

    def _build(self, spec: Spec, progress: OnBuild, call: CallOptions) -> BuildResult:
        prepared = Prepared(self._settings, call, self._settings.build_timeout)
        if progress is False:
            return self._make(calls.build(spec), prepared)
        shown = BuildBar(progress)
        try:
            events = self._stream(connection.BUILD_STREAM, spec.request, prepared, shown.see)
        finally:
            shown.close()
        return calls.build_result(events, prepared.request_id)

    def _run(self, call: Call[Result], options: CallOptions) -> Result:
        return self._make(call, Prepared(self._settings, options))

    def _make(self, call: Call[Result], prepared: Prepared) -> Result:
        response = self._repeat(
            prepared, lambda: self._invoke(call.method, call.request, prepared), call.repeat_unavailable
        )
        return call.convert(response, prepared.request_id)

    def _all(self, pages: Pages[Result], options: CallOptions) -> list[Result]:
        call: Call[Any] | None = pages.call
        while call is not None:
            call = pages.add(self._run(call, options))
        return pages.items

    def _repeat(self, prepared: Prepared, attempt: Callable[[], Result], unavailable_too: bool = False) -> Result:
        """What it returns; made again as long as a full server says when."""
        while True:
            try:
                return attempt()
            except errors.ZeroshotError as error:
                delay = prepared.delay(error, unavailable_too)
                if delay is None:
                    raise
            if not prepared.sleep(delay):
                raise prepared.cancelled()

    def _callable(self, method: Any) -> Any:
        found = self._callables.get(method.path)
        if found is not None:
            return found
        with self._lock:
            if self._closed:
                raise ValueError(f"the client of {self.target} is closed")
            if self._channel is None:
                credentials, options = self._settings.credentials(), self._settings.channel_options()
                self._channel = (
                    grpc.insecure_channel(self.target, options)
                    if credentials is None
                    else grpc.secure_channel(self.target, credentials, options)
                )
            return self._callables.setdefault(method.path, method.of(self._channel))

    def _invoke(self, method: Any, request: Any, prepared: Prepared) -> Any:
        """One attempt."""
        call = self._callable(method)
        cancellation = prepared.cancellation
        if cancellation is not None and cancellation.cancelled:
            raise prepared.cancelled()
        try:
            if cancellation is None:
                return call(request, timeout=prepared.left(), metadata=prepared.metadata)
            # Only a call with a future can be ended from another thread; it costs more.
            future = call.future(request, timeout=prepared.left(), metadata=prepared.metadata)
            unwatch = cancellation.watch(future.cancel)
            try:
                return future.result()
            finally:
                unwatch()
        except grpc.FutureCancelledError as error:
            raise prepared.cancelled() from error
        except grpc.RpcError as error:
            raise errors.of_rpc(error, prepared.request_id) from None
        except ValueError as error:
            # gRPC's word for a channel that another thread has closed.
            if self._closed:
                raise errors.CancelledError(
                    "the client was closed", reason="CANCELLED", request_id=prepared.request_id
                ) from error
            raise

    def _stream(self, method: Any, request: Any, prepared: Prepared, see: Callable[[Any], object]) -> list[Any]:
        """All that it sends, which `see` sees as it comes."""

        def attempt() -> list[Any]:
            if prepared.cancellation is not None and prepared.cancellation.cancelled:
                raise prepared.cancelled()
            stream = self._callable(method)(request, timeout=prepared.left(), metadata=prepared.metadata)
            unwatch = prepared.cancellation.watch(stream.cancel) if prepared.cancellation else lambda: None
            messages = []
            try:
                for message in stream:
                    see(message)
                    messages.append(message)
            except grpc.RpcError as error:
                if prepared.cancellation is not None and prepared.cancellation.cancelled:
                    raise prepared.cancelled() from None
                raise errors.of_rpc(error, prepared.request_id) from None
            finally:
                unwatch()
                stream.cancel()  # of one that was left in the middle
            return messages

        return self._repeat(prepared, attempt)


_clients: weakref.WeakSet[Client] = weakref.WeakSet()


def _after_fork() -> None:
    for client in list(_clients):
        client._forget_connection()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
