"""What goes into and comes out of a Client: plain values that can be pickled.

The meaning of every field is the wire contract's, proto/zeroshot/v1/zeroshot.proto. Times are seconds.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from typing import Any, NamedTuple, TypedDict

import numpy as np
import numpy.typing as npt

from zeroshot_client._proto import zeroshot_pb2 as pb
from zeroshot_client.cancellation import Cancellation
from zeroshot_client.images import ImageLike

FloatArray = npt.NDArray[np.float32]


class CallOptions(TypedDict, total=False):
    """Keywords that every call takes.

    timeout       seconds until the call must be over, repetitions included, instead of the client's
    request_id    1 to 64 of A-Z a-z 0-9 . _ -, for the server's log, instead of one made up here
    metadata      sent with the call, such as [("traceparent", "00-...")]
    token         instead of the client's
    cancellation  ends the call when it is cancelled (sync clients; with asyncio cancel the task)
    """

    timeout: float
    request_id: str
    metadata: Sequence[tuple[str, str | bytes]]
    token: str
    cancellation: Cancellation


@dataclasses.dataclass(frozen=True)
class ClassDefinition:
    """A class with more than a name.

    prompts          complete prompts, instead of templates x name
    min_probability  from which on a prediction is `accepted`
    group            name of the group that the class belongs to

    What shows the class, mixed with what its prompts say:

    example_images      images, as a Classifier takes them
    example_embeddings  vectors as embed_images gives them, [n, dim] or [dim]
    example_weight      the examples' share, over 0 to 1; at 1 the class has no prompts. None: 0.5
    """

    name: str
    prompts: Sequence[str] = ()
    min_probability: float | None = None
    group: str = ""
    example_images: Sequence[ImageLike] = ()
    example_embeddings: npt.ArrayLike | None = None
    example_weight: float | None = None


class Prediction(NamedTuple):
    """One class, scored."""

    class_index: int
    class_name: str
    probability: float
    logit: float
    cosine: float
    accepted: bool

    def __str__(self) -> str:
        return f"{self.class_name} {self.probability:.1%}"


class GroupScore(NamedTuple):
    """A group of classes, scored."""

    group: str
    probability: float


class Timing(NamedTuple):
    """Where the time of a classification went, in the server."""

    decode: float
    preprocess: float
    queue: float
    compute: float
    total: float


class BuildTiming(NamedTuple):
    """Where the time of a build went, in the server."""

    queue: float
    tokenize: float
    encode: float
    finish: float
    total: float


class BuildProgress(NamedTuple):
    """How far a build is. `time_left` is None until something has been encoded."""

    prompts_done: int
    prompts_total: int
    time_left: float | None
    num_tokens_encoded: int


@dataclasses.dataclass(frozen=True)
class BuildResult:
    """A weight set that is ready. `cached`: it was there already, and nothing was encoded."""

    weight_set_id: str
    num_classes: int
    num_background: int
    embedding_dim: int
    cached: bool
    num_prompts: int
    num_tokens: int
    num_tokens_encoded: int
    warnings: tuple[str, ...]
    timing: BuildTiming
    num_examples: int = 0


def seconds(duration: Any) -> float:
    """A google.protobuf.Duration."""
    return float(duration.seconds + duration.nanos / 1e9)


def build_result(message: pb.BuildClassifierResponse) -> BuildResult:
    """From the wire."""
    timing = message.timing
    return BuildResult(
        weight_set_id=message.weight_set_id,
        num_classes=message.num_classes,
        num_background=message.num_background,
        embedding_dim=message.embedding_dim,
        cached=message.cached,
        num_prompts=message.num_prompts,
        num_tokens=message.num_tokens,
        num_tokens_encoded=message.num_tokens_encoded,
        warnings=tuple(message.warnings),
        timing=BuildTiming(*map(seconds, (timing.queue, timing.tokenize, timing.encode, timing.finish, timing.total))),
        num_examples=message.num_examples,
    )


def build_progress(message: pb.BuildProgress) -> BuildProgress:
    """From the wire."""
    return BuildProgress(
        message.prompts_done,
        message.prompts_total,
        seconds(message.time_left) if message.HasField("time_left") else None,
        message.num_tokens_encoded,
    )


class Answer:
    """What an image shows, or why nobody knows.

    Of many images one that fails has an `error`, and raises it where it is asked for anything else:
    a loop that forgets to look does not go on with nothing.
    """

    __slots__ = ("_message", "_predictions", "error", "request_id", "weight_set_id")

    def __init__(
        self,
        message: Any = None,
        *,
        weight_set_id: str = "",
        request_id: str = "",
        error: Exception | None = None,
    ) -> None:
        self._message = message  # a ClassifyResponse or a WeightSetAnswer
        self._predictions: tuple[Prediction, ...] | None = None
        self.error = error
        self.request_id = request_id
        self.weight_set_id = weight_set_id

    def _get(self) -> Any:
        if self.error is not None:
            raise self.error
        return self._message

    @property
    def ok(self) -> bool:
        """Whether there is an answer."""
        return self.error is None

    @property
    def predictions(self) -> tuple[Prediction, ...]:
        """The best classes, best first; never empty."""
        if self._predictions is None:
            self._predictions = tuple(
                Prediction(p.class_index, p.class_name, p.probability, p.logit, p.cosine, p.accepted)
                for p in self._get().predictions
            )
        return self._predictions

    @property
    def top(self) -> Prediction:
        """The best class."""
        return self.predictions[0]

    @property
    def probabilities(self) -> FloatArray:
        """[classes], with return_probabilities; else empty."""
        return np.array(self._get().probabilities, dtype=np.float32)

    @property
    def groups(self) -> tuple[GroupScore, ...]:
        """All groups that classes name, best first."""
        return tuple(GroupScore(g.group, g.probability) for g in self._get().groups)

    @property
    def other_probability(self) -> float:
        """That none of the classes is right; 0 without background classes."""
        return float(self._get().other_probability)

    @property
    def timing(self) -> Timing:
        """Where the time went, in the server."""
        t = self._timed().timing
        return Timing(*map(seconds, (t.decode, t.preprocess, t.queue, t.compute, t.total)))

    @property
    def embedding_cached(self) -> bool:
        """Whether the server knew these very bytes."""
        return bool(self._timed().embedding_cached)

    @property
    def build(self) -> BuildResult | None:
        """With `classify_with`: what became of the classifier."""
        message = self._timed()
        return build_result(message.build) if message.HasField("build") else None

    def _timed(self) -> Any:
        message = self._get()
        # Of several weight sets the first one's answer has what holds for the call.
        return message if isinstance(message, pb.ClassifyResponse) else pb.ClassifyResponse()

    def __repr__(self) -> str:
        if self.error is not None:
            return f"<Answer: {type(self.error).__name__}: {self.error}>"
        return f"<Answer: {', '.join(map(str, self.predictions))}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Answer):
            return NotImplemented
        if self.error is not None or other.error is not None:
            return repr(self.error) == repr(other.error)
        return bool(self._message == other._message)

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        kind = None if self._message is None else type(self._message).__name__
        content = None if self._message is None else self._message.SerializeToString()
        return _restore_answer, (kind, content, self.weight_set_id, self.request_id, self.error)


def _restore_answer(
    kind: str | None, content: bytes | None, weight_set_id: str, request_id: str, error: Exception | None
) -> Answer:
    message = None if kind is None else getattr(pb, kind).FromString(content)
    return Answer(message, weight_set_id=weight_set_id, request_id=request_id, error=error)


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits in force; 0: of a server that is too old to say it."""

    max_image_bytes: int = 0
    max_image_pixels: int = 0
    max_classes: int = 0
    max_templates: int = 0
    max_prompts: int = 0
    max_text_bytes: int = 0
    max_batch_items: int = 0
    max_inflight: int = 0
    max_builds: int = 0
    max_request_bytes: int = 0
    max_weight_sets: int = 0
    max_import_bytes: int = 0
    max_top_k: int = 0
    max_answer_bytes: int = 0
    max_inline_prompts: int = 0
    max_examples: int = 0


