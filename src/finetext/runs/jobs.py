"""Independent fits at once, each in a process of its own; what they say is heard in this one.

The processes are those of loky, which joblib brings: they begin as new programs, as a copy of a
process whose libraries have started threads can hang, and a script needs no guard around it.
"""

from __future__ import annotations

import os
import pickle
import signal
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from math import prod
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Final, Self, TypeVar, final

from finetext.core.budget import in_words
from finetext.core.contracts import FitContext, Listener, ProgressEvent, encoder_of
from finetext.core.errors import RecipeError, RunError
from finetext.core.threads import environment_of, threads_each
from finetext.core.types import Finding
from finetext.core.wording import size
from finetext.encoders.catalogue import is_random, resolve
from finetext.runs.recipe import ADAPTED, Recipe
from finetext.training.batches import free_bytes
from finetext.training.precision import choose_device

Given = TypeVar("Given")
Result = TypeVar("Result")
_SECONDS: Final = 0.2
"""Time between two looks at whether the process that began the fits still lives."""
_BYTES_OF_LIBRARIES: Final = 450 * 2**20
"""Memory of a process that has loaded torch, transformers and scikit-learn."""
_BYTES_OF_A_WEIGHT: Final = 4
_KILLED: Final = (
    "a process that fitted models was killed, as the system does where memory is used up; with "
    "fewer jobs less is in memory at once"
)


def heard_by(context: FitContext, listener: Listener) -> FitContext:
    """Return a context whose messages, findings and progress a listener gets."""
    return replace(context, say=listener.say, find=listener.finding, progress=listener.progress)


def check_jobs(recipe: Recipe) -> None:
    """Raise a RecipeError if a recipe asks for several jobs where they cannot be had."""
    if recipe.jobs == 1:
        return
    if not isinstance(recipe.jobs, int) or recipe.jobs < 1:
        raise RecipeError(f"jobs = {recipe.jobs}: give the number of fits at once, 1 or more")
    asked = f"jobs = {recipe.jobs}"
    from finetext.training.ranks import ranks_here

    if ranks_here() is not None:
        raise RecipeError(
            f"{asked}: several processes train together already; leave out --jobs or the launcher"
        )
    if recipe.minutes is not None:
        raise RecipeError(
            f"with minutes methods are fitted one after the other, each in the time that is left, "
            f"and {asked} asks for several at once; leave one of them out"
        )
    if (device := choose_device(recipe.device)).type != "cpu":
        raise RecipeError(
            f"{asked}: several fits at once would share the one device {device.type}, its memory "
            "and its time; leave it out, or compute on the processor with --device cpu"
        )


def memory_finding(recipe: Recipe) -> tuple[Finding, ...]:
    """Return a warning if so many fits at once likely need more memory than is free."""
    if recipe.jobs == 1:
        return ()
    from torch import device

    needed, free = recipe.jobs * _bytes_of_a_process(recipe), free_bytes(device("cpu"))
    if needed <= free:
        return ()
    message = (
        f"{recipe.jobs} fits at once take about {size(needed)} of memory, and {size(free)} are "
        "free: a process may be killed. Use fewer --jobs, or close other programs"
    )
    return (Finding("warning", "jobs-memory", message),)


def _bytes_of_a_process(recipe: Recipe) -> int:
    """Return what the most demanding method takes, without the activations of a batch."""
    from finetext.training.state import BYTES_OF_A_TRAINED_WEIGHT

    most = 0
    for method in recipe.methods.values():
        if (encoder := encoder_of(method)) is not None and not is_random(encoder):
            trained = BYTES_OF_A_TRAINED_WEIGHT if method.trains_in_steps else 0
            most = max(most, round(_weights(encoder) * (_BYTES_OF_A_WEIGHT + trained)))
    return _BYTES_OF_LIBRARIES + most


def _weights(encoder: str) -> float:
    """Return the number of weights of an encoder, 0 if it is not known before it is loaded."""
    if encoder == ADAPTED:
        return 0.0
    found = resolve(encoder)
    if found.entry is not None:
        return found.entry.parameters * 1e6
    return sum(map(_weights_of_file, Path(found.path).glob("*.safetensors")))


