"""What sync and asyncio clients have in common: where they connect to, and how every call is made.

Internal.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import os
import random
import re
import secrets
import time
from collections.abc import Sequence
from typing import Any, Generic, TypeVar, Union, cast

import grpc
from google.protobuf import wrappers_pb2
from google.protobuf.message import Message

from zeroshot_client._proto import zeroshot_pb2 as pb
from zeroshot_client.cancellation import Cancellation
from zeroshot_client.errors import (
    CancelledError,
    DeadlineExceededError,
    InvalidArgumentError,
    ResourceExhaustedError,
    UnavailableError,
    ZeroshotError,
)
from zeroshot_client.types import CallOptions

SERVICE = "zeroshot.v1.ZeroShot"
MAX_ATTEMPTS = 5  # gRPC's own limit; more would be cut to it
HEALTH_INTERVAL = 0.1  # seconds between two questions to a server that starts
HEALTH_TIMEOUT = 5.0  # seconds for one of them: a machine that is gone may stay silent for ever

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response")
Metadata = list[tuple[str, Union[str, bytes]]]
Pem = Union[str, "os.PathLike[str]", bytes, None]


@dataclasses.dataclass(frozen=True)
class Method(Generic[Request, Response]):
    """A method of the contract. kind: such as `unary_stream`, a method of a channel."""

    path: str
    request: type[Request]
    response: type[Response]
    kind: str = "unary_unary"

    def of(self, channel: Any) -> Any:
        """What calls it, through a channel of grpc or grpc.aio."""
        return getattr(channel, self.kind)(
            self.path,
            request_serializer=cast(Any, self.request).SerializeToString,
            response_deserializer=cast(Any, self.response).FromString,
        )


def _method(name: str, request: type[Request], response: type[Response], kind: str = "unary_unary") -> Any:
    return Method(f"/{SERVICE}/{name}", request, response, kind)


BUILD: Method[pb.BuildClassifierRequest, pb.BuildClassifierResponse] = _method(
    "BuildClassifier", pb.BuildClassifierRequest, pb.BuildClassifierResponse
)
BUILD_STREAM: Method[pb.BuildClassifierRequest, pb.BuildClassifierStreamResponse] = _method(
    "BuildClassifierStream", pb.BuildClassifierRequest, pb.BuildClassifierStreamResponse, "unary_stream"
)
CLASSIFY: Method[pb.ClassifyRequest, pb.ClassifyResponse] = _method("Classify", pb.ClassifyRequest, pb.ClassifyResponse)
CLASSIFY_BATCH: Method[pb.ClassifyBatchRequest, pb.ClassifyBatchResponse] = _method(
    "ClassifyBatch", pb.ClassifyBatchRequest, pb.ClassifyBatchResponse
)
GET_WEIGHT_SET: Method[pb.GetWeightSetRequest, pb.GetWeightSetResponse] = _method(
    "GetWeightSet", pb.GetWeightSetRequest, pb.GetWeightSetResponse
)
LIST_WEIGHT_SETS: Method[pb.ListWeightSetsRequest, pb.ListWeightSetsResponse] = _method(
    "ListWeightSets", pb.ListWeightSetsRequest, pb.ListWeightSetsResponse
)
DELETE_WEIGHT_SET: Method[pb.DeleteWeightSetRequest, pb.DeleteWeightSetResponse] = _method(
    "DeleteWeightSet", pb.DeleteWeightSetRequest, pb.DeleteWeightSetResponse
)
EXPORT: Method[pb.ExportWeightSetRequest, pb.ExportWeightSetResponse] = _method(
    "ExportWeightSet", pb.ExportWeightSetRequest, pb.ExportWeightSetResponse, "unary_stream"
)
IMPORT: Method[pb.ImportWeightSetRequest, pb.ImportWeightSetResponse] = _method(
    "ImportWeightSet", pb.ImportWeightSetRequest, pb.ImportWeightSetResponse, "stream_unary"
)
EMBED_IMAGES: Method[pb.EmbedImagesRequest, pb.EmbedImagesResponse] = _method(
    "EmbedImages", pb.EmbedImagesRequest, pb.EmbedImagesResponse
)
EMBED_TEXTS: Method[pb.EmbedTextsRequest, pb.EmbedTextsResponse] = _method(
    "EmbedTexts", pb.EmbedTextsRequest, pb.EmbedTextsResponse
)
LIST_TEMPLATE_SETS: Method[pb.ListTemplateSetsRequest, pb.ListTemplateSetsResponse] = _method(
    "ListTemplateSets", pb.ListTemplateSetsRequest, pb.ListTemplateSetsResponse
)
LIST_CLASS_SETS: Method[pb.ListClassSetsRequest, pb.ListClassSetsResponse] = _method(
    "ListClassSets", pb.ListClassSetsRequest, pb.ListClassSetsResponse
)
GET_CLASS_SET: Method[pb.GetClassSetRequest, pb.GetClassSetResponse] = _method(
    "GetClassSet", pb.GetClassSetRequest, pb.GetClassSetResponse
)
GET_MODEL: Method[pb.GetModelRequest, pb.GetModelResponse] = _method(
    "GetModel", pb.GetModelRequest, pb.GetModelResponse
)
# The two messages of grpc.health.v1 have the bytes of these (field 1: a text, an enum).
HEALTH: Method[wrappers_pb2.StringValue, wrappers_pb2.Int32Value] = Method(
    "/grpc.health.v1.Health/Check", wrappers_pb2.StringValue, wrappers_pb2.Int32Value
)
SERVING = 1

_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")  # RFC 6750; gRPC takes no other in a header
_NAME = re.compile(r"[a-z0-9._-]+")
_PRINTABLE = re.compile(r"[ -~]*")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclasses.dataclass(frozen=True)
class Settings:
    """The arguments of a client, checked. What a client is pickled as."""

    target: str
    token: str = ""
    token_without_tls: bool = False
    tls: bool = False
    tls_ca: bytes | None = dataclasses.field(default=None, repr=False)
    tls_cert: bytes | None = dataclasses.field(default=None, repr=False)
    tls_key: bytes | None = dataclasses.field(default=None, repr=False)
    timeout: float = 60.0
    build_timeout: float = 3600.0
    max_attempts: int = MAX_ATTEMPTS
    watch_health: bool = False
    max_message_bytes: int = 64 << 20

    def __post_init__(self) -> None:
        if not self.target:
            raise InvalidArgumentError("the target is empty; it should be HOST:PORT")
        if not 1 <= self.max_attempts <= MAX_ATTEMPTS:
            raise InvalidArgumentError(f"max_attempts is {self.max_attempts}; allowed: 1 to {MAX_ATTEMPTS}")
        for name in ("timeout", "build_timeout", "max_message_bytes"):
            if not getattr(self, name) > 0:
                raise InvalidArgumentError(f"{name} is {getattr(self, name)}; it must be over 0")
        if bool(self.tls_cert) != bool(self.tls_key):
            raise InvalidArgumentError("tls_cert and tls_key go together: one of them is missing")
        self.check_token(self.token)

    def check_token(self, token: str) -> None:
        """InvalidArgumentError: it cannot be sent, or others could read it on its way."""
        if not token:
            return
        if not _TOKEN.fullmatch(token):
            raise InvalidArgumentError("the token has characters other than A-Z a-z 0-9 - . _ ~ + / =")
        if not (self.tls or self.token_without_tls or is_loopback(self.target)):
            raise InvalidArgumentError(
                f"the token would travel to {self.target} unencrypted; use TLS, or allow this with token_without_tls"
            )

    def credentials(self) -> grpc.ChannelCredentials | None:
        """For a channel; None: plain text."""
        if not self.tls:
            return None
        return grpc.ssl_channel_credentials(self.tls_ca, self.tls_key, self.tls_cert)

    def channel_options(self) -> list[tuple[str, Any]]:
        """As the C++ client's, client/connection.cc, which says why each is there."""
        options: list[tuple[str, Any]] = [
            ("grpc.max_send_message_length", self.max_message_bytes),
            ("grpc.max_receive_message_length", self.max_message_bytes),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1000),
            ("grpc.dns_min_time_between_resolutions_ms", 1000),
            ("grpc.service_config", self._service_config()),
            # Clients of one process would otherwise share a connection, and its waiting time after
            # a failure, with those of others.
            ("grpc.use_local_subchannel_pool", 1),
        ]
        if is_loopback(self.target):
            options.append(("grpc.enable_http_proxy", 0))
        if self.max_attempts > 1:
            options.append(("grpc.per_rpc_retry_buffer_size", self.max_message_bytes))
        else:
            options.append(("grpc.enable_retries", 0))
        return options

    def _service_config(self) -> str:
        config: dict[str, Any] = {"loadBalancingConfig": [{"round_robin": {}}]}
        if self.watch_health:
            config["healthCheckConfig"] = {"serviceName": SERVICE}
        if self.max_attempts > 1:
            config["retryThrottling"] = {"maxTokens": 1000, "tokenRatio": 0.5}
            config["methodConfig"] = [
                {"name": [{"service": SERVICE, "method": "DeleteWeightSet"}]},
                {
                    "name": [{"service": SERVICE}],
                    "retryPolicy": {
                        "maxAttempts": self.max_attempts,
                        "initialBackoff": "0.1s",
                        "maxBackoff": "2s",
                        "backoffMultiplier": 2,
                        "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
                    },
                },
            ]
        return json.dumps(config)


