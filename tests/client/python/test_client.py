"""The calls of a client, one by one."""

import logging
import multiprocessing
import os
import pickle
import threading
import time

import numpy as np
import pytest
from conftest import CLASSES, FROG, IMAGES, frozen

import zeroshot_client
from zeroshot_client import Cancellation, ClassDefinition, Client


def test_an_answer_has_what_the_contract_says(client):
    pets = client.build(
        [ClassDefinition("frog", group="animal"), ClassDefinition("car", min_probability=0.99), "apple"],
        ["a photo of a {}."], background=["something else"])
    answer = pets(FROG, top_k=2, return_probabilities=True, min_probability=0.5, score_function="softmax")
    assert answer.ok
    assert answer.top.class_name == "frog"
    assert answer.top.accepted
    assert str(answer.top) == "frog 100.0%"
    assert len(answer.predictions) == 2
    assert answer.probabilities.shape == (3,)
    assert answer.probabilities.sum() + answer.other_probability == pytest.approx(1, abs=1e-5)
    assert answer.groups[0].group == "animal"
    assert answer.timing.total > 0
    assert answer.weight_set_id == pets.weight_set_id
    assert not answer.embedding_cached
    assert answer.build is None
    assert answer == pets(FROG, top_k=2, return_probabilities=True) or answer.error is None
    assert "frog" in repr(answer)
    assert pickle.loads(pickle.dumps(answer)) == answer
    assert answer != 3


def test_options_that_are_not_allowed_name_what_is(pets):
    with pytest.raises(zeroshot_client.InvalidArgumentError, match="softmax, sigmoid"):
        pets(FROG, score_function="linear")
    with pytest.raises(zeroshot_client.InvalidArgumentError, match="top_k is 0"):
        pets(FROG, top_k=0)
    with pytest.raises(TypeError, match="unknown keyword 'time_out'"):
        pets(FROG, time_out=3)


def test_one_call_builds_and_classifies(client):
    answer = client.classify(FROG, ["frog", "apple"], "a photo of a {}.")
    assert answer.top.class_name == "frog"
    assert answer.build.num_classes == 2
    assert client.weight_set(answer.weight_set_id[:12])(FROG).top.class_name == "frog"


def test_several_classifiers_share_one_pass(client, pets):
    other = client.build(["animal", "machine"])
    first, second = client.classify_with_each([pets, other], FROG)
    assert first.top.class_name == "frog"
    assert {p.class_name for p in second.predictions} == {"animal", "machine"}
    assert second.weight_set_id == other.weight_set_id
    assert second.timing.total == 0
    with pytest.raises(zeroshot_client.InvalidArgumentError, match="no classifier"):
        client.classify_with_each([], FROG)


def test_a_batch_answers_each_image_alone(pets):
    answers = pets.classify_batch([FROG, b"no image", "missing.png"])
    assert [answer.ok for answer in answers] == [True, False, False]
    assert answers[1].error.reason == "IMAGE_NOT_SUPPORTED"
    with pytest.raises(zeroshot_client.InvalidArgumentError):
        answers[1].top  # noqa: B018
    assert pets.classify_batch([]) == []
    assert [answer.ok for answer in pets.classify_batch(["missing.png"])] == [False]
    with pytest.raises(zeroshot_client.InvalidArgumentError, match="16"):
        pets.classify_batch([FROG] * 17)


def test_weights_are_the_classifier(client):
    pets = client.build(["frog", "apple"], background=["car"])
    assert pets.weights.shape == (2, 128)
    assert pets.background_weights.shape == (1, 128)
    assert np.linalg.norm(pets.weights, axis=1) == pytest.approx(1, abs=1e-5)
    image = client.embed_images([FROG])[0]
    cosines = {p.class_name: p.cosine for p in pets(FROG).predictions}
    assert pets.weights @ image == pytest.approx([cosines["frog"], cosines["apple"]], abs=1e-3)


def test_weights_leave_and_enter(client, tmp_path):
    weights = np.eye(3, 128, dtype=np.float32)
    names = ["one", "two", "three"]
    mine = client.import_weight_set(weights, names, name="mine")
    assert mine.class_names == ("one", "two", "three") or mine.class_names == tuple(names)
    np.testing.assert_array_equal(mine.weights, weights)
    columns = np.load(__import__("io").BytesIO(mine.export(format="npy", layout="columns")))
    np.testing.assert_array_equal(columns, weights.T)
    path = tmp_path / "set.safetensors"
    path.write_bytes(client.export_weight_set(mine.weight_set_id))
    assert client.import_weight_set(path).weight_set_id == mine.weight_set_id
    assert client.import_weight_set(path.read_bytes()).built.cached
    with pytest.raises(zeroshot_client.InvalidArgumentError, match="layout"):
        client.import_weight_set(weights, names, layout="diagonal")
    with pytest.raises(zeroshot_client.InvalidArgumentError) as raised:
        client.import_weight_set(b"no file")
    assert raised.value.reason == "INVALID_FILE"