SCORE_FUNCTIONS = {"softmax": pb.SCORE_FUNCTION_SOFTMAX, "sigmoid": pb.SCORE_FUNCTION_SIGMOID}


@dataclasses.dataclass(frozen=True)
class ModelInfo:
    """The model served, and the limits in force."""

    name: str
    family: str
    fingerprint: str
    precision: str
    device: str
    embedding_dim: int
    image_size: int
    context_length: int
    vocab_size: int
    logit_scale: float
    logit_bias: float
    score_function: str
    image_preprocessing: str
    text_preprocessing: str
    activation: str
    template_sets: tuple[str, ...]
    class_sets: tuple[str, ...]
    server_version: str
    is_demo: bool
    limits: Limits


def model_info(message: pb.GetModelResponse) -> ModelInfo:
    """From the wire."""
    plain = {
        field.name: getattr(message, field.name)
        for field in dataclasses.fields(ModelInfo)
        if field.name not in ("limits", "score_function", "template_sets", "class_sets")
    }
    limits = {field.name: getattr(message.limits, field.name) for field in dataclasses.fields(Limits)}
    return ModelInfo(
        **plain,
        score_function=next((name for name, v in SCORE_FUNCTIONS.items() if v == message.score_function), ""),
        template_sets=tuple(message.template_sets),
        class_sets=tuple(message.class_sets),
        limits=Limits(**limits),
    )


