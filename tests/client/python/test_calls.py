"""What an answer that contradicts the contract comes to. No server gives such answers; a proxy may."""

import numpy as np
import pytest

import zeroshot_client
from zeroshot_client import calls, errors
from zeroshot_client._proto import error_details_pb2
from zeroshot_client._proto import zeroshot_pb2 as pb
from zeroshot_client.connection import Prepared, Settings


def test_answers_are_counted():
    options = calls.Options()
    with pytest.raises(zeroshot_client.InternalError, match="1 answers for 2 weight sets"):
        calls.classify(b"", ["a", "b"], options).convert(pb.ClassifyResponse(), "id")
    with pytest.raises(zeroshot_client.InternalError, match="0 answers for 1 images"):
        calls.classify_batch([b""], "a", options).convert(pb.ClassifyBatchResponse(), "id")
    with pytest.raises(zeroshot_client.InternalError, match="3 numbers for 1 items"):
        calls.embed_texts(["a"]).convert(pb.EmbedTextsResponse(embeddings=[1, 2, 3], embedding_dim=2), "id")


def test_a_build_ends_with_its_result():
    progress = pb.BuildClassifierStreamResponse(progress=pb.BuildProgress())
    for events in ([], [progress]):
        with pytest.raises(zeroshot_client.InternalError, match="without a result"):
            calls.build_result(events, "id")


def test_pages_come_to_an_end():
    pages = calls.class_set("name")
    assert pages.add(pb.GetClassSetResponse(class_names=["a"], next_page_token="1")) is pages.call
    with pytest.raises(zeroshot_client.InternalError, match="twice"):
        pages.add(pb.GetClassSetResponse(next_page_token="1"))


def test_pieces_of_a_file_are_counted():
    pieces = [pb.ExportWeightSetResponse(data=b"ab", total_bytes=4), pb.ExportWeightSetResponse(data=b"c")]
    with pytest.raises(zeroshot_client.DataLossError, match="3 bytes"):
        calls.check_exported(pieces, "id")
    with pytest.raises(zeroshot_client.DataLossError):
        calls.check_exported([], "id")


def test_batches_are_bounded_by_images_and_bytes():
    large = bytes(calls.BATCH_BYTES // 2 + 1)
    assert [len(batch) for batch in calls.in_batches([large, large, b"", b"", b""], 3)] == [1, 3, 1]
    assert [len(batch) for batch in calls.lists(range(5), 2)] == [2, 2, 1]


def test_a_matrix_of_any_library_is_imported():
    class Tensor:
        def __array__(self, dtype=None, copy=None):
            return np.eye(2, dtype=np.float16)

    assert np.load(__import__("io").BytesIO(calls.weights_file(Tensor()))).dtype == np.float16


def test_a_delay_is_waited_for_only_where_there_is_time():
    settings = Settings("localhost:1")
    refused = errors.ResourceExhaustedError("full", retry_delay=0.5)
    prepared = Prepared(settings, {"timeout": 60})
    delays = [prepared.delay(refused) for _ in range(5)]
    assert all(0.5 <= delay <= 0.75 for delay in delays[:4])
    assert delays[4] is None  # five attempts
    assert Prepared(settings, {"timeout": 0.4}).delay(refused) is None
    assert Prepared(settings, {}).delay(errors.ResourceExhaustedError("too large")) is None
    away = errors.UnavailableError("loading", retry_delay=1.0)
    assert Prepared(settings, {}).delay(away) is None
    assert Prepared(settings, {}).delay(away, unavailable_too=True) >= 1
    many = Prepared(settings, {}, persistent=zeroshot_client.Cancellation())
    assert all(many.delay(refused) for _ in range(20))


def test_details_are_read_by_their_type():
    status = pb.ItemStatus(code=8, message="full")
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason="OVERLOADED", metadata={"cause": "images"}))
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromMilliseconds(1500)
    status.details.add().Pack(retry)
    for detail, name in zip(status.details, ("ErrorInfo", "RetryInfo")):
        detail.type_url = f"type.googleapis.com/google.rpc.{name}"
    status.details.add(type_url="type.googleapis.com/google.rpc.Help", value=b"\xff")
    error = errors.of_item(status, "id")
    assert isinstance(error, zeroshot_client.ResourceExhaustedError)
    assert (error.reason, error.metadata, error.retry_delay) == ("OVERLOADED", {"cause": "images"}, 1.5)
    assert str(error) == "full (OVERLOADED)"
    assert errors.of_item(pb.ItemStatus(code=99), "id").code == "UNKNOWN"
    assert not errors.concerns_one(zeroshot_client.NotFoundError("x"))
    assert errors.concerns_one(zeroshot_client.InvalidArgumentError("x", metadata={"field": "images[3]"}))
    assert not errors.concerns_one(zeroshot_client.InvalidArgumentError("x", metadata={"field": "images"}))


def test_names_of_all_pages_are_joined():
    pages = [pb.GetWeightSetResponse(class_names=["a", "b"]), pb.GetWeightSetResponse(background=["e"])]
    pages.insert(1, pb.GetWeightSetResponse(class_names=["c"], background=["d"]))
    pages[0].decisions.add(class_index=1, min_probability=0.5, group="letter")
    pages[1].decisions.add(class_index=2, group="letter")
    joined = calls.joined(pages)
    assert joined.class_names == ("a", "b", "c")
    assert joined.background == ("d", "e")
    assert joined.min_probabilities == {1: 0.5}
    assert joined.groups == {1: "letter", 2: "letter"}