def test_names_of_many_classes_go_in_several_headers(client):
    names = [f"class {'x' * 1000} {i}" for i in range(2000)]
    weights = np.zeros((len(names), 128), np.float32)
    weights[:, 0] = 1
    mine = client.import_weight_set(weights, names)
    assert list(client.describe_weight_set(mine.weight_set_id).class_names) == names
    client.delete_weight_set(mine.weight_set_id)


def test_the_server_says_what_it_has(client):
    model = client.model()
    assert model.name == "demo"
    assert model.is_demo
    assert model.score_function == "softmax"
    assert model.limits.max_batch_items == 16
    assert "openai-imagenet-80" in model.template_sets
    assert len(client.template_sets()["openai-imagenet-7"]) == 7
    assert next(item for item in client.class_sets() if item.name == "cifar10").template_set == "openai-cifar10"
    assert client.class_set("cifar10")[0] == "airplane"
    built = client.build([ClassDefinition("frog", min_probability=0.5, group="animal"), "car"], name="named")
    found = next(s for s in client.list_weight_sets() if s.weight_set_id == built.weight_set_id)
    assert found.display_name == "named"
    assert found.create_time.tzinfo is not None
    described = client.describe_weight_set(built.weight_set_id)
    assert described.class_names == ("frog", "car")
    assert described.min_probabilities == {0: 0.5}
    assert described.groups == {0: "animal"}
    client.delete_weight_set(built.weight_set_id)
    with pytest.raises(zeroshot_client.NotFoundError) as raised:
        client.describe_weight_set(built.weight_set_id)
    assert raised.value.reason == "WEIGHT_SET_NOT_FOUND"


def test_all_pages_of_a_list_are_asked_for(client):
    names = [f"name {i}" for i in range(12_000)]
    weights = np.zeros((len(names), 128), np.float32)
    weights[:, 1] = 1
    mine = client.import_weight_set(weights, names)
    assert list(client.describe_weight_set(mine.weight_set_id).class_names) == names
    client.delete_weight_set(mine.weight_set_id)
    for i in range(101):
        client.build([f"frog {i}"])
    listed = client.list_weight_sets()
    assert len(listed) > 100
    assert len({item.weight_set_id for item in listed}) == len(listed)


def test_class_names_of_a_set_by_name_come_from_the_server(client):
    assert client.build("cifar10").class_names[0] == "airplane"


def test_embeddings_are_unit_rows_in_the_order_of_the_items(client):
    vectors = client.embed_images(IMAGES * 3, batch_size=5)
    assert vectors.shape == (36, 128)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(vectors[:12], vectors[24:], atol=2e-3)
    texts = client.embed_texts(f"a photo of a {name}." for name in CLASSES)
    assert texts.shape == (20, 128)
    assert client.embed_texts([]).shape == (0, 128)
    assert client.embed_images([]).shape == (0, 128)


def test_an_item_that_cannot_be_embedded_is_raised_or_nan(client):
    with pytest.raises(zeroshot_client.InvalidArgumentError, match="item 1: "):
        client.embed_images([FROG, b"no image"])
    vectors = client.embed_images([FROG, b"no image", FROG], errors="nan", batch_size=2)
    assert np.isnan(vectors).any(axis=1).tolist() == [False, True, False]
    with pytest.raises(zeroshot_client.InvalidArgumentError, match="item 0: "):
        client.embed_texts(["word " * 300])
    with pytest.raises(zeroshot_client.InvalidArgumentError, match="raise, nan"):
        client.embed_images([FROG], errors="ignore")
    with pytest.raises(TypeError, match="one text"):
        client.embed_texts("a photo")


def test_a_build_tells_its_progress(client):
    seen = []
    templates = [f"{i} {{}} of many words that are not the same in all" for i in range(40)]
    built = client.build([f"{name} {i}" for name in CLASSES for i in range(30)], templates, progress=seen.append)
    assert built.built.num_prompts == 600 * 40
    assert seen[-1].prompts_done <= seen[-1].prompts_total
    assert {event.prompts_total for event in seen} <= {24_000, 0}
    assert client.build(["frog", "toad"], progress=True).built.num_classes == 2


def test_a_request_id_is_found_in_the_log_and_in_the_error(start):
    server = start("--log_level=debug")
    with Client(server.address) as client:
        pets = client.build(["frog", "car"])
        with pytest.raises(zeroshot_client.InvalidArgumentError) as raised:
            pets(b"no image", request_id="mine-42")
        assert raised.value.request_id == "mine-42"
        assert server.wait_for("mine-42", 10)
        assert pets(FROG).request_id
        with pytest.raises(zeroshot_client.InvalidArgumentError, match="request_id"):
            pets(FROG, request_id="with spaces")


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ([("Upper", "x")], "name 'Upper'"),
        ([("authorization", "x")], "token"),
        ([("grpc-timeout", "x")], "gRPC's own"),
        ([("x", "umläut")], "printable ASCII"),
    ],
)
def test_metadata_that_cannot_be_sent_is_refused(pets, metadata, message):
    with pytest.raises(zeroshot_client.InvalidArgumentError, match=message):
        pets(FROG, metadata=metadata)


