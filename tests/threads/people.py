"""Threads and processes for tests: every one ends, or the test says which one did not."""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

SECONDS = 60.0  # far more than anything here takes: who waits longer, waits for ever


class Person(threading.Thread):
    """A thread whose result or exception is handed over by `outcome`."""

    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self.work = work
        self.result: Any = None
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self.result = self.work()
        except BaseException as error:
            self.error = error

    def outcome(self) -> Any:
        self.join(SECONDS)
        assert not self.is_alive(), "a thread waits for ever"
        if self.error is not None:
            raise self.error
        return self.result

    def is_waiting(self, seconds: float = 0.05) -> bool:
        """Whether the thread is still at it after a while."""
        self.join(seconds)
        return self.is_alive()


def all_at_once(works: list[Callable[[], Any]]) -> list[Any]:
    """Run all of `works` in threads that start at the same moment."""
    gate = threading.Barrier(len(works))

    def starting(work: Callable[[], Any]) -> Callable[[], Any]:
        def run() -> Any:
            gate.wait(SECONDS)
            return work()

        return run

    people = [Person(starting(work)) for work in works]
    return [person.outcome() for person in people]


@contextmanager
def somebody_inside(enter: Callable[[], Any]) -> Iterator[Any]:
    """Another thread that stays in the context `enter()` gives, until the block ends."""
    entered, leave, what = threading.Event(), threading.Event(), []

    def stay() -> None:
        with enter() as given:
            what.append(given)
            entered.set()
            leave.wait(SECONDS)

    person = Person(stay)
    try:
        assert entered.wait(SECONDS), "a thread cannot enter"
        yield what[0]
    finally:
        leave.set()
        person.outcome()


def in_child(work: Callable[[], Any]) -> None:
    """Fork, run `work` in the child, and assert that it comes through in time."""
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(int(SECONDS))
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, "the child failed, or waited for ever"