@dataclasses.dataclass(frozen=True)
class WeightSetInfo:
    """A stored weight set, without its vectors."""

    weight_set_id: str
    num_classes: int
    num_background: int
    embedding_dim: int
    num_prompts: int
    model_fingerprint: str
    precision: str
    size_bytes: int
    temperature: float
    display_name: str
    first_class_names: tuple[str, ...]
    create_time: datetime.datetime


def weight_set_info(message: pb.WeightSetInfo) -> WeightSetInfo:
    """From the wire."""
    plain = {
        field.name: getattr(message, field.name)
        for field in dataclasses.fields(WeightSetInfo)
        if field.name not in ("first_class_names", "create_time")
    }
    return WeightSetInfo(
        **plain,
        first_class_names=tuple(message.first_class_names),
        create_time=message.create_time.ToDatetime().replace(tzinfo=datetime.timezone.utc),
    )


@dataclasses.dataclass(frozen=True)
class WeightSet:
    """A stored weight set with the names of its classes, and what these decide with."""

    info: WeightSetInfo
    class_names: tuple[str, ...]
    background: tuple[str, ...]
    min_probabilities: dict[int, float]  # by class index
    groups: dict[int, str]  # by class index


class ClassSet(NamedTuple):
    """Classes that the server knows by name. template_set: the one that was made for them, or ""."""

    name: str
    num_classes: int
    template_set: str


def kept(call: CallOptions) -> CallOptions:
    """Of a build's keywords those that hold for later builds too."""
    result: CallOptions = {}
    if "metadata" in call:
        result["metadata"] = call["metadata"]
    if "token" in call:
        result["token"] = call["token"]
    return result


def found(info: WeightSetInfo, *, cached: bool = True, warnings: Sequence[str] = ()) -> BuildResult:
    """Of a weight set that was not built by this client."""
    return BuildResult(
        weight_set_id=info.weight_set_id,
        num_classes=info.num_classes,
        num_background=info.num_background,
        embedding_dim=info.embedding_dim,
        cached=cached,
        num_prompts=info.num_prompts,
        num_tokens=0,
        num_tokens_encoded=0,
        warnings=tuple(warnings),
        timing=BuildTiming(0.0, 0.0, 0.0, 0.0, 0.0),
    )
