"""What servers and networks do: full, slow, forgetful, away, encrypted, guarded."""

import asyncio
import concurrent.futures
import itertools
import threading
import time

import pytest
from conftest import FROG, IMAGES

import zeroshot_client
from zeroshot_client import AsyncClient, Cancellation, Client

BYTES = FROG.read_bytes()


def test_a_full_server_is_asked_again_when_it_says(start):
    server = start("--max_inflight=1")
    with Client(server.address) as client, Client(server.address, max_attempts=1) as once:
        pets, impatient = client.build(["frog", "car"]), once.build(["frog", "car"])
        with concurrent.futures.ThreadPoolExecutor(8) as threads:
            refused = []
            while not refused:
                futures = [threads.submit(impatient, BYTES) for _ in range(64)]
                refused = [f.exception() for f in futures if f.exception() is not None]
            assert {error.reason for error in refused} == {"OVERLOADED"}
            assert refused[0].retry_delay == pytest.approx(0.5)
            # Each has five attempts; only one that finds the server full five times fails, after two seconds.
            begun = time.monotonic()
            failed = [f.exception() for f in [threads.submit(pets, BYTES) for _ in range(8)]]
            if any(failed):
                assert time.monotonic() - begun > 1.9
        # Many images are a queue, not a crowd: none is given up.
        assert all(answer.ok for _, answer in pets.classify_many([BYTES] * 40, in_flight=4))
        assert all(answer.ok for _, answer in pets.classify_many([BYTES] * 4, batch_size=1, in_flight=4))


def test_waiting_for_a_full_server_ends_with_the_deadline_and_when_cancelled(start):
    server = start("--max_inflight=1")
    busy, stop = Client(server.address), threading.Event()
    pets = busy.build(["frog", "car"])

    def load():
        while not stop.is_set():
            busy.embed_texts(["x " * 60], in_flight=1)

    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        for _ in range(6):
            threads.submit(load)
        try:
            deadlines = 0
            for _ in range(200):
                begun = time.monotonic()
                try:
                    pets(BYTES, timeout=0.2)
                except zeroshot_client.ResourceExhaustedError:
                    deadlines += 1
                    assert time.monotonic() - begun < 0.5  # the delay that it was told
                    break
                except zeroshot_client.DeadlineExceededError:
                    pass
            assert deadlines
            cancellation = Cancellation()
            cancellation.cancel()
            with pytest.raises(zeroshot_client.CancelledError):
                for _ in range(200):
                    pets(BYTES, cancellation=cancellation)
        finally:
            stop.set()
    busy.close()


def test_what_a_server_has_forgotten_is_built_again(start, stop):
    first = start()
    with Client(first.address) as client:
        pets = client.build(["frog", "car"])
        other = client.build(["apple", "pizza"])
        assert pets(BYTES).ok
        stop(first)
        second = start(listen=first.address)
        with concurrent.futures.ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(pets, [BYTES] * 16))
        assert {answer.top.class_name for answer in answers} == {"frog"}
        assert len(client.list_weight_sets()) == 1  # one build for all
        assert next(a.top.class_name for a in client.classify_with_each([pets, other], BYTES)) == "frog"
        assert other.weights.shape == (2, 128)
        client.delete_weight_set(pets.weight_set_id)
        assert pets.class_names == ("frog", "car")
        assert [answer.ok for answer in pets.classify_batch([BYTES, BYTES])] == [True, True]
        second.stop()


def test_a_set_without_its_prompts_is_not_built_again(client):
    found = client.weight_set(client.build(["frog", "zebra"]).weight_set_id)
    client.delete_weight_set(found.weight_set_id)
    with pytest.raises(zeroshot_client.NotFoundError) as raised:
        found(BYTES)
    assert raised.value.reason == "WEIGHT_SET_NOT_FOUND"
    mixed = client.build(["frog", "zebra"])
    gone = client.weight_set(mixed.weight_set_id)
    imported = client.import_weight_set(mixed.weights, ["frog", "zebra"])
    client.delete_weight_set(imported.weight_set_id)
    with pytest.raises(zeroshot_client.NotFoundError) as raised:
        client.classify_with_each([mixed, imported], BYTES)
    assert raised.value.reason == "WEIGHT_SET_NOT_REBUILDABLE"
    assert gone.spec is None
    assert mixed.spec.class_names == ["frog", "zebra"]


