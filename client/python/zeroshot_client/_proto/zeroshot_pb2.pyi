from google.protobuf import any_pb2 as _any_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor
MATRIX_LAYOUT_CLASS_COLUMNS: MatrixLayout
MATRIX_LAYOUT_CLASS_ROWS: MatrixLayout
MATRIX_LAYOUT_UNSPECIFIED: MatrixLayout
SCORE_FUNCTION_SIGMOID: ScoreFunction
SCORE_FUNCTION_SOFTMAX: ScoreFunction
SCORE_FUNCTION_UNSPECIFIED: ScoreFunction
WEIGHT_SET_FORMAT_NPY: WeightSetFormat
WEIGHT_SET_FORMAT_SAFETENSORS: WeightSetFormat
WEIGHT_SET_FORMAT_UNSPECIFIED: WeightSetFormat

class BuildClassifierRequest(_message.Message):
    __slots__ = ["background", "class_set", "classes", "display_name", "temperature", "template_set", "templates"]
    BACKGROUND_FIELD_NUMBER: _ClassVar[int]
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    CLASS_SET_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    TEMPLATES_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_SET_FIELD_NUMBER: _ClassVar[int]
    background: _containers.RepeatedScalarFieldContainer[str]
    class_set: str
    classes: _containers.RepeatedCompositeFieldContainer[ClassDefinition]
    display_name: str
    temperature: float
    template_set: str
    templates: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, classes: _Optional[_Iterable[_Union[ClassDefinition, _Mapping]]] = ..., class_set: _Optional[str] = ..., templates: _Optional[_Iterable[str]] = ..., template_set: _Optional[str] = ..., temperature: _Optional[float] = ..., background: _Optional[_Iterable[str]] = ..., display_name: _Optional[str] = ...) -> None: ...

class BuildClassifierResponse(_message.Message):
    __slots__ = ["cached", "embedding_dim", "num_background", "num_classes", "num_examples", "num_prompts", "num_tokens", "num_tokens_encoded", "timing", "warnings", "weight_set_id"]
    CACHED_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_DIM_FIELD_NUMBER: _ClassVar[int]
    NUM_BACKGROUND_FIELD_NUMBER: _ClassVar[int]
    NUM_CLASSES_FIELD_NUMBER: _ClassVar[int]
    NUM_EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    NUM_PROMPTS_FIELD_NUMBER: _ClassVar[int]
    NUM_TOKENS_ENCODED_FIELD_NUMBER: _ClassVar[int]
    NUM_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_SET_ID_FIELD_NUMBER: _ClassVar[int]
    cached: bool
    embedding_dim: int
    num_background: int
    num_classes: int
    num_examples: int
    num_prompts: int
    num_tokens: int
    num_tokens_encoded: int
    timing: BuildTiming
    warnings: _containers.RepeatedScalarFieldContainer[str]
    weight_set_id: str
    def __init__(self, weight_set_id: _Optional[str] = ..., num_classes: _Optional[int] = ..., embedding_dim: _Optional[int] = ..., cached: bool = ..., num_prompts: _Optional[int] = ..., num_tokens: _Optional[int] = ..., num_tokens_encoded: _Optional[int] = ..., warnings: _Optional[_Iterable[str]] = ..., timing: _Optional[_Union[BuildTiming, _Mapping]] = ..., num_background: _Optional[int] = ..., num_examples: _Optional[int] = ...) -> None: ...

class BuildClassifierStreamResponse(_message.Message):
    __slots__ = ["progress", "result"]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    progress: BuildProgress
    result: BuildClassifierResponse
    def __init__(self, progress: _Optional[_Union[BuildProgress, _Mapping]] = ..., result: _Optional[_Union[BuildClassifierResponse, _Mapping]] = ...) -> None: ...

class BuildProgress(_message.Message):
    __slots__ = ["num_tokens_encoded", "prompts_done", "prompts_total", "time_left"]
    NUM_TOKENS_ENCODED_FIELD_NUMBER: _ClassVar[int]
    PROMPTS_DONE_FIELD_NUMBER: _ClassVar[int]
    PROMPTS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    TIME_LEFT_FIELD_NUMBER: _ClassVar[int]
    num_tokens_encoded: int
    prompts_done: int
    prompts_total: int
    time_left: _duration_pb2.Duration
    def __init__(self, prompts_done: _Optional[int] = ..., prompts_total: _Optional[int] = ..., time_left: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., num_tokens_encoded: _Optional[int] = ...) -> None: ...