def _weights_of_file(path: Path) -> float:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys()  # which a file itself does not iterate over
            return float(sum(prod(file.get_slice(name).get_shape()) for name in names))
    except (OSError, SafetensorError):  # which is said where it is loaded
        return 0.0


@final
class Jobs:
    """Up to `count` fits at once; with one they are made here, one after the other.

    In a `with` statement, processes begin with the first fits, stay for the next ones, which need
    not load the libraries again, and end with the body.
    """

    def __init__(self, count: int, listener: Listener) -> None:
        """Take the listener that hears the fits."""
        self.count, self.listener = count, listener
        self._pool: _Pool | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._end()

    def each(
        self,
        fit: Callable[[Given, Listener], Result],
        tasks: Iterable[Given],
        stays: Callable[[Given], bool] = lambda task: False,
    ) -> Iterator[tuple[Given, Result]]:
        """Yield each task with what `fit` returns for it, as they end.

        Task and result are sent to another process and back. The function gets what hears the task
        there.

        Args:
            fit: a function of a task and a listener.
            tasks: with one job each is taken when the one before is done.
            stays: whether a task is for this process; such tasks come last.

        Raises:
            Exception: what a task raised, once all tasks before it are done; later ones end.
            RunError: one of the processes was killed, and the others with it.
        """
        if self.count == 1:
            for task in tasks:
                yield task, fit(task, self.listener)
            return
        every = list(tasks)
        sent = [task for task in every if not stays(task)]
        if len(sent) > 1:
            yield from self._spread(fit, sent)
        for task in every:
            if len(sent) <= 1 or stays(task):
                yield task, fit(task, self.listener)

    def _spread(
        self, fit: Callable[[Given, Listener], Result], tasks: Sequence[Given]
    ) -> Iterator[tuple[Given, Result]]:
        count = min(self.count, len(tasks))
        if self._pool is not None and self._pool.count < count:
            self._end()
        if self._pool is None:
            self._pool = _Pool(count)  # no more than have work, so that each has more threads
        done, failed, end = set[int](), dict[int, BaseException](), len(tasks)
        waiting = iter(enumerate(tasks))
        try:
            # Two for each process: loky fails to end cleanly while it has more than it has sent.
            self._pool.submit(fit, list(islice(waiting, 2 * self._pool.count)))
            while not done.issuperset(range(end)):
                message = self._pool.next_message()
                if isinstance(message, ProgressEvent):
                    stage = f"{self.count} jobs: {message.stage}"
                    shown = replace(message, stage=stage, done=len(done), total=len(tasks))
                    self.listener.progress(shown)
                elif isinstance(message, _Ended):
                    done.add(message.number)
                    if message.errors:
                        failed[message.number] = message.error
                        end = min(failed)
                    if not failed:
                        self._pool.submit(fit, list(islice(waiting, 1)))
                    if not message.errors:
                        yield tasks[message.number], message.result
                else:
                    name, value = message
                    getattr(self.listener, name)(value)
            if failed:
                raise failed[end]
        finally:
            if len(done) < len(tasks):
                self._end()

    def _end(self) -> None:
        if self._pool is not None:
            self._pool.end()
        self._pool = None


@dataclass(frozen=True, eq=False)
class _Ended:
    """The end of a task: its result, or what it raised with what caused that."""

    number: int
    result: Any = None
    errors: tuple[BaseException, ...] = ()

    @property
    def error(self) -> BaseException:
        """What the task raised, with its causes, which are lost where exceptions are sent."""
        for error, cause in pairwise(self.errors):
            error.__cause__ = cause
        return self.errors[0]


