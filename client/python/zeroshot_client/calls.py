"""The calls of a server, as values: what is sent, and what is made of the answer.

Sync and asyncio clients make them each in their way. Internal.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Callable, Generic, TypeVar, Union

import numpy as np
import numpy.typing as npt

from zeroshot_client import connection, errors, types
from zeroshot_client._proto import zeroshot_pb2 as pb
from zeroshot_client.errors import InvalidArgumentError
from zeroshot_client.spec import Spec
from zeroshot_client.types import Answer, FloatArray, WeightSet

Item = TypeVar("Item")
Result = TypeVar("Result")
NAMES_OF_A_PAGE = 10_000
PIECE = 1 << 20  # of a file that is imported
# Bytes of the images of one message; a server takes 32 MiB unless told otherwise.
BATCH_BYTES = 16 << 20
LAYOUTS = {
    "": pb.MATRIX_LAYOUT_UNSPECIFIED,
    "rows": pb.MATRIX_LAYOUT_CLASS_ROWS,
    "columns": pb.MATRIX_LAYOUT_CLASS_COLUMNS,
}
FORMATS = {"safetensors": pb.WEIGHT_SET_FORMAT_SAFETENSORS, "npy": pb.WEIGHT_SET_FORMAT_NPY}


@dataclasses.dataclass(frozen=True)
class Call(Generic[Result]):
    """One call. repeat_unavailable: gRPC does not repeat it, but the server may say that it did nothing."""

    method: Any
    request: Any
    convert: Callable[[Any, str], Result]  # of the response and the request's id
    repeat_unavailable: bool = False


class Pages(Generic[Result]):
    """A list that comes in pages: ask `call`, hand the response to `add`, until that returns None."""

    def __init__(self, method: Any, request: Any, take: Callable[[Any], Iterable[Result]]) -> None:
        self.call: Call[Any] = Call(method, request, lambda response, _: response)
        self.items: list[Result] = []
        self._take = take

    def add(self, response: Any) -> Call[Any] | None:
        """The call for the next page; None: this was the last."""
        self.items.extend(self._take(response))
        token = response.next_page_token
        if not token:
            return None
        # A token that repeats would keep us here for ever.
        if token == self.call.request.page_token:
            raise errors.InternalError("the server gave the same page token twice")
        self.call.request.page_token = token
        return self.call


@dataclasses.dataclass(frozen=True)
class Options:
    """How an image is scored: keywords of every classification."""

    top_k: int = 5
    return_probabilities: bool = False
    score_function: str | None = None
    min_probability: float | None = None

    def set(self, request: Any) -> None:
        """Sets the fields of a ClassifyRequest or a ClassifyBatchRequest."""
        if self.top_k < 1:
            raise InvalidArgumentError(f"top_k is {self.top_k}; it must be at least 1")
        request.top_k = self.top_k
        request.return_probabilities = self.return_probabilities
        if self.score_function is not None:
            request.score_function = _choice(types.SCORE_FUNCTIONS, self.score_function, "score_function")
        if self.min_probability is not None:
            request.min_probability = self.min_probability


def _choice(allowed: dict[str, Any], name: str, what: str) -> Any:
    if name not in allowed:
        raise InvalidArgumentError(f"{what} is '{name}'; allowed: {', '.join(filter(None, allowed))}")
    return allowed[name]


def build(spec: Spec) -> Call[types.BuildResult]:
    """Without progress."""
    return Call(connection.BUILD, spec.request, lambda response, _: types.build_result(response))


def build_result(events: Sequence[pb.BuildClassifierStreamResponse], request_id: str) -> types.BuildResult:
    """Of a build with progress."""
    if not events or not events[-1].HasField("result"):
        raise errors.InternalError("the server ended a build without a result", request_id=request_id)
    return types.build_result(events[-1].result)


def classify(
    image: bytes, weight_set_ids: Sequence[str], options: Options, classifier: Spec | None = None
) -> Call[list[Answer]]:
    """One answer an id; or one, of the classifier itself."""
    request = pb.ClassifyRequest(image=image)
    options.set(request)
    if classifier is not None:
        request.classifier.CopyFrom(classifier.request)
    else:
        if not weight_set_ids:
            raise InvalidArgumentError("no classifier is given")
        request.weight_set_id = weight_set_ids[0]
        request.more_weight_set_ids.extend(weight_set_ids[1:])

    def convert(response: pb.ClassifyResponse, request_id: str) -> list[Answer]:
        answers = [Answer(response, weight_set_id=response.weight_set_id, request_id=request_id)]
        answers += (Answer(more, weight_set_id=more.weight_set_id, request_id=request_id) for more in response.more)
        if len(answers) != max(1, len(weight_set_ids)):
            raise errors.InternalError(
                f"the server gave {len(answers)} answers for {max(1, len(weight_set_ids))} weight sets",
                request_id=request_id,
            )
        return answers

    return Call(connection.CLASSIFY, request, convert)


def classify_batch(
    images: Sequence[bytes], weight_set_id: str, options: Options, classifier: Spec | None = None
) -> Call[list[Answer]]:
    """One answer an image."""
    request = pb.ClassifyBatchRequest(images=images, weight_set_id=weight_set_id)
    return _classify_batch(request, len(images), options, classifier)


def classify_embeddings(
    embeddings: FloatArray, weight_set_id: str, options: Options, classifier: Spec | None = None
) -> Call[list[Answer]]:
    """One answer per row of [n, dim]."""
    request = pb.ClassifyBatchRequest(weight_set_id=weight_set_id)
    # The field as it is on the wire, tag, length and floats: number by number would take as long as scoring.
    data = embeddings.astype("<f4", copy=False).tobytes()
    tag = pb.ClassifyBatchRequest.EMBEDDINGS_FIELD_NUMBER << 3 | 2
    request.MergeFromString(bytes([tag]) + _varint(len(data)) + data)
    return _classify_batch(request, len(embeddings), options, classifier)


def embedding_rows(embeddings: npt.ArrayLike) -> FloatArray:
    """[n, dim] of what a caller gave, which may be one vector."""
    rows = np.atleast_2d(np.asarray(embeddings, dtype=np.float32))
    if rows.ndim != 2:
        raise InvalidArgumentError(f"embeddings of shape {list(rows.shape)}; [n, dim] is needed")
    return rows


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _classify_batch(
    request: pb.ClassifyBatchRequest, count: int, options: Options, classifier: Spec | None
) -> Call[list[Answer]]:
    options.set(request)
    if classifier is not None:
        request.classifier.CopyFrom(classifier.request)

    def convert(response: pb.ClassifyBatchResponse, request_id: str) -> list[Answer]:
        if len(response.items) != count:
            raise errors.InternalError(
                f"the server gave {len(response.items)} answers for {count} images",
                request_id=request_id,
            )
        return [
            Answer(item.answer, weight_set_id=response.weight_set_id, request_id=request_id)
            if item.status.code == 0
            else Answer(error=errors.of_item(item.status, request_id), request_id=request_id)
            for item in response.items
        ]

    return Call(connection.CLASSIFY_BATCH, request, convert)


# The vectors of a batch, and the errors of the items that failed, by index.
Embedded = tuple[FloatArray, dict[int, Exception]]


def _embedded(count: int) -> Callable[[Any, str], Embedded]:
    def convert(response: Any, request_id: str) -> Embedded:
        vectors = np.array(response.embeddings, dtype=np.float32)
        if len(response.statuses) != count or vectors.size != count * response.embedding_dim:
            raise errors.InternalError(
                f"the server gave {vectors.size} numbers for {count} items", request_id=request_id
            )
        failed: dict[int, Exception] = {
            index: errors.of_item(status, request_id)
            for index, status in enumerate(response.statuses)
            if status.code != 0
        }
        return vectors.reshape(count, response.embedding_dim), failed

    return convert


def embed_images(images: Sequence[bytes]) -> Call[Embedded]:
    """A batch of them."""
    return Call(connection.EMBED_IMAGES, pb.EmbedImagesRequest(images=images), _embedded(len(images)))


def embed_texts(texts: Sequence[str]) -> Call[Embedded]:
    """A batch of them."""
    return Call(connection.EMBED_TEXTS, pb.EmbedTextsRequest(texts=texts), _embedded(len(texts)))


def model() -> Call[types.ModelInfo]:
    """What is served."""
    return Call(connection.GET_MODEL, pb.GetModelRequest(), lambda response, _: types.model_info(response))


def template_sets() -> Call[dict[str, tuple[str, ...]]]:
    """Templates by name of their set."""
    return Call(
        connection.LIST_TEMPLATE_SETS,
        pb.ListTemplateSetsRequest(),
        lambda response, _: {item.name: tuple(item.templates) for item in response.template_sets},
    )


def class_sets() -> Call[list[types.ClassSet]]:
    """Without their names."""
    return Call(
        connection.LIST_CLASS_SETS,
        pb.ListClassSetsRequest(),
        lambda response, _: [
            types.ClassSet(item.name, item.num_classes, item.template_set) for item in response.class_sets
        ],
    )


def class_set(name: str) -> Pages[str]:
    """Names of its classes."""
    request = pb.GetClassSetRequest(class_set=name, page_size=NAMES_OF_A_PAGE)
    return Pages(connection.GET_CLASS_SET, request, lambda page: page.class_names)


def weight_sets() -> Pages[types.WeightSetInfo]:
    """All of them."""
    return Pages(
        connection.LIST_WEIGHT_SETS,
        pb.ListWeightSetsRequest(),
        lambda page: map(types.weight_set_info, page.weight_sets),
    )


def weight_set(weight_set_id: str) -> Pages[pb.GetWeightSetResponse]:
    """Its pages, for `joined`."""
    request = pb.GetWeightSetRequest(weight_set_id=weight_set_id, page_size=NAMES_OF_A_PAGE)
    return Pages(connection.GET_WEIGHT_SET, request, lambda page: [page])


def joined(pages: Sequence[pb.GetWeightSetResponse]) -> WeightSet:
    """A weight set of its pages."""
    decisions = [decision for page in pages for decision in page.decisions]
    return WeightSet(
        info=types.weight_set_info(pages[0].weight_set),
        class_names=tuple(name for page in pages for name in page.class_names),
        background=tuple(name for page in pages for name in page.background),
        min_probabilities={
            decision.class_index: decision.min_probability
            for decision in decisions
            if decision.HasField("min_probability")
        },
        groups={decision.class_index: decision.group for decision in decisions if decision.group},
    )


def delete_weight_set(weight_set_id: str) -> Call[None]:
    """NotFoundError: there is none."""
    request = pb.DeleteWeightSetRequest(weight_set_id=weight_set_id)
    return Call(connection.DELETE_WEIGHT_SET, request, lambda *_: None, repeat_unavailable=True)


def export(weight_set_id: str, format: str, layout: str) -> pb.ExportWeightSetRequest:
    """Of a call that streams pieces."""
    return pb.ExportWeightSetRequest(
        weight_set_id=weight_set_id,
        format=_choice(FORMATS, format, "format"),
        layout=_choice(LAYOUTS, layout, "layout"),
    )


def check_exported(pieces: Sequence[pb.ExportWeightSetResponse], request_id: str) -> bytes:
    """The file. DataLossError: pieces are missing."""
    content = b"".join(piece.data for piece in pieces)
    expected = pieces[0].total_bytes if pieces else 0
    if len(content) != expected or not pieces:
        raise errors.DataLossError(
            f"{len(content)} bytes of an exported file arrived; it has {expected}",
            reason="TRANSFER_DAMAGED",
            request_id=request_id,
        )
    return content


# Bytes of a safetensors or .npy file, the path of one, or the matrix itself.
WeightsLike = Union[bytes, str, "os.PathLike[str]", "np.ndarray[Any, Any]"]


def weights_file(weights: WeightsLike) -> bytes:
    """The bytes of a file to import."""
    if isinstance(weights, bytes):
        return weights
    if isinstance(weights, (str, os.PathLike)):
        with open(weights, "rb") as file:
            return file.read()
    # A torch tensor becomes one too.
    array = np.asarray(weights)
    content = io.BytesIO()
    np.save(content, array, allow_pickle=False)
    return content.getvalue()


def import_messages(
    content: bytes, class_names: Sequence[str], layout: str, model_fingerprint: str, name: str
) -> Iterator[pb.ImportWeightSetRequest]:
    """What is sent of a file: headers of at most PIECE bytes of names, then data."""
    header = pb.ImportWeightSetHeader(
        layout=_choice(LAYOUTS, layout, "layout"),
        model_fingerprint=model_fingerprint,
        total_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        display_name=name,
    )
    size = 0
    for class_name in class_names:
        if size > PIECE:
            yield pb.ImportWeightSetRequest(header=header)
            header, size = pb.ImportWeightSetHeader(), 0
        header.class_names.append(class_name)
        size += len(class_name.encode()) + 6
    yield pb.ImportWeightSetRequest(header=header)
    for start in range(0, len(content), PIECE):
        yield pb.ImportWeightSetRequest(data=content[start : start + PIECE])


def load_matrix(content: bytes) -> FloatArray:
    """Of an exported .npy file."""
    matrix: FloatArray = np.load(io.BytesIO(content), allow_pickle=False).astype(np.float32, copy=False)
    return matrix


def lists(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """`size` items each, and the rest."""
    batch: list[Item] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def in_batches(items: Iterable[bytes], size: int) -> Iterator[list[bytes]]:
    """At most `size` of them and about BATCH_BYTES together."""
    batch: list[bytes] = []
    total = 0
    for item in items:
        if batch and (len(batch) == size or total + len(item) > BATCH_BYTES):
            yield batch
            batch, total = [], 0
        batch.append(item)
        total += len(item)
    if batch:
        yield batch