class BuildTiming(_message.Message):
    __slots__ = ["encode", "finish", "queue", "tokenize", "total"]
    ENCODE_FIELD_NUMBER: _ClassVar[int]
    FINISH_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    TOKENIZE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    encode: _duration_pb2.Duration
    finish: _duration_pb2.Duration
    queue: _duration_pb2.Duration
    tokenize: _duration_pb2.Duration
    total: _duration_pb2.Duration
    def __init__(self, queue: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., tokenize: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., encode: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., finish: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., total: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ClassDecision(_message.Message):
    __slots__ = ["class_index", "group", "min_probability"]
    CLASS_INDEX_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    MIN_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    class_index: int
    group: str
    min_probability: float
    def __init__(self, class_index: _Optional[int] = ..., min_probability: _Optional[float] = ..., group: _Optional[str] = ...) -> None: ...

class ClassDefinition(_message.Message):
    __slots__ = ["example_embeddings", "example_images", "example_weight", "group", "min_probability", "name", "prompts"]
    EXAMPLE_EMBEDDINGS_FIELD_NUMBER: _ClassVar[int]
    EXAMPLE_IMAGES_FIELD_NUMBER: _ClassVar[int]
    EXAMPLE_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    MIN_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PROMPTS_FIELD_NUMBER: _ClassVar[int]
    example_embeddings: _containers.RepeatedScalarFieldContainer[float]
    example_images: _containers.RepeatedScalarFieldContainer[bytes]
    example_weight: float
    group: str
    min_probability: float
    name: str
    prompts: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., prompts: _Optional[_Iterable[str]] = ..., min_probability: _Optional[float] = ..., group: _Optional[str] = ..., example_images: _Optional[_Iterable[bytes]] = ..., example_embeddings: _Optional[_Iterable[float]] = ..., example_weight: _Optional[float] = ...) -> None: ...

class ClassSet(_message.Message):
    __slots__ = ["name", "num_classes", "template_set"]
    NAME_FIELD_NUMBER: _ClassVar[int]
    NUM_CLASSES_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_SET_FIELD_NUMBER: _ClassVar[int]
    name: str
    num_classes: int
    template_set: str
    def __init__(self, name: _Optional[str] = ..., num_classes: _Optional[int] = ..., template_set: _Optional[str] = ...) -> None: ...

class ClassifyBatchItem(_message.Message):
    __slots__ = ["answer", "status"]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    answer: ClassifyResponse
    status: ItemStatus
    def __init__(self, status: _Optional[_Union[ItemStatus, _Mapping]] = ..., answer: _Optional[_Union[ClassifyResponse, _Mapping]] = ...) -> None: ...

class ClassifyBatchRequest(_message.Message):
    __slots__ = ["classifier", "embeddings", "images", "min_probability", "more_weight_set_ids", "return_probabilities", "score_function", "top_k", "weight_set_id"]
    CLASSIFIER_FIELD_NUMBER: _ClassVar[int]
    EMBEDDINGS_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    MIN_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    MORE_WEIGHT_SET_IDS_FIELD_NUMBER: _ClassVar[int]
    RETURN_PROBABILITIES_FIELD_NUMBER: _ClassVar[int]
    SCORE_FUNCTION_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_SET_ID_FIELD_NUMBER: _ClassVar[int]
    classifier: BuildClassifierRequest
    embeddings: _containers.RepeatedScalarFieldContainer[float]
    images: _containers.RepeatedScalarFieldContainer[bytes]
    min_probability: float
    more_weight_set_ids: _containers.RepeatedScalarFieldContainer[str]
    return_probabilities: bool
    score_function: ScoreFunction
    top_k: int
    weight_set_id: str
    def __init__(self, images: _Optional[_Iterable[bytes]] = ..., weight_set_id: _Optional[str] = ..., top_k: _Optional[int] = ..., return_probabilities: bool = ..., more_weight_set_ids: _Optional[_Iterable[str]] = ..., score_function: _Optional[_Union[ScoreFunction, str]] = ..., min_probability: _Optional[float] = ..., classifier: _Optional[_Union[BuildClassifierRequest, _Mapping]] = ..., embeddings: _Optional[_Iterable[float]] = ...) -> None: ...

