"""Ends calls from another thread."""

from __future__ import annotations

import threading
from typing import Callable


class Cancellation:
    """Any number of calls may have the same one; once it is cancelled they end as CancelledError.

        stop = Cancellation()
        threading.Timer(2, stop.cancel).start()
        pets("photo.jpg", cancellation=stop)

    Thread rule: every method may be called from many threads at once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._event = threading.Event()
        self._watches: dict[int, Callable[[], object]] = {}

    def cancel(self) -> None:
        """Ends the calls that have it, and those that begin with it later."""
        with self._lock:
            self._event.set()
            watches, self._watches = self._watches, {}
        for on_cancel in watches.values():
            on_cancel()

    @property
    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._event.is_set()

    def sleep(self, seconds: float) -> bool:
        """False, at once, if it is cancelled before that time is over."""
        return not self._event.wait(seconds)

    def watch(self, on_cancel: Callable[[], object]) -> Callable[[], None]:
        """Calls `on_cancel` when it is cancelled, at once if it was. Returns what ends the watch."""
        key = id(on_cancel)
        with self._lock:
            if not self._event.is_set():
                self._watches[key] = on_cancel
                return lambda: self._unwatch(key)
        on_cancel()
        return lambda: None

    def _unwatch(self, key: int) -> None:
        with self._lock:
            self._watches.pop(key, None)
