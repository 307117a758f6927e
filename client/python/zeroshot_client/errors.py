"""What goes wrong, as exceptions with the server's own reason.

    try:
        pets("photo.jpg")
    except zeroshot_client.InvalidArgumentError as error:
        print(error.reason, error)          # IMAGE_DAMAGED ...

Every error of a call is a ZeroshotError. Its class says the gRPC code: what to do. Its `reason`
says what happened; the head of proto/zeroshot/v1/zeroshot.proto lists all reasons.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage

from zeroshot_client._proto import error_details_pb2, zeroshot_pb2

__all__ = [
    "CancelledError",
    "DataLossError",
    "DeadlineExceededError",
    "FailedPreconditionError",
    "InternalError",
    "InvalidArgumentError",
    "NotFoundError",
    "PermissionDeniedError",
    "ResourceExhaustedError",
    "UnauthenticatedError",
    "UnavailableError",
    "ZeroshotError",
]


class ZeroshotError(Exception):
    """An error of a call, or of one image of many. Can be pickled.

    code         gRPC's, such as "NOT_FOUND"
    reason       what happened, for programs, such as "WEIGHT_SET_NOT_FOUND"; "" if nothing says it
    message      the same for people
    metadata     what belongs to the reason, such as {"field": "classes[3].name"}
    retry_delay  seconds to wait, where a full server refused the call before it did anything
    request_id   finds the call in the server's log; "" for what was not sent
    """

    code = "UNKNOWN"

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        retry_delay: float | None = None,
        request_id: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.reason = reason
        self.metadata: dict[str, str] = dict(metadata or {})
        self.retry_delay = retry_delay
        self.request_id = request_id

    def __str__(self) -> str:
        return f"{self.message} ({self.reason or self.code})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (
            type(self),
            self.message,
            {
                "code": self.code,
                "reason": self.reason,
                "metadata": self.metadata,
                "retry_delay": self.retry_delay,
                "request_id": self.request_id,
            },
        )


def _restore(kind: type[ZeroshotError], message: str, rest: dict[str, Any]) -> ZeroshotError:
    return kind(message, **rest)


class InvalidArgumentError(ZeroshotError, ValueError):
    """No image, a bad template, over a limit: the call fails again as it is."""

    code = "INVALID_ARGUMENT"


class NotFoundError(ZeroshotError, LookupError):
    """The server has no such weight set. A Classifier that was built here builds it again by itself."""

    code = "NOT_FOUND"


class FailedPreconditionError(ZeroshotError):
    """The weight set, or the file, is of another model."""

    code = "FAILED_PRECONDITION"


class ResourceExhaustedError(ZeroshotError):
    """The server is full, and stayed so for all attempts; or a message is too large."""

    code = "RESOURCE_EXHAUSTED"


class UnavailableError(ZeroshotError, ConnectionError):
    """The server loads its model, stops, or cannot be reached."""

    code = "UNAVAILABLE"


class DeadlineExceededError(ZeroshotError, TimeoutError):
    """No answer in time."""

    code = "DEADLINE_EXCEEDED"


class CancelledError(ZeroshotError):
    """The call was cancelled, or cut off by the server or by a proxy on the way."""

    code = "CANCELLED"


class PermissionDeniedError(ZeroshotError):
    """The token does not allow it."""

    code = "PERMISSION_DENIED"


class UnauthenticatedError(ZeroshotError):
    """No token, or one that the server does not know."""

    code = "UNAUTHENTICATED"


class DataLossError(ZeroshotError):
    """Other bytes of a file arrived than were sent."""

    code = "DATA_LOSS"


class InternalError(ZeroshotError):
    """A fault of the server, or an answer that contradicts the contract."""

    code = "INTERNAL"


_KINDS: dict[str, type[ZeroshotError]] = {
    kind.code: kind
    for kind in (
        InvalidArgumentError,
        NotFoundError,
        FailedPreconditionError,
        ResourceExhaustedError,
        UnavailableError,
        DeadlineExceededError,
        CancelledError,
        PermissionDeniedError,
        UnauthenticatedError,
        DataLossError,
        InternalError,
    )
}
_CODES: dict[int, str] = {code.value[0]: code.name for code in grpc.StatusCode}
# Codes whose name is a reason too, where gRPC itself ended the call.
_OWN_REASONS = frozenset(
    ("CANCELLED", "DEADLINE_EXCEEDED", "INTERNAL", "PERMISSION_DENIED", "UNAUTHENTICATED", "UNAVAILABLE")
)


def _make(code: str, message: str, details: Iterable[AnyMessage], request_id: str) -> ZeroshotError:
    reason, retry_delay = "", None
    metadata: dict[str, str] = {}
    for detail in details:
        if detail.type_url.endswith("/google.rpc.ErrorInfo"):
            info = error_details_pb2.ErrorInfo.FromString(detail.value)
            reason, metadata = info.reason, dict(info.metadata)
        elif detail.type_url.endswith("/google.rpc.RetryInfo"):
            delay = error_details_pb2.RetryInfo.FromString(detail.value).retry_delay
            retry_delay = max(0.0, delay.seconds + delay.nanos / 1e9)
    if not reason and code in _OWN_REASONS:
        reason = code
    if code == "CANCELLED" and message in ("", "CANCELLED"):
        message = "the call was cut off by the server or by a proxy on the way"
    return _KINDS.get(code, ZeroshotError)(
        message or "the call failed; nothing says why",
        code=code,
        reason=reason,
        metadata=metadata,
        retry_delay=retry_delay,
        request_id=request_id,
    )


def of_rpc(error: Any, request_id: str) -> ZeroshotError:
    """What a grpc.RpcError says, of the sync or the asyncio API."""
    status = zeroshot_pb2.ItemStatus()  # a google.rpc.Status by its bytes
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            status.ParseFromString(value)
    return _make(error.code().name, error.details() or "", status.details, request_id)


def numbered(error: Exception, index: int) -> Exception:
    """The error of one item of many, whose message says which."""
    if isinstance(error, ZeroshotError):
        error.message = f"item {index}: {error.message}"
    return error


def concerns_one(error: ZeroshotError) -> bool:
    """Whether an error of one image says nothing of the next: others would end all of many the same way."""
    if error.code == "INVALID_ARGUMENT":
        field = error.metadata.get("field", "")
        return error.reason.startswith("IMAGE_") or field == "image" or field.startswith("images[")
    return error.code not in (
        "CANCELLED",
        "FAILED_PRECONDITION",
        "NOT_FOUND",
        "PERMISSION_DENIED",
        "UNAUTHENTICATED",
        "UNIMPLEMENTED",
    )


def of_item(status: Any, request_id: str) -> ZeroshotError:
    """What an ItemStatus that is not OK says."""
    return _make(_CODES.get(status.code, "UNKNOWN"), status.message, status.details, request_id)
