"""Many items with several calls in flight.

Internal. Thread rule: a Bulk is used by the thread that made it; `work` is called on threads of its own.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Callable, TypeVar

from zeroshot_client.cancellation import Cancellation
from zeroshot_client.connection import Prepared, gone_again
from zeroshot_client.errors import CancelledError, InvalidArgumentError, UnavailableError
from zeroshot_client.types import CallOptions

if TYPE_CHECKING:
    from zeroshot_client.client import Client

Item = TypeVar("Item")
Result = TypeVar("Result")
# Times that a server goes away while it has one and the same item; then the item has failed.
TRIES = 3


class ServerGoneError(Exception):
    """The server is gone and does not come back: the error to raise for all items."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class Bulk:
    """The calls of many items, through a connection of their own, which ends them where they are not wanted."""

    def __init__(self, client: Client, in_flight: int, wait_for_server: float, call: CallOptions) -> None:
        if in_flight < 1:
            raise InvalidArgumentError(f"in_flight is {in_flight}; it must be at least 1")
        self._call = call.copy()
        cancellation = self._call.pop("cancellation", None)
        Prepared(client._settings, self._call)  # raises what is wrong with the keywords
        self._in_flight = in_flight
        self._wait = wait_for_server
        self._stop = Cancellation()
        self._twin = client.twin()
        self._waiting = threading.Lock()
        self._todo: queue.SimpleQueue[tuple[int, object] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._unwatch = cancellation.watch(self._end) if cancellation is not None else lambda: None

    def __enter__(self) -> Bulk:
        return self

    def __exit__(self, *_: object) -> None:
        self._unwatch()
        self._end()
        for _thread in self._threads:
            self._todo.put(None)
        for thread in self._threads:
            thread.join()

    def _end(self) -> None:
        self._stop.cancel()
        self._twin.close()

    def run(
        self, items: Iterable[Item], work: Callable[[Item], Result], ordered: bool = True
    ) -> Iterator[tuple[Item, Result]]:
        """Each item with what `work` makes of it, which raises only what ends all.

        Items are taken as there is room for them: at most four times in_flight are begun and not yet
        handed over. One that cannot be had ends the rest, after what was begun has been handed over.
        """
        done: queue.SimpleQueue[tuple[int, Item, Result | None, BaseException | None]] = queue.SimpleQueue()

        def loop() -> None:
            while True:
                job = self._todo.get()
                if job is None:
                    return
                index, item = job
                try:
                    done.put((index, item, work(item), None))  # type: ignore[arg-type]
                except BaseException as error:
                    done.put((index, item, None, error))  # type: ignore[arg-type]

        source = iter(items)
        waiting: dict[int, tuple[Item, Result]] = {}
        begun = finished = handed = 0
        window = self._in_flight * (4 if ordered else 2)
        ended: BaseException | None = None
        more = True
        while True:
            # As many as the threads have, and one each that they find at once.
            while more and begun - handed < window and begun - finished < 2 * self._in_flight:
                try:
                    item = next(source)
                except StopIteration:
                    more = False
                    break
                except Exception as error:
                    ended, more = error, False
                    break
                self._todo.put((begun, item))
                begun += 1
                if len(self._threads) < min(begun, self._in_flight):
                    thread = threading.Thread(target=loop, name="zeroshot-client", daemon=True)
                    thread.start()
                    self._threads.append(thread)
            if finished == begun and not waiting:
                break
            index, item, result, failure = done.get()
            finished += 1
            if failure is not None:
                raise failure.error if isinstance(failure, ServerGoneError) else failure
            waiting[index] = (item, result)  # type: ignore[assignment]
            while waiting and (not ordered or handed in waiting):
                yield waiting.pop(handed) if ordered else waiting.popitem()[1]
                handed += 1
        if ended is not None:
            raise ended

    def persist(self, attempt: Callable[[Client, Prepared], Result]) -> Result:
        """What it returns, of a full server and across restarts. ServerGoneError: the server does not come back."""
        for _ in range(TRIES):
            try:
                return attempt(self._twin, Prepared(self._twin._settings, self._call, persistent=self._stop))
            except (UnavailableError, CancelledError) as error:
                last = error
            except ValueError:
                # The connection was closed between two calls of this thread.
                if self._stop.cancelled:
                    raise CancelledError("the calls were cancelled", reason="CANCELLED") from None
                raise
            with self._waiting:
                self._await_server(last)
        raise gone_again(last)

    def _await_server(self, error: UnavailableError | CancelledError) -> None:
        if self._stop.cancelled:
            raise CancelledError("the calls were cancelled", reason="CANCELLED")
        if self._wait <= 0:
            raise ServerGoneError(error)
        try:
            self._twin.wait_until_ready(self._wait, cancellation=self._stop)
        except UnavailableError as gone:
            raise ServerGoneError(gone) from error
