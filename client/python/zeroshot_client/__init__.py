"""Client of zeroshot, a server for CLIP zero-shot image classification.

    from zeroshot_client import Client

    client = Client("127.0.0.1:50051")
    pets = client.build(["cat", "dog"], templates="openai-imagenet-7")
    print(pets("photo.jpg").top)
    for path, answer in pets.classify_many(folder.glob("**/*.jpg")):
        print(path, answer.error or answer.top)

AsyncClient is the same for asyncio. zeroshot_classifier makes the matrix of OpenAI's notebook, pipeline
is called as transformers' is, zeroshot_client.ray classifies data sets with Ray Data.
"""

from __future__ import annotations

from zeroshot_client.aio_classifier import AsyncClassifier
from zeroshot_client.aio_client import AsyncClient
from zeroshot_client.cancellation import Cancellation
from zeroshot_client.classifier import Classifier
from zeroshot_client.client import Client
from zeroshot_client.errors import (
    CancelledError,
    DataLossError,
    DeadlineExceededError,
    FailedPreconditionError,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
    UnauthenticatedError,
    UnavailableError,
    ZeroshotError,
)
from zeroshot_client.images import ImageLike
from zeroshot_client.notebook import zeroshot_classifier
from zeroshot_client.pipeline import pipeline
from zeroshot_client.spec import Spec
from zeroshot_client.tables import Summary
from zeroshot_client.types import (
    Answer,
    BuildProgress,
    BuildResult,
    BuildTiming,
    CallOptions,
    ClassDefinition,
    ClassSet,
    GroupScore,
    Limits,
    ModelInfo,
    Prediction,
    Timing,
    WeightSet,
    WeightSetInfo,
)

__version__ = "0.1.0"

__all__ = [
    "Answer",
    "AsyncClassifier",
    "AsyncClient",
    "BuildProgress",
    "BuildResult",
    "BuildTiming",
    "CallOptions",
    "Cancellation",
    "CancelledError",
    "ClassDefinition",
    "ClassSet",
    "Classifier",
    "Client",
    "DataLossError",
    "DeadlineExceededError",
    "FailedPreconditionError",
    "GroupScore",
    "ImageLike",
    "InternalError",
    "InvalidArgumentError",
    "Limits",
    "ModelInfo",
    "NotFoundError",
    "PermissionDeniedError",
    "Prediction",
    "ResourceExhaustedError",
    "Spec",
    "Summary",
    "Timing",
    "UnauthenticatedError",
    "UnavailableError",
    "WeightSet",
    "WeightSetInfo",
    "ZeroshotError",
    "pipeline",
    "zeroshot_classifier",
]