def test_metadata_goes_with_the_call(pets):
    assert pets(FROG, metadata=[("x-mine", "1"), ("x-mine-bin", b"\0\1")]).ok


def test_a_call_ends_at_its_deadline(client, shared):
    client.health()
    begun = time.monotonic()
    with frozen(shared), pytest.raises(zeroshot_client.DeadlineExceededError) as raised:
        client.build(["frog"], timeout=0.3)
    assert time.monotonic() - begun < 10
    assert isinstance(raised.value, TimeoutError)
    assert raised.value.reason == "DEADLINE_EXCEEDED"


def test_a_call_is_cancelled_from_another_thread(client, shared):
    client.health()
    for progress in (False, lambda _: None):
        stop = Cancellation()
        timer = threading.Timer(0.3, stop.cancel)
        timer.start()
        begun = time.monotonic()
        with frozen(shared), pytest.raises(zeroshot_client.CancelledError):
            client.build(["frog"], cancellation=stop, progress=progress)
        assert time.monotonic() - begun < 10
        assert stop.cancelled
        with pytest.raises(zeroshot_client.CancelledError):
            client.model(cancellation=stop)
    assert client.model(cancellation=Cancellation()).name == "demo"


def test_a_client_that_is_closed_says_so(shared):
    client = Client(shared.address)
    assert repr(client) == f"Client({shared.address!r})"
    client.health()
    client.close()
    client.close()
    with pytest.raises(ValueError, match="closed"):
        client.model()


def test_closing_ends_calls_under_way(shared):
    client = Client(shared.address)
    client.health()
    threading.Timer(0.3, client.close).start()
    with frozen(shared), pytest.raises(zeroshot_client.CancelledError):
        client.build(["frog"])


def test_threads_share_a_client(pets):
    wrong = []

    def ask():
        wrong.extend(1 for _ in range(10) if pets(FROG).top.class_name != "frog")

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_classifier_goes_to_another_process(pets):
    copy = pickle.loads(pickle.dumps(pets))
    assert copy(FROG).top.class_name == "frog"
    assert copy.weight_set_id == pets.weight_set_id
    assert "frog" in repr(copy)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_top, (pets, FROG)) == "frog"


def _top(classifier, path):
    return classifier(path).top.class_name


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_process_has_a_connection_of_its_own(pets):
    assert pets(FROG).ok
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, pets(FROG, timeout=20).top.class_name.encode())
        finally:
            os._exit(0)
    os.close(write)
    _, status = os.waitpid(child, 0)
    with open(read, "rb") as pipe:
        assert (status, pipe.read()) == (0, b"frog")
    assert pets(FROG).ok


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": ""}, "HOST:PORT"),
        ({"max_attempts": 6}, "1 to 5"),
        ({"timeout": 0}, "over 0"),
        ({"token": "with spaces"}, "A-Z a-z"),
        ({"tls_cert": b"x"}, "go together"),
        ({"target": "example.org:1", "token": "abc"}, "unencrypted"),
        ({"target": "dns://1.1.1.1/localhost:1", "token": "abc"}, "unencrypted"),
        ({"target": "ipv4:127.0.0.1:1,10.0.0.1:1", "token": "abc"}, "unencrypted"),
    ],
)
def test_arguments_that_are_not_allowed_are_refused(arguments, message):
    with pytest.raises(zeroshot_client.InvalidArgumentError, match=message):
        Client(**arguments)


@pytest.mark.parametrize(
    "target",
    ["127.0.0.1:1", "localhost:1", "[::1]:1", "unix:/tmp/x", "ipv4:127.0.0.1:1,127.0.0.2:1", "dns:///localhost:1",
     "dns:localhost", "ipv6:[::1]:1"],
)
def test_a_token_goes_to_this_machine(target):
    assert Client(target, token="abc").target == target


def test_the_target_comes_from_the_environment(monkeypatch, shared):
    monkeypatch.delenv("ZEROSHOT_TARGET", raising=False)
    assert Client().target == "127.0.0.1:50051"
    monkeypatch.setenv("ZEROSHOT_TARGET", shared.address)
    with Client() as client:
        assert client.model().name == "demo"
        client.wait_until_ready(5)


def test_a_trace_is_propagated(pets, start):
    trace = pytest.importorskip("opentelemetry.trace")
    from opentelemetry.sdk.trace import TracerProvider

    from zeroshot_client.connection import trace_context

    tracer = TracerProvider().get_tracer("test")
    assert trace_context() == []
    with tracer.start_as_current_span("span"):
        span = trace.get_current_span().get_span_context()
        assert format(span.trace_id, "032x") in dict(trace_context())["traceparent"]
        assert trace_context([("traceparent", "mine")]) == []
        server = start("--log_level=debug")
        with Client(server.address) as client:
            client.build(["frog", "car"])
            assert server.wait_for(format(span.trace_id, "032x"), 10)


def test_nothing_is_logged(pets, caplog):
    with caplog.at_level(logging.DEBUG):
        pets(FROG)
    assert not [record for record in caplog.records if record.name.startswith("zeroshot")]
