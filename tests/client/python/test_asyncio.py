"""AsyncClient does what Client does."""

import asyncio
import gc
import io
import itertools
import threading

import numpy as np
import pytest
from conftest import CLASSES, FROG, IMAGES, frozen

import zeroshot_client
from zeroshot_client import AsyncClient, Cancellation, ClassDefinition

BYTES = FROG.read_bytes()


def with_client(test):
    """Runs a coroutine function with a client of the shared server."""

    def run(shared):
        async def main():
            async with AsyncClient(shared.address) as client:
                await test(client)

        asyncio.run(main())

    run.__name__ = test.__name__
    return run


@with_client
async def test_it_builds_and_classifies(client):
    seen = []
    pets = await client.build(
        ["frog", "apple", ClassDefinition("car", group="machine")], ["a photo of a {}."], background=["sky"],
        progress=seen.append)
    assert seen
    assert (await pets(FROG, top_k=1)).top.class_name == "frog"
    assert (await client.classify(FROG, ["frog", "car"])).top.class_name == "frog"
    both = await client.classify_with_each([pets, await client.build(["animal"])], BYTES)
    assert [answer.predictions[0].class_name for answer in both] == ["frog", "animal"]
    answers = await pets.classify_batch([FROG, b"no image", "missing"])
    assert [answer.ok for answer in answers] == [True, False, False]
    assert await pets.classify_batch([]) == []
    assert (await pets.weights()).shape == (3, 128)
    assert (await pets.background_weights()).shape == (1, 128)
    assert await pets.class_names() == ("frog", "apple", "car")
    assert (pets.built.num_classes, pets.spec.class_names) == (3, ["frog", "apple", "car"])
    assert (await client.weight_set(pets.weight_set_id))._class_names == ("frog", "apple", "car")
    assert (await (await client.build("cifar10")).class_names())[0] == "airplane"
    assert repr(client) == f"AsyncClient({client.target!r})"


@with_client
async def test_it_tells_what_the_server_has(client):
    await client.wait_until_ready(10)
    assert (await client.model()).name == "demo"
    assert len((await client.template_sets())["openai-imagenet-7"]) == 7
    assert any(item.name == "cifar10" for item in await client.class_sets())
    assert (await client.class_set("cifar10"))[0] == "airplane"
    mine = await client.import_weight_set(np.eye(2, 128, dtype=np.float32), ["one", "two"])
    assert mine.weight_set_id in {item.weight_set_id for item in await client.list_weight_sets()}
    assert (await client.export_weight_set(mine.weight_set_id)).find(b"weights") > 0
    await client.delete_weight_set(mine.weight_set_id)
    with pytest.raises(zeroshot_client.NotFoundError):
        await mine(FROG)


@with_client
async def test_it_embeds(client):
    vectors = await client.embed_images([*IMAGES, b"no image"], errors="nan", batch_size=5)
    assert np.isnan(vectors).any(axis=1).tolist() == [False] * 12 + [True]
    assert (await client.embed_texts(CLASSES)).shape == (20, 128)
    assert (await client.embed_images([])).shape == (0, 128)
    with pytest.raises(zeroshot_client.InvalidArgumentError, match="item 1: "):
        await client.embed_images([FROG, b"no image"])
    with pytest.raises(zeroshot_client.InvalidArgumentError, match="raise, nan"):
        await client.embed_images([FROG], errors="ignore")
    with pytest.raises(TypeError, match="one text"):
        await client.embed_texts("a photo")


@with_client
async def test_many_images_come_in_order_or_as_completed(client):
    pets = await client.build(["frog", "apple", "car"])
    items = [*IMAGES, "missing.jpg", b"no image"] * 3
    for how in ({}, {"batch_size": 4}, {"ordered": False}, {"ordered": False, "batch_size": 4}):
        pairs = [pair async for pair in pets.classify_many(items, **how)]
        assert sum(answer.ok for _, answer in pairs) == 36
        if how.get("ordered", True):
            assert [item for item, _ in pairs] == items
    text = io.StringIO()
    assert await pets.to_csv(text, items) == (36, 6)
    assert text.getvalue().count("\n") == 43
    if zeroshot_client.tables.__name__ and _has_pandas():
        assert len(await pets.to_pandas(items)) == 42


def _has_pandas():
    try:
        import pandas  # noqa: F401
    except ImportError:
        return False
    return True


@with_client
async def test_async_iterators_are_read_as_there_is_room(client):
    pets = await client.build(["frog", "car"])
    read = 0

    async def endless():
        nonlocal read
        while True:
            read += 1
            yield BYTES

    for how in ({}, {"batch_size": 2}):
        read = count = most = 0
        pairs = pets.classify_many(endless(), in_flight=4, progress=True, **how)
        async for _, answer in pairs:
            assert answer.ok
            count += 1
            most = max(most, read - count)
            if count == 60:
                break
        await pairs.aclose()
        assert most <= 4 * 4 + 4
        assert len(asyncio.all_tasks()) <= 3