def test_a_rebuild_that_takes_longer_than_a_call_is_found_by_a_later_one(client):
    prompts = {"frog": [f"a long description, number {i}, of many different words {i * 7}" for i in range(6000)]}
    slow = client.build(prompts)
    client.delete_weight_set(slow.weight_set_id)
    # What was encoded is known by its tokens: others push it out.
    with Client(client.target) as another:
        fresh = {"frog": [f"{i} quite different words of number {i * 3} {i}" for i in range(6000)]}
        built = another.build(fresh)
        another.delete_weight_set(built.weight_set_id)
        with pytest.raises((zeroshot_client.DeadlineExceededError, zeroshot_client.NotFoundError)):
            built(BYTES, timeout=0.001)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                assert built(BYTES).ok
                break
            except zeroshot_client.DeadlineExceededError:
                continue


@pytest.mark.parametrize("batch_size", [1, 4])
def test_a_restart_in_the_middle_loses_no_image(start, stop, batch_size):
    first = start()
    with Client(first.address) as client:
        pets = client.build(["frog", "car"])
        servers = []

        def restart():
            stop(first)
            time.sleep(1)
            servers.append(start(listen=first.address))

        thread = threading.Thread(target=restart)
        count = 0
        for index, (item, answer) in enumerate(pets.classify_many(range(300), image=lambda _: BYTES,
                                                                  batch_size=batch_size)):
            if index == 50:
                thread.start()
            assert item == index
            assert answer.ok, answer.error
            count += 1
        thread.join()
        assert count == 300
        assert servers


def test_a_server_that_does_not_come_back_ends_many_images(start, stop):
    server = start()
    with Client(server.address) as client:
        pets = client.build(["frog", "car"])
        for wait in (1, 0):
            got = 0
            begun = None
            with pytest.raises(zeroshot_client.UnavailableError) as raised:
                for _ in pets.classify_many(itertools.repeat(BYTES), wait_for_server=wait):
                    got += 1
                    if got == 20 and begun is None:
                        stop(server)
                        begun = time.monotonic()
            assert raised.value.reason == "UNAVAILABLE"
            assert isinstance(raised.value, ConnectionError)
            if begun is not None:
                assert time.monotonic() - begun < 30
                assert "not ready within 1 s" in str(raised.value)


def test_a_server_that_is_away_is_unavailable(start, stop):
    server = start()
    stop(server)
    with Client(server.address) as client:
        begun = time.monotonic()
        with pytest.raises(zeroshot_client.UnavailableError):
            client.model()
        assert time.monotonic() - begun > 0.3  # it has been tried again
        with pytest.raises(zeroshot_client.UnavailableError, match=r"not ready within 0\.5 s"):
            client.wait_until_ready(0.5)
        stopper = Cancellation()
        threading.Timer(0.3, stopper.cancel).start()
        with pytest.raises(zeroshot_client.CancelledError):
            client.wait_until_ready(60, cancellation=stopper)
        server = start(listen=server.address, ready=False)
        client.wait_until_ready(120)
        assert client.model().name == "demo"
    with Client(server.address, max_attempts=1, watch_health=True) as client:
        assert client.model().name == "demo"


def test_a_server_that_loads_is_waited_for(loading):
    server, hold = loading
    with Client(server.address) as client:
        with pytest.raises(zeroshot_client.UnavailableError):
            client.health()
        threading.Timer(1, hold.unlink).start()
        client.wait_until_ready(120)
        assert client.model().name == "demo"
    server.stop()


def test_a_delete_waits_for_a_server_that_loads(loading):
    """gRPC does not repeat it; the server's word that it did nothing allows us to."""
    server, hold = loading
    with Client(server.address) as client:
        threading.Timer(0.5, hold.unlink).start()
        with pytest.raises((zeroshot_client.NotFoundError, zeroshot_client.InvalidArgumentError)):
            client.delete_weight_set("0" * 64)


