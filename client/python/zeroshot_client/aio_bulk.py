"""Many items with several calls in flight, as tasks: bulk.py for asyncio. Internal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Iterable, Sized
from typing import TYPE_CHECKING, Any, Callable, TypeVar

from zeroshot_client.bulk import ServerGoneError
from zeroshot_client.errors import InvalidArgumentError
from zeroshot_client.images import ImageLike, blocks, encode
from zeroshot_client.progress import bar
from zeroshot_client.types import (
    Answer,
)

if TYPE_CHECKING:
    pass

Item = TypeVar("Item")
Result = TypeVar("Result")


async def run(
    items: Iterable[Item] | AsyncIterable[Item],
    work: Callable[[Item], Awaitable[Result]],
    in_flight: int,
    ordered: bool = True,
) -> AsyncGenerator[tuple[Item, Result], None]:
    """As Bulk.run, with tasks."""
    if in_flight < 1:
        raise InvalidArgumentError(f"in_flight is {in_flight}; it must be at least 1")
    events: asyncio.Queue[tuple[int, Any, Any]] = asyncio.Queue()
    places = asyncio.Semaphore(in_flight)
    window = asyncio.Semaphore(4 * in_flight if ordered else 2 * in_flight)  # begun and not handed over
    tasks: set[asyncio.Future[Result]] = set()

    def begin(index: int, item: Item) -> None:
        def finish(task: asyncio.Future[Result]) -> None:
            tasks.discard(task)
            if not task.cancelled():
                task.exception()  # has been seen, also where nobody asks any more
            places.release()
            events.put_nowait((index, item, task))

        task = asyncio.ensure_future(work(item))
        tasks.add(task)
        task.add_done_callback(finish)

    async def feed() -> int:
        index = 0
        async for item in _each(items):
            await window.acquire()
            await places.acquire()
            begin(index, item)
            index += 1
        return index

    feeder = asyncio.ensure_future(feed())
    feeder.add_done_callback(lambda task: events.put_nowait((-1, None, task)))
    waiting: dict[int, tuple[Item, Result]] = {}
    finished = handed = 0
    count: int | None = None  # known when all are begun
    failure: BaseException | None = None
    try:
        while count is None or finished < count:
            index, item, task = await events.get()
            if index < 0:
                failure = task.exception()
                count = finished + len(tasks) + events.qsize() if failure is not None else task.result()
                continue
            finished += 1
            try:
                waiting[index] = (item, task.result())
            except ServerGoneError as stopped:
                raise stopped.error from None
            while waiting and (not ordered or handed in waiting):
                yield waiting.pop(handed) if ordered else waiting.popitem()[1]
                handed += 1
                window.release()
        if failure is not None:
            raise failure
    finally:
        feeder.cancel()
        left: list[asyncio.Future[Any]] = [feeder, *tasks]
        for future in left:
            future.cancel()
        await asyncio.gather(*left, return_exceptions=True)


async def encode_aside(image: ImageLike) -> bytes:
    return await asyncio.to_thread(encode, image) if blocks(image) else encode(image)


async def _each(items: Iterable[Item] | AsyncIterable[Item]) -> AsyncIterator[Item]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item


async def lists(items: Iterable[Item] | AsyncIterable[Item], size: int) -> AsyncIterator[list[Item]]:
    batch: list[Item] = []
    async for item in _each(items):
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


async def flat(
    batches: AsyncGenerator[tuple[list[Item], list[Answer]], None],
) -> AsyncGenerator[tuple[Item, Answer], None]:
    try:
        async for items, answers in batches:
            for pair in zip(items, answers):
                yield pair
    finally:
        await batches.aclose()


async def with_bar(
    pairs: AsyncGenerator[tuple[Item, Answer], None], images: object
) -> AsyncGenerator[tuple[Item, Answer], None]:
    shown = bar("classify", len(images) if isinstance(images, Sized) else None, " images")
    try:
        async for pair in pairs:
            yield pair
            shown.update()
    finally:
        shown.close()
        await pairs.aclose()