@with_client
async def test_what_would_end_all_is_raised(client):
    pets = await client.build(["frog", "car"])

    def broken():
        yield FROG
        yield FROG
        raise OSError("the folder is gone")

    got = []
    with pytest.raises(OSError, match="the folder is gone"):
        async for _, answer in pets.classify_many(broken()):
            got.append(answer.ok)
    assert len(got) == 2
    for how in ({"top_k": 5000}, {"top_k": 5000, "batch_size": 2}):
        with pytest.raises(zeroshot_client.InvalidArgumentError, match="at most"):
            async for _ in pets.classify_many(itertools.repeat(FROG), **how):
                pass
    with pytest.raises(zeroshot_client.InvalidArgumentError, match="batch_size"):
        pets.classify_many([FROG], batch_size=0)
    with pytest.raises(zeroshot_client.InvalidArgumentError, match="in_flight"):
        async for _ in pets.classify_many([FROG], in_flight=0):
            pass
    with pytest.raises(TypeError, match="cancel the task"):
        await pets(FROG, cancellation=Cancellation())


@with_client
async def test_what_fails_beside_the_first_failure_is_not_reported(client):
    """asyncio tells its exception handler of errors that nobody has looked at."""
    reported = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    pets = await client.build(["frog", "car"])
    with pytest.raises(zeroshot_client.InvalidArgumentError):
        async for _ in pets.classify_many([FROG] * 32, top_k=5000):
            pass
    gc.collect()
    await asyncio.sleep(0)
    assert not reported


def test_a_task_that_is_cancelled_ends_its_call(shared):
    async def main():
        async with AsyncClient(shared.address) as client:
            await client.health()
            with frozen(shared):
                for progress in (False, print):
                    task = asyncio.ensure_future(client.build(["frog"], progress=progress))
                    await asyncio.sleep(0.3)
                    task.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await task
                for progress in (False, print):
                    with pytest.raises(zeroshot_client.DeadlineExceededError):
                        await client.build(["frog"], timeout=0.3, progress=progress)

    asyncio.run(main())


@with_client
async def test_a_file_does_not_block_the_event_loop(client):
    pets = await client.build(["frog", "car"])
    held = threading.Event()

    class Slow(io.BytesIO):
        def read(self, *_):
            assert held.wait(60)
            return BYTES

    call = asyncio.ensure_future(pets(Slow()))
    assert (await pets(BYTES)).ok
    held.set()
    assert (await call).ok


def test_what_a_server_has_forgotten_is_built_again(start, stop):
    first = start()

    async def main():
        async with AsyncClient(first.address) as client:
            pets = await client.build(["frog", "car"])
            assert (await pets(BYTES)).ok
            stop(first)
            second = await asyncio.to_thread(start, listen=first.address)
            answers = await asyncio.gather(*(pets(BYTES) for _ in range(16)))
            assert {answer.top.class_name for answer in answers} == {"frog"}
            assert len(await client.list_weight_sets()) == 1
            await client.delete_weight_set(pets.weight_set_id)
            with pytest.raises((zeroshot_client.DeadlineExceededError, zeroshot_client.NotFoundError)):
                while True:
                    await client.delete_weight_set((await pets(BYTES)).weight_set_id)
                    await pets(BYTES, timeout=0.002)
            second.stop()

    asyncio.run(main())


@pytest.mark.parametrize("batch_size", [1, 4])
def test_a_restart_in_the_middle_loses_no_image(start, stop, batch_size):
    first = start()

    async def main():
        async with AsyncClient(first.address) as client:
            pets = await client.build(["frog", "car"])
            restart = None
            index = 0
            async for item, answer in pets.classify_many(range(400), image=lambda _: BYTES, batch_size=batch_size):
                if index == 50:
                    stop(first)
                    restart = asyncio.ensure_future(asyncio.to_thread(start, listen=first.address))
                assert item == index
                assert answer.ok, answer.error
                index += 1
            assert index == 400
            await restart

    asyncio.run(main())


def test_a_server_that_does_not_come_back_ends_many_images(start, stop):
    server = start()

    async def main():
        async with AsyncClient(server.address) as client:
            pets = await client.build(["frog", "car"])
            stop(server)
            for wait in (1, 0):
                with pytest.raises(zeroshot_client.UnavailableError):
                    async for _ in pets.classify_many(itertools.repeat(BYTES), wait_for_server=wait):
                        pass
            with pytest.raises(zeroshot_client.UnavailableError, match="not ready"):
                await client.wait_until_ready(0.3)

    asyncio.run(main())


def test_a_full_server_is_asked_again(start):
    server = start("--max_inflight=1")

    async def main():
        async with AsyncClient(server.address) as client:
            pets = await client.build(["frog", "car"])
            pairs = [pair async for pair in pets.classify_many([BYTES] * 20, in_flight=4)]
            assert all(answer.ok for _, answer in pairs)

    asyncio.run(main())


def test_tls_tokens_and_a_client_that_is_closed(start, tokens, certificates):
    server = start(tokens(builder="classify,build"), f"--tls_cert={certificates}/server.pem",
                   f"--tls_key={certificates}/server.key")

    async def main():
        client = AsyncClient(server.address, token="builder", tls_ca=certificates / "ca.pem")
        pets = await client.build(["frog", "car"])
        with pytest.raises(zeroshot_client.UnauthenticatedError):
            async for _ in pets.classify_many([FROG], token="stranger"):
                pass
        await client.close()
        with pytest.raises(ValueError, match="closed"):
            await client.model()

    asyncio.run(main())


def test_a_server_that_stops_is_not_healthy(loading):
    server, hold = loading

    async def main():
        async with AsyncClient(server.address) as client:
            with pytest.raises(zeroshot_client.UnavailableError):
                await client.health()
            hold.unlink()
            await client.wait_until_ready(120)

    asyncio.run(main())