class ClassifyBatchResponse(_message.Message):
    __slots__ = ["build", "items", "weight_set_id"]
    BUILD_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_SET_ID_FIELD_NUMBER: _ClassVar[int]
    build: BuildClassifierResponse
    items: _containers.RepeatedCompositeFieldContainer[ClassifyBatchItem]
    weight_set_id: str
    def __init__(self, items: _Optional[_Iterable[_Union[ClassifyBatchItem, _Mapping]]] = ..., weight_set_id: _Optional[str] = ..., build: _Optional[_Union[BuildClassifierResponse, _Mapping]] = ...) -> None: ...

class ClassifyRequest(_message.Message):
    __slots__ = ["classifier", "image", "min_probability", "more_weight_set_ids", "return_probabilities", "score_function", "top_k", "weight_set_id"]
    CLASSIFIER_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    MIN_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    MORE_WEIGHT_SET_IDS_FIELD_NUMBER: _ClassVar[int]
    RETURN_PROBABILITIES_FIELD_NUMBER: _ClassVar[int]
    SCORE_FUNCTION_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_SET_ID_FIELD_NUMBER: _ClassVar[int]
    classifier: BuildClassifierRequest
    image: bytes
    min_probability: float
    more_weight_set_ids: _containers.RepeatedScalarFieldContainer[str]
    return_probabilities: bool
    score_function: ScoreFunction
    top_k: int
    weight_set_id: str
    def __init__(self, image: _Optional[bytes] = ..., weight_set_id: _Optional[str] = ..., top_k: _Optional[int] = ..., return_probabilities: bool = ..., more_weight_set_ids: _Optional[_Iterable[str]] = ..., score_function: _Optional[_Union[ScoreFunction, str]] = ..., min_probability: _Optional[float] = ..., classifier: _Optional[_Union[BuildClassifierRequest, _Mapping]] = ...) -> None: ...

class ClassifyResponse(_message.Message):
    __slots__ = ["build", "embedding_cached", "groups", "more", "other_probability", "predictions", "probabilities", "timing", "weight_set_id"]
    BUILD_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_CACHED_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    OTHER_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    PREDICTIONS_FIELD_NUMBER: _ClassVar[int]
    PROBABILITIES_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_SET_ID_FIELD_NUMBER: _ClassVar[int]
    build: BuildClassifierResponse
    embedding_cached: bool
    groups: _containers.RepeatedCompositeFieldContainer[GroupScore]
    more: _containers.RepeatedCompositeFieldContainer[WeightSetAnswer]
    other_probability: float
    predictions: _containers.RepeatedCompositeFieldContainer[Prediction]
    probabilities: _containers.RepeatedScalarFieldContainer[float]
    timing: ClassifyTiming
    weight_set_id: str
    def __init__(self, predictions: _Optional[_Iterable[_Union[Prediction, _Mapping]]] = ..., probabilities: _Optional[_Iterable[float]] = ..., timing: _Optional[_Union[ClassifyTiming, _Mapping]] = ..., more: _Optional[_Iterable[_Union[WeightSetAnswer, _Mapping]]] = ..., embedding_cached: bool = ..., groups: _Optional[_Iterable[_Union[GroupScore, _Mapping]]] = ..., other_probability: _Optional[float] = ..., weight_set_id: _Optional[str] = ..., build: _Optional[_Union[BuildClassifierResponse, _Mapping]] = ...) -> None: ...