def settings(
    target: str | None,
    *,
    token: str | None,
    tls: bool | None,
    tls_ca: Pem,
    tls_cert: Pem,
    tls_key: Pem,
    **others: Any,
) -> Settings:
    """Of the arguments of a client; target None: ZEROSHOT_TARGET, else 127.0.0.1:50051."""
    ca, certificate, key = pem(tls_ca), pem(tls_cert), pem(tls_key)
    return Settings(
        target=target if target is not None else os.environ.get("ZEROSHOT_TARGET") or "127.0.0.1:50051",
        token=token or "",
        tls=tls if tls is not None else ca is not None or certificate is not None,
        tls_ca=ca,
        tls_cert=certificate,
        tls_key=key,
        **others,
    )


def pem(value: Pem) -> bytes | None:
    """The bytes themselves, or those of the file that is named."""
    if value is None or isinstance(value, bytes):
        return value
    with open(value, "rb") as file:
        return file.read()


def is_loopback(target: str) -> bool:
    """Whether every address of a gRPC target is this machine's own: 127.0.0.1:1, localhost, [::1]:1,
    unix:..., ipv4:A,B, dns:///localhost:1. A name that only looks like an address is not."""
    if target.startswith(("unix:", "unix-abstract:")):
        return True
    if target.startswith("dns:"):
        target = target[len("dns:") :]
        # dns://AUTHORITY/NAME: whoever answers there says what the name means.
        if target.startswith("//") and not target.startswith("///"):
            return False
        target = target[2:] if target.startswith("//") else target
    elif target.startswith(("ipv4:", "ipv6:")):
        target = target[len("ipv4:") :]
    target = target[1:] if target.startswith("/") else target
    return all(_is_loopback_host(_host(address)) for address in target.split(","))


