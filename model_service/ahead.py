"""Reading ahead: a thread takes items before anybody asks for them, and no more than there is room for."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Iterator
from typing import TypeVar

T = TypeVar("T")


class Ahead(Iterator[T]):
    """The items, in order. From the beginning a thread takes them, as long as fewer than `most` wait to be asked for.

    What their iterator raises is raised when it is its turn. To be closed, which waits for the item that is being taken.
    """

    def __init__(self, items: Generator[T], most: int) -> None:
        self._items, self._most = items, most
        self._waiting: deque[T] = deque()
        self._end: Exception | None = None
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="ahead", daemon=True)
        self._thread.start()

    def __next__(self) -> T:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._end)
            if not self._waiting:
                assert self._end
                raise self._end
            self._changed.notify_all()
            return self._waiting.popleft()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        end: Exception = StopIteration()
        try:
            while self._has_room():
                item = next(self._items)
                with self._changed:
                    self._waiting.append(item)
                    self._changed.notify_all()
                del item  # not held while there is no room for the next
            self._items.close()
        except Exception as error:
            end = error
        with self._changed:
            self._end = end
            self._changed.notify_all()

    def _has_room(self) -> bool:
        """Wait for it. False when nobody wants any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._waiting) < self._most)
            return not self._closed