def test_a_message_that_is_too_large_says_so(shared):
    with Client(shared.address, max_message_bytes=1000) as client:
        with pytest.raises(zeroshot_client.ResourceExhaustedError):
            client.build(["frog" * 500])
        with pytest.raises(zeroshot_client.ResourceExhaustedError):
            client.template_sets()


def test_tls_with_and_without_a_clients_certificate(start, certificates):
    flags = [f"--tls_cert={certificates}/server.pem", f"--tls_key={certificates}/server.key"]
    server = start(*flags)
    ca = certificates / "ca.pem"
    with Client(server.address, tls_ca=ca) as client:
        assert client.build(["frog", "car"])(FROG).top.class_name == "frog"
    with Client(server.address, tls_ca=ca.read_bytes()) as client:
        assert client.model().name == "demo"
    for plain in ({}, {"tls": True}):
        with Client(server.address, max_attempts=1, **plain) as client, pytest.raises(zeroshot_client.UnavailableError):
            client.model(timeout=10)
    mutual = start(*flags, f"--tls_client_ca={ca}")
    with Client(mutual.address, tls_ca=ca, tls_cert=certificates / "client.pem",
                tls_key=str(certificates / "client.key")) as client:
        assert client.model().name == "demo"
    with Client(mutual.address, tls_ca=ca, max_attempts=1) as client, pytest.raises(zeroshot_client.UnavailableError):
        client.model(timeout=10)


def test_tokens_allow_and_refuse(start, tokens, certificates):
    server = start(tokens(reader="classify", builder="classify,build"))
    with Client(server.address, token="builder") as client, Client(server.address, token="reader") as reader:
        pets = client.build(["frog", "car"])
        assert reader.weight_set(pets.weight_set_id)(FROG).top.class_name == "frog"
        with pytest.raises(zeroshot_client.PermissionDeniedError) as raised:
            reader.build(["frog", "car"])
        assert raised.value.reason == "PERMISSION_DENIED"
        assert reader.build(["frog", "car"], token="builder").built.cached
        # Later builds have the token too.
        rebuilt = reader.build(["frog", "cat"], token="builder", metadata=[("x-mine", "1")])
        assert rebuilt(FROG, token="builder").ok
        with pytest.raises(zeroshot_client.UnauthenticatedError) as raised:
            client.model(token="stranger")
        assert raised.value.reason == "UNAUTHENTICATED"
        with pytest.raises(zeroshot_client.InvalidArgumentError, match="A-Z a-z"):
            client.model(token="sträng")
        # Of many images the first refusal ends all.
        with pytest.raises(zeroshot_client.UnauthenticatedError):
            list(pets.classify_many(itertools.repeat(FROG), token="stranger"))
    secure = start(tokens(builder="classify,build"), f"--tls_cert={certificates}/server.pem",
                   f"--tls_key={certificates}/server.key")
    with Client(secure.address, token="builder", tls_ca=certificates / "ca.pem") as client:
        assert client.build(["frog", "car"])(FROG).ok


def test_servers_need_not_share_what_is_built(start):
    """A build goes to one of them, the call behind it to the other."""
    servers = [start(), start()]
    addresses = ",".join(server.address for server in servers)

    async def top(names):
        async with AsyncClient(f"ipv4:{addresses}") as client:
            pets = await client.build(names)
            return [(await pets(BYTES)).ok, (await pets.classify_batch([BYTES]))[0].ok]

    with Client(f"ipv4:{addresses}") as client:
        for i in range(6):
            pets = client.build(["frog", f"car {i}"])
            assert all(pets(BYTES).ok for _ in range(3))
            pets = client.build(["frog", f"truck {i}"])
            assert all(pets.classify_batch([BYTES])[0].ok for _ in range(3))
    assert asyncio.run(top(["frog", "ship"])) == [True, True]
    assert asyncio.run(top(["frog", "boat"])) == [True, True]


def test_many_images_go_to_several_servers(start, stop):
    servers = [start(), start()]
    addresses = ",".join(server.address for server in servers)
    with Client(f"ipv4:{addresses}") as client:
        pets = client.build(["frog", "car"])
        killed = False
        for index, (_, answer) in enumerate(pets.classify_many(IMAGES * 25)):
            assert answer.ok, answer.error
            if index == 100 and not killed:
                stop(servers[0])
                killed = True
    assert killed
