"""Several files asked at the same time: opening and decoding wait for disks and servers, and GDAL lets other threads work."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from landshift.pipeline.errors import InputError

FEWEST, MOST = 4, 16
"""At the same time: one a core, and more than the cores of small machines, since reading waits."""

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def ask_all(items: Sequence[Item], ask: Callable[[Item], Answer], at_once: int | None = None) -> Iterator[Answer | InputError]:
    """Ask of each item, several at the same time.

    Args:
        items: What to ask of.
        ask: Must be safe in threads.
        at_once: How many at the same time; by the cores where None.

    Yields:
        In the order of the items, what `ask` returns, or the fault that it raises.
    """

    def answer(item: Item) -> Answer | InputError:
        try:
            return ask(item)
        except InputError as error:
            return error

    with ThreadPoolExecutor(at_once or min(max(os.cpu_count() or 1, FEWEST), MOST)) as pool:
        try:
            yield from pool.map(answer, items)
        except BaseException:
            # Ctrl-C, or a reader that stops: what has not begun is not asked any more.
            pool.shutdown(cancel_futures=True)
            raise