class _Pool:
    """Processes, and what they send: all messages of a task, and then its end."""

    def __init__(self, count: int) -> None:
        from joblib.externals.loky import ProcessPoolExecutor
        from joblib.externals.loky.backend import get_context

        context = get_context("loky")
        self.count = count
        self._inbox: SimpleQueue[Any] = SimpleQueue()
        self._from_tasks, self._to_here = Pipe(duplex=False)
        self._executor = ProcessPoolExecutor(
            count, context=context, initializer=_begin,
            initargs=(self._to_here, context.Lock(), os.getpid()),
            env=environment_of(threads_each(count)),
        )  # fmt: skip
        self._reader = Thread(target=self._read, name="finetext-jobs", daemon=True)
        self._reader.start()

    def submit(self, fit: Callable[[Any, Listener], Any], tasks: Sequence[tuple[int, Any]]) -> None:
        """Send tasks with their numbers; raises as `next_message`."""
        from concurrent.futures import BrokenExecutor

        submit = self._executor.submit
        try:
            with _without_ctrl_c():
                futures = [submit(_work, number, fit, of) for number, of in tasks]
        except BrokenExecutor:  # since the last tasks
            raise RunError(_KILLED) from None
        self._to_here.close()  # now only the processes have it, so that it ends with them
        for future in futures:
            future.add_done_callback(self._inbox.put)

    def next_message(self) -> Any:
        """Return what comes next.

        Raises:
            RunError: a process was killed.
            Exception: what was sent cannot be read here.
        """
        from concurrent.futures import BrokenExecutor, Future

        while True:
            try:
                message = self._inbox.get(timeout=1.0)  # without a time Windows sees no Ctrl-C
            except Empty:
                continue
            if isinstance(message, Exception):
                raise message
            if not isinstance(message, Future):
                return message
            if (error := message.exception()) is None:
                continue
            if isinstance(error, BrokenExecutor):
                raise RunError(_KILLED) from None
            raise error

    def end(self) -> None:
        """End the processes, whatever they do."""
        self._executor.shutdown(wait=True, kill_workers=True)
        self._to_here.close()
        self._reader.join()

    def _read(self) -> None:
        with self._from_tasks:
            try:
                while True:
                    self._inbox.put(self._from_tasks.recv())
            except (EOFError, OSError):  # the processes have ended
                return
            except Exception as error:  # nothing that comes later is understood
                self._inbox.put(error)


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Let processes that begin in the body never see Ctrl-C: this one ends them."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # which would let Ctrl-C through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_send: Callable[[Any], None]
"""In a process that fits, this sends what it says."""


def _begin(to_parent: Connection, lock: AbstractContextManager[bool], parent: int) -> None:
    """Make a new process ready for tasks."""
    from joblib.externals.loky import process_executor

    def send(message: Any) -> None:
        with lock:
            to_parent.send(message)

    global _send
    _send = send
    # A fit loads an encoder, which it would take for a leak, and end the process.
    process_executor._MAX_MEMORY_LEAK_SIZE = float("inf")
    Thread(target=_end_with, args=(parent,), name="finetext-parent", daemon=True).start()


def _end_with(parent: int) -> None:
    """End this process when its parent has ended: another one may go on in the same folder."""
    import psutil

    while os.getppid() == parent and psutil.pid_exists(parent):
        time.sleep(_SECONDS)
    os._exit(1)


def _work(number: int, fit: Callable[[Any, Listener], Any], task: Any) -> None:
    """Do a task, and send what it says, and then its result or error."""
    listener = Listener(
        say=lambda line: _send(("say", line)), progress=_send,
        finding=lambda finding: _send(("finding", finding)),
    )  # fmt: skip
    try:
        ended = _Ended(number, fit(task, listener))
    except BaseException as error:
        error.add_note(traceback.format_exc())
        ended = _Ended(number, errors=tuple(map(_sendable, _with_causes(error))))
    _send(ended)


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__


def _sendable(error: BaseException) -> BaseException:
    """Return an error that can be sent: itself, or one that says the same."""
    with suppress(Exception):
        pickle.loads(pickle.dumps(error))
        return error
    return in_words(error) or RuntimeError(f"{type(error).__name__}: {error}")