class ClassifyTiming(_message.Message):
    __slots__ = ["compute", "decode", "preprocess", "queue", "total"]
    COMPUTE_FIELD_NUMBER: _ClassVar[int]
    DECODE_FIELD_NUMBER: _ClassVar[int]
    PREPROCESS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    compute: _duration_pb2.Duration
    decode: _duration_pb2.Duration
    preprocess: _duration_pb2.Duration
    queue: _duration_pb2.Duration
    total: _duration_pb2.Duration
    def __init__(self, decode: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., preprocess: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., queue: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., compute: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., total: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class DeleteWeightSetRequest(_message.Message):
    __slots__ = ["weight_set_id"]
    WEIGHT_SET_ID_FIELD_NUMBER: _ClassVar[int]
    weight_set_id: str
    def __init__(self, weight_set_id: _Optional[str] = ...) -> None: ...

class DeleteWeightSetResponse(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class EmbedImagesRequest(_message.Message):
    __slots__ = ["images"]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    images: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, images: _Optional[_Iterable[bytes]] = ...) -> None: ...

class EmbedImagesResponse(_message.Message):
    __slots__ = ["embedding_dim", "embeddings", "num_cached", "statuses"]
    EMBEDDINGS_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_DIM_FIELD_NUMBER: _ClassVar[int]
    NUM_CACHED_FIELD_NUMBER: _ClassVar[int]
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    embedding_dim: int
    embeddings: _containers.RepeatedScalarFieldContainer[float]
    num_cached: int
    statuses: _containers.RepeatedCompositeFieldContainer[ItemStatus]
    def __init__(self, embeddings: _Optional[_Iterable[float]] = ..., embedding_dim: _Optional[int] = ..., statuses: _Optional[_Iterable[_Union[ItemStatus, _Mapping]]] = ..., num_cached: _Optional[int] = ...) -> None: ...

class EmbedTextsRequest(_message.Message):
    __slots__ = ["texts"]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    texts: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, texts: _Optional[_Iterable[str]] = ...) -> None: ...

class EmbedTextsResponse(_message.Message):
    __slots__ = ["embedding_dim", "embeddings", "statuses"]
    EMBEDDINGS_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_DIM_FIELD_NUMBER: _ClassVar[int]
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    embedding_dim: int
    embeddings: _containers.RepeatedScalarFieldContainer[float]
    statuses: _containers.RepeatedCompositeFieldContainer[ItemStatus]
    def __init__(self, embeddings: _Optional[_Iterable[float]] = ..., embedding_dim: _Optional[int] = ..., statuses: _Optional[_Iterable[_Union[ItemStatus, _Mapping]]] = ...) -> None: ...

class ExportWeightSetRequest(_message.Message):
    __slots__ = ["format", "layout", "weight_set_id"]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    LAYOUT_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_SET_ID_FIELD_NUMBER: _ClassVar[int]
    format: WeightSetFormat
    layout: MatrixLayout
    weight_set_id: str
    def __init__(self, weight_set_id: _Optional[str] = ..., format: _Optional[_Union[WeightSetFormat, str]] = ..., layout: _Optional[_Union[MatrixLayout, str]] = ...) -> None: ...

class ExportWeightSetResponse(_message.Message):
    __slots__ = ["data", "total_bytes"]
    DATA_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    total_bytes: int
    def __init__(self, data: _Optional[bytes] = ..., total_bytes: _Optional[int] = ...) -> None: ...