def _host(address: str) -> str:
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0] if address.count(":") == 1 else address


def _is_loopback_host(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _check_metadata(metadata: Sequence[tuple[str, str | bytes]]) -> None:
    for name, value in metadata:
        if not _NAME.fullmatch(name):
            raise InvalidArgumentError(
                f"the metadata's name {name!r} has characters other than a-z 0-9 - _ .; none may be empty"
            )
        if name == "authorization":
            raise InvalidArgumentError("the metadata has authorization; `token` sends one where nobody can read it")
        if name.startswith("grpc-"):
            raise InvalidArgumentError(f"the metadata has {name}, which is gRPC's own")
        if not name.endswith("-bin") and not (isinstance(value, str) and _PRINTABLE.fullmatch(value)):
            raise InvalidArgumentError(
                f"the metadata's {name} is not printable ASCII, for which its name must end in -bin"
            )


class Prepared:
    """One call: when it must be over, what is sent with it, and whether it is made again."""

    __slots__ = ("_settings", "attempt", "cancellation", "metadata", "persistent", "request_id", "until")

    def __init__(
        self,
        of: Settings,
        call: CallOptions,
        timeout: float | None = None,
        persistent: Cancellation | None = None,
    ) -> None:
        """persistent: one call of many, that a full server is asked again for as long as there is time,
        and until this is cancelled."""
        unknown = call.keys() - CallOptions.__annotations__.keys()
        if unknown:
            raise TypeError(
                f"unknown keyword '{min(unknown)}'; every call takes {', '.join(CallOptions.__annotations__)}"
            )
        self._settings = of
        self.attempt = 1
        self.persistent = persistent
        limit = call.get("timeout")
        self.until = time.monotonic() + (limit if limit is not None else timeout or of.timeout)
        self.cancellation = call.get("cancellation")
        self.request_id = call.get("request_id") or secrets.token_hex(8)
        if not _REQUEST_ID.fullmatch(self.request_id):
            raise InvalidArgumentError(
                f"request_id is {self.request_id!r}; allowed: 1 to 64 of A-Z a-z 0-9 . _ -",
                reason="INVALID_FIELD",
            )
        self.metadata: Metadata = [("x-request-id", self.request_id)]
        own = call.get("metadata") or ()
        _check_metadata(own)
        self.metadata += own
        self.metadata += trace_context(own)
        token = call.get("token") or of.token
        if token:
            of.check_token(token)
            self.metadata.append(("authorization", f"Bearer {token}"))

    def left(self) -> float:
        """Seconds until the call must be over; at least 0."""
        return max(0.0, self.until - time.monotonic())

    def delay(self, error: ZeroshotError, unavailable_too: bool = False) -> float | None:
        """Seconds after which a call that ended so is made again; None: it is not.

        A full server says when to come again; then it did nothing. Somewhat later, at random, so that
        those it sent away together do not come back together.
        """
        refused = error.code == "RESOURCE_EXHAUSTED" or (unavailable_too and error.code == "UNAVAILABLE")
        if not refused or not error.retry_delay:
            return None
        if self.attempt >= self._settings.max_attempts and self.persistent is None:
            return None
        wait = error.retry_delay * random.uniform(1.0, 1.5)
        if wait >= self.left():
            return None
        self.attempt += 1
        return wait

    def cancelled(self) -> CancelledError:
        """The error of a call that was."""
        return CancelledError("the call was cancelled", reason="CANCELLED", request_id=self.request_id)

    def sleep(self, seconds: float) -> bool:
        """False, at once, if the call is cancelled before that time is over."""
        return (self.persistent or self.cancellation or Cancellation()).sleep(seconds)


_propagate: Any
try:
    from opentelemetry import propagate as _propagate
except ImportError:
    _propagate = None


def trace_context(own: Sequence[tuple[str, str | bytes]] = ()) -> list[tuple[str, str]]:
    """The current trace as OpenTelemetry propagates it, if that package is there; not what `own` has."""
    if _propagate is None:
        return []
    carrier: dict[str, str] = {}
    _propagate.inject(carrier)
    mine = {name for name, _ in own}
    return [
        (name, value)
        for name, value in carrier.items()
        if name not in mine and _NAME.fullmatch(name) and _PRINTABLE.fullmatch(value)
    ]


def cut_off(prepared: Prepared) -> UnavailableError:
    """What it means that a question for health was cut off."""
    return UnavailableError("the server stops: it cut the call off", reason="STOPPING", request_id=prepared.request_id)


def check_serving(status: int, prepared: Prepared) -> None:
    """UnavailableError: the health service says that the server does not take calls."""
    if status != SERVING:
        raise UnavailableError(
            "not serving: the server starts or stops", reason="UNAVAILABLE", request_id=prepared.request_id
        )


# What a server says that may be ready later; RESOURCE_EXHAUSTED: too many ask at once.
NOT_READY = (UnavailableError, DeadlineExceededError, ResourceExhaustedError)


def time_of_a_question(until: float, of: Settings) -> float:
    """Seconds for one question for health, of a server that is waited for."""
    return min(max(0.001, until - time.monotonic()), HEALTH_TIMEOUT, of.timeout)


def not_ready(target: str, timeout: float, last: ZeroshotError) -> UnavailableError:
    """Of a server that was waited for; `last`: what it said at last."""
    return UnavailableError(
        f"the server at {target} was not ready within {timeout:g} s: {last.message}",
        reason=last.reason,
        request_id=last.request_id,
    )


def gone_again(last: ZeroshotError) -> UnavailableError:
    """Of an item that each server went away with."""
    return UnavailableError(
        f"the server went away each time that it had this: {last.message}",
        reason="UNAVAILABLE",
        request_id=last.request_id,
    )