class GetClassSetRequest(_message.Message):
    __slots__ = ["class_set", "page_size", "page_token"]
    CLASS_SET_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    class_set: str
    page_size: int
    page_token: str
    def __init__(self, class_set: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class GetClassSetResponse(_message.Message):
    __slots__ = ["class_names", "class_set", "next_page_token"]
    CLASS_NAMES_FIELD_NUMBER: _ClassVar[int]
    CLASS_SET_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    class_names: _containers.RepeatedScalarFieldContainer[str]
    class_set: ClassSet
    next_page_token: str
    def __init__(self, class_set: _Optional[_Union[ClassSet, _Mapping]] = ..., class_names: _Optional[_Iterable[str]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetModelRequest(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class GetModelResponse(_message.Message):
    __slots__ = ["activation", "class_sets", "context_length", "device", "embedding_dim", "family", "fingerprint", "image_preprocessing", "image_size", "is_demo", "limits", "logit_bias", "logit_scale", "name", "precision", "score_function", "server_version", "template_sets", "text_preprocessing", "vocab_size"]
    ACTIVATION_FIELD_NUMBER: _ClassVar[int]
    CLASS_SETS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_LENGTH_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_DIM_FIELD_NUMBER: _ClassVar[int]
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    IMAGE_PREPROCESSING_FIELD_NUMBER: _ClassVar[int]
    IMAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    IS_DEMO_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    LOGIT_BIAS_FIELD_NUMBER: _ClassVar[int]
    LOGIT_SCALE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    SCORE_FUNCTION_FIELD_NUMBER: _ClassVar[int]
    SERVER_VERSION_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_SETS_FIELD_NUMBER: _ClassVar[int]
    TEXT_PREPROCESSING_FIELD_NUMBER: _ClassVar[int]
    VOCAB_SIZE_FIELD_NUMBER: _ClassVar[int]
    activation: str
    class_sets: _containers.RepeatedScalarFieldContainer[str]
    context_length: int
    device: str
    embedding_dim: int
    family: str
    fingerprint: str
    image_preprocessing: str
    image_size: int
    is_demo: bool
    limits: Limits
    logit_bias: float
    logit_scale: float
    name: str
    precision: str
    score_function: ScoreFunction
    server_version: str
    template_sets: _containers.RepeatedScalarFieldContainer[str]
    text_preprocessing: str
    vocab_size: int
    def __init__(self, name: _Optional[str] = ..., family: _Optional[str] = ..., fingerprint: _Optional[str] = ..., precision: _Optional[str] = ..., device: _Optional[str] = ..., embedding_dim: _Optional[int] = ..., image_size: _Optional[int] = ..., context_length: _Optional[int] = ..., vocab_size: _Optional[int] = ..., logit_scale: _Optional[float] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., template_sets: _Optional[_Iterable[str]] = ..., class_sets: _Optional[_Iterable[str]] = ..., server_version: _Optional[str] = ..., is_demo: bool = ..., activation: _Optional[str] = ..., score_function: _Optional[_Union[ScoreFunction, str]] = ..., logit_bias: _Optional[float] = ..., image_preprocessing: _Optional[str] = ..., text_preprocessing: _Optional[str] = ...) -> None: ...

class GetWeightSetRequest(_message.Message):
    __slots__ = ["page_size", "page_token", "weight_set_id"]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_SET_ID_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    weight_set_id: str
    def __init__(self, weight_set_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class GetWeightSetResponse(_message.Message):
    __slots__ = ["background", "class_names", "decisions", "next_page_token", "weight_set"]
    BACKGROUND_FIELD_NUMBER: _ClassVar[int]
    CLASS_NAMES_FIELD_NUMBER: _ClassVar[int]
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_SET_FIELD_NUMBER: _ClassVar[int]
    background: _containers.RepeatedScalarFieldContainer[str]
    class_names: _containers.RepeatedScalarFieldContainer[str]
    decisions: _containers.RepeatedCompositeFieldContainer[ClassDecision]
    next_page_token: str
    weight_set: WeightSetInfo
    def __init__(self, weight_set: _Optional[_Union[WeightSetInfo, _Mapping]] = ..., class_names: _Optional[_Iterable[str]] = ..., next_page_token: _Optional[str] = ..., background: _Optional[_Iterable[str]] = ..., decisions: _Optional[_Iterable[_Union[ClassDecision, _Mapping]]] = ...) -> None: ...

class GroupScore(_message.Message):
    __slots__ = ["group", "probability"]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    group: str
    probability: float
    def __init__(self, group: _Optional[str] = ..., probability: _Optional[float] = ...) -> None: ...

class ImportWeightSetHeader(_message.Message):
    __slots__ = ["class_names", "display_name", "layout", "model_fingerprint", "sha256", "total_bytes"]
    CLASS_NAMES_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    LAYOUT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    class_names: _containers.RepeatedScalarFieldContainer[str]
    display_name: str
    layout: MatrixLayout
    model_fingerprint: str
    sha256: str
    total_bytes: int
    def __init__(self, class_names: _Optional[_Iterable[str]] = ..., layout: _Optional[_Union[MatrixLayout, str]] = ..., model_fingerprint: _Optional[str] = ..., total_bytes: _Optional[int] = ..., sha256: _Optional[str] = ..., display_name: _Optional[str] = ...) -> None: ...

class ImportWeightSetRequest(_message.Message):
    __slots__ = ["data", "header"]
    DATA_FIELD_NUMBER: _ClassVar[int]
    HEADER_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    header: ImportWeightSetHeader
    def __init__(self, header: _Optional[_Union[ImportWeightSetHeader, _Mapping]] = ..., data: _Optional[bytes] = ...) -> None: ...

class ImportWeightSetResponse(_message.Message):
    __slots__ = ["cached", "warnings", "weight_set"]
    CACHED_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_SET_FIELD_NUMBER: _ClassVar[int]
    cached: bool
    warnings: _containers.RepeatedScalarFieldContainer[str]
    weight_set: WeightSetInfo
    def __init__(self, weight_set: _Optional[_Union[WeightSetInfo, _Mapping]] = ..., cached: bool = ..., warnings: _Optional[_Iterable[str]] = ...) -> None: ...

class ItemStatus(_message.Message):
    __slots__ = ["code", "details", "message"]
    CODE_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: int
    details: _containers.RepeatedCompositeFieldContainer[_any_pb2.Any]
    message: str
    def __init__(self, code: _Optional[int] = ..., message: _Optional[str] = ..., details: _Optional[_Iterable[_Union[_any_pb2.Any, _Mapping]]] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ["max_answer_bytes", "max_batch_items", "max_builds", "max_classes", "max_examples", "max_image_bytes", "max_image_pixels", "max_import_bytes", "max_inflight", "max_inline_prompts", "max_prompts", "max_request_bytes", "max_templates", "max_text_bytes", "max_top_k", "max_weight_sets"]
    MAX_ANSWER_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_ITEMS_FIELD_NUMBER: _ClassVar[int]
    MAX_BUILDS_FIELD_NUMBER: _ClassVar[int]
    MAX_CLASSES_FIELD_NUMBER: _ClassVar[int]
    MAX_EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    MAX_IMAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_IMAGE_PIXELS_FIELD_NUMBER: _ClassVar[int]
    MAX_IMPORT_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_INFLIGHT_FIELD_NUMBER: _ClassVar[int]
    MAX_INLINE_PROMPTS_FIELD_NUMBER: _ClassVar[int]
    MAX_PROMPTS_FIELD_NUMBER: _ClassVar[int]
    MAX_REQUEST_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_TEMPLATES_FIELD_NUMBER: _ClassVar[int]
    MAX_TEXT_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_TOP_K_FIELD_NUMBER: _ClassVar[int]
    MAX_WEIGHT_SETS_FIELD_NUMBER: _ClassVar[int]
    max_answer_bytes: int
    max_batch_items: int
    max_builds: int
    max_classes: int
    max_examples: int
    max_image_bytes: int
    max_image_pixels: int
    max_import_bytes: int
    max_inflight: int
    max_inline_prompts: int
    max_prompts: int
    max_request_bytes: int
    max_templates: int
    max_text_bytes: int
    max_top_k: int
    max_weight_sets: int
    def __init__(self, max_image_bytes: _Optional[int] = ..., max_image_pixels: _Optional[int] = ..., max_classes: _Optional[int] = ..., max_templates: _Optional[int] = ..., max_prompts: _Optional[int] = ..., max_text_bytes: _Optional[int] = ..., max_batch_items: _Optional[int] = ..., max_inflight: _Optional[int] = ..., max_builds: _Optional[int] = ..., max_request_bytes: _Optional[int] = ..., max_weight_sets: _Optional[int] = ..., max_import_bytes: _Optional[int] = ..., max_top_k: _Optional[int] = ..., max_answer_bytes: _Optional[int] = ..., max_inline_prompts: _Optional[int] = ..., max_examples: _Optional[int] = ...) -> None: ...

class ListClassSetsRequest(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class ListClassSetsResponse(_message.Message):
    __slots__ = ["class_sets"]
    CLASS_SETS_FIELD_NUMBER: _ClassVar[int]
    class_sets: _containers.RepeatedCompositeFieldContainer[ClassSet]
    def __init__(self, class_sets: _Optional[_Iterable[_Union[ClassSet, _Mapping]]] = ...) -> None: ...

class ListTemplateSetsRequest(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class ListTemplateSetsResponse(_message.Message):
    __slots__ = ["template_sets"]
    TEMPLATE_SETS_FIELD_NUMBER: _ClassVar[int]
    template_sets: _containers.RepeatedCompositeFieldContainer[TemplateSet]
    def __init__(self, template_sets: _Optional[_Iterable[_Union[TemplateSet, _Mapping]]] = ...) -> None: ...

class ListWeightSetsRequest(_message.Message):
    __slots__ = ["page_size", "page_token"]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListWeightSetsResponse(_message.Message):
    __slots__ = ["next_page_token", "weight_sets"]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_SETS_FIELD_NUMBER: _ClassVar[int]
    next_page_token: str
    weight_sets: _containers.RepeatedCompositeFieldContainer[WeightSetInfo]
    def __init__(self, weight_sets: _Optional[_Iterable[_Union[WeightSetInfo, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class Prediction(_message.Message):
    __slots__ = ["accepted", "class_index", "class_name", "cosine", "logit", "probability"]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    CLASS_INDEX_FIELD_NUMBER: _ClassVar[int]
    CLASS_NAME_FIELD_NUMBER: _ClassVar[int]
    COSINE_FIELD_NUMBER: _ClassVar[int]
    LOGIT_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    accepted: bool
    class_index: int
    class_name: str
    cosine: float
    logit: float
    probability: float
    def __init__(self, class_index: _Optional[int] = ..., class_name: _Optional[str] = ..., probability: _Optional[float] = ..., logit: _Optional[float] = ..., cosine: _Optional[float] = ..., accepted: bool = ...) -> None: ...

class TemplateSet(_message.Message):
    __slots__ = ["name", "templates"]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TEMPLATES_FIELD_NUMBER: _ClassVar[int]
    name: str
    templates: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., templates: _Optional[_Iterable[str]] = ...) -> None: ...

class WeightSetAnswer(_message.Message):
    __slots__ = ["groups", "other_probability", "predictions", "probabilities", "weight_set_id"]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    OTHER_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    PREDICTIONS_FIELD_NUMBER: _ClassVar[int]
    PROBABILITIES_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_SET_ID_FIELD_NUMBER: _ClassVar[int]
    groups: _containers.RepeatedCompositeFieldContainer[GroupScore]
    other_probability: float
    predictions: _containers.RepeatedCompositeFieldContainer[Prediction]
    probabilities: _containers.RepeatedScalarFieldContainer[float]
    weight_set_id: str
    def __init__(self, weight_set_id: _Optional[str] = ..., predictions: _Optional[_Iterable[_Union[Prediction, _Mapping]]] = ..., probabilities: _Optional[_Iterable[float]] = ..., groups: _Optional[_Iterable[_Union[GroupScore, _Mapping]]] = ..., other_probability: _Optional[float] = ...) -> None: ...

class WeightSetInfo(_message.Message):
    __slots__ = ["create_time", "display_name", "embedding_dim", "first_class_names", "model_fingerprint", "num_background", "num_classes", "num_prompts", "precision", "size_bytes", "temperature", "weight_set_id"]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_DIM_FIELD_NUMBER: _ClassVar[int]
    FIRST_CLASS_NAMES_FIELD_NUMBER: _ClassVar[int]
    MODEL_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    NUM_BACKGROUND_FIELD_NUMBER: _ClassVar[int]
    NUM_CLASSES_FIELD_NUMBER: _ClassVar[int]
    NUM_PROMPTS_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_SET_ID_FIELD_NUMBER: _ClassVar[int]
    create_time: _timestamp_pb2.Timestamp
    display_name: str
    embedding_dim: int
    first_class_names: _containers.RepeatedScalarFieldContainer[str]
    model_fingerprint: str
    num_background: int
    num_classes: int
    num_prompts: int
    precision: str
    size_bytes: int
    temperature: float
    weight_set_id: str
    def __init__(self, weight_set_id: _Optional[str] = ..., num_classes: _Optional[int] = ..., embedding_dim: _Optional[int] = ..., num_prompts: _Optional[int] = ..., model_fingerprint: _Optional[str] = ..., precision: _Optional[str] = ..., size_bytes: _Optional[int] = ..., create_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., num_background: _Optional[int] = ..., temperature: _Optional[float] = ..., display_name: _Optional[str] = ..., first_class_names: _Optional[_Iterable[str]] = ...) -> None: ...

class ScoreFunction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class WeightSetFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class MatrixLayout(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []
