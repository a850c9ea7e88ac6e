"""Answers batches, a few requests at a time, whenever callers who wait leave room: one after another of each key, and
the keys side by side, so that nobody waits for a key whose limit is used up or whose route is stopped. Of several
gateways that share the files, one does.

Each request goes the way of every other: the same routes, limits, budget and records. One that is told to come back
does; one that is refused has its error. What was answered is in the output file at once, so a gateway that was killed
goes on where it stopped: at most the requests that were under way are asked again.
"""

import asyncio
import fcntl
import logging
import secrets
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, BinaryIO

from serving.accept import accept
from serving.batch.files import Files
from serving.batch.jobs import Job, Jobs
from serving.batch.lines import Line, answer_line, answered, lines_of, parse_line
from serving.call import Call
from serving.desk import Desk
from serving.endpoints import ENDPOINTS, Endpoint
from serving.errors import Refusal, unauthenticated
from serving.forward import forward_in_time
from serving.outlet import Nowhere
from serving.sanitise import sanitise
from serving.tables import Tables
from serving.weight import weight
from tunegate_core.errors import TunegateError

AT_ONCE = 4
TURN_SECONDS = 0.5
HOUR_SECONDS = 3600.0
MOST_PATIENCE_SECONDS = 60
BY_PATH = {endpoint.path: endpoint for endpoint in ENDPOINTS}

log = logging.getLogger(__name__)


class Kept(Nowhere):
    """Keeps a whole answer for the output file."""

    body = b""

    async def whole(self, call: Call, body: bytes) -> None:
        """Keep it."""
        call.begin()
        self.body = body


class Progress:
    """A batch under way: its files, what it has done, and whether it was called off."""

    def __init__(self, job: Job, output: BinaryIO, errors: BinaryIO, done: int, wrong: int):
        self.job, self.completed, self.failed = job, done, wrong
        self.status = job.status
        self._output, self._errors = output, errors

    @property
    def is_called_off(self) -> bool:
        """Whether no further request should be asked."""
        return self.status == "cancelling" or time.time() > self.job.expires

    def note(self, line: Line, request_id: str, status: int, body: bytes) -> None:
        """Write down what came back."""
        is_good = status == 200
        self.completed += is_good
        self.failed += not is_good
        file = self._output if is_good else self._errors
        file.write(answer_line(line.custom_id, request_id, status, body))
        file.flush()

    def end(self) -> str:
        """How it ended."""
        if self.completed + self.failed >= self.job.total:
            return "completed"
        return "cancelled" if self.status == "cancelling" else "expired"


class Batches:
    """The worker, and what it works on."""

    def __init__(self, desk: Desk, tables: Tables, folder: Path):
        self.files, self.jobs = Files(folder, tables), Jobs(tables)
        self._desk, self._lock = desk, folder / ".lock"
        self._turns = asyncio.Semaphore(AT_ONCE)  # taken in the order in which they are asked for
        self._sweep_at = 0.0

    async def work(self) -> None:
        """Work for ever."""
        running: dict[str, asyncio.Task[None]] = {}
        self._lock.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._lock.open("w") as lock:
            try:
                while True:
                    await self._turn(running, lock)
                    await asyncio.sleep(TURN_SECONDS)
            finally:
                await _end(running.values())

    async def _turn(self, running: dict[str, "asyncio.Task[None]"], lock: IO[str]) -> None:
        """Begin the next batch of each key that has none under way. `running`: by key."""
        if not is_ours(lock):
            return
        try:
            if time.monotonic() > self._sweep_at:
                await asyncio.to_thread(self.files.forget, self._desk.settings.retention.text_days)
                self._sweep_at = time.monotonic() + HOUR_SECONDS
            for key_id in [key_id for key_id, task in running.items() if task.done()]:
                del running[key_id]
            for job in await asyncio.to_thread(self.jobs.next_of_each):
                if job.key_id not in running:
                    running[job.key_id] = asyncio.create_task(self._try(job))
        except (TunegateError, OSError) as error:
            log.warning("batches wait: %s", type(error).__name__)

    async def _try(self, job: Job) -> None:
        """One batch as far as it comes; it is begun again at the next turn."""
        try:
            await self._answer(job)
        except Exception as error:  # as whatever watches is begun again: see `serving.app.lasting`
            log.warning("a batch waits: %s", type(error).__name__)

    async def _answer(self, job: Job) -> None:
        """One batch to its end."""
        source, output, errors = (self.files.path(name) for name in (job.input, job.output, job.errors))
        good, bad = await asyncio.to_thread(answered, output), await asyncio.to_thread(answered, errors)
        left = open_lines(source, job.endpoint, good | bad) if source.exists() else iter(())
        with output.open("ab") as good_file, errors.open("ab") as bad_file:
            progress = Progress(job, good_file, bad_file, len(good), len(bad))
            watching = asyncio.create_task(self._watch(progress))
            try:
                await self._take_all(progress, left)
            finally:
                watching.cancel()
        await asyncio.to_thread(self._finish, progress)

    async def _take_all(self, progress: Progress, left: Iterator[Line]) -> None:
        """Several at once; when one of them fails, none goes on."""
        tasks = [asyncio.create_task(self._take(progress, left)) for _ in range(AT_ONCE)]
        try:
            await asyncio.gather(*tasks)
        finally:
            await _end(tasks)

    async def _take(self, progress: Progress, left: Iterator[Line]) -> None:
        """Answer one line after another."""
        endpoint = BY_PATH[progress.job.endpoint]
        while not progress.is_called_off and (line := next(left, None)) is not None:
            await self._ask(progress, endpoint, line)

    async def _ask(self, progress: Progress, endpoint: Endpoint, line: Line) -> None:
        """Ask until there is an answer, or an error that will not pass."""
        while not progress.is_called_off:
            request_id = secrets.token_hex(16)
            try:
                return progress.note(line, request_id, 200, await self._call(progress.job, endpoint, line, request_id))
            except Refusal as refusal:
                if refusal.retry_after is None:
                    return progress.note(line, request_id, refusal.status, refusal.body())
                await asyncio.sleep(min(refusal.retry_after, MOST_PATIENCE_SECONDS))

    async def _call(self, job: Job, endpoint: Endpoint, line: Line, request_id: str) -> bytes:
        """One request, as the key that gave the batch may make it now. Raises Refusal."""
        desk, kept = self._desk, Kept()
        async with self._turns:
            while desk.inflight.is_busy:
                await asyncio.sleep(TURN_SECONDS)
            with desk.inflight.place() as hold:
                key = desk.view().holder(job.key_id, time.time())
                if key is None:
                    raise unauthenticated()
                desk.account(key).admit(time.monotonic())
                hold(weight(line.body))
                request = sanitise(endpoint, line.body, desk.settings.caps)
                call = accept(desk, endpoint, key, request, "", request_id, time.perf_counter())
                call.hold = hold
                with desk.closing(call), desk.inflight.cuttable(call):
                    await forward_in_time(desk, call, kept)
        return kept.body

    async def _watch(self, progress: Progress) -> None:
        """Show how far it is, and notice when it is called off."""
        shown: dict[str, int] = {}
        while True:
            await asyncio.sleep(TURN_SECONDS)
            try:
                counts = {"completed": progress.completed, "failed": progress.failed}
                if counts != shown:  # a batch that waits writes nothing
                    await asyncio.to_thread(self.jobs.change, progress.job.id, counts)
                    shown = counts
                progress.status = (await asyncio.to_thread(self.jobs.get, progress.job.id)).status
            except TunegateError as error:
                log.warning("a batch's progress waits: %s", type(error).__name__)

    def _finish(self, progress: Progress) -> None:
        job = progress.job
        kept = ((job.output, progress.completed, "output"), (job.errors, progress.failed, "errors"))
        for file_id, count, what in kept:
            if count:
                self.files.register(file_id, job.key_id, f"{job.id}_{what}.jsonl", "batch_output")
            else:
                self.files.path(file_id).unlink(missing_ok=True)
        counts = {"completed": progress.completed, "failed": progress.failed}
        self.jobs.change(job.id, {"status": progress.end(), "ended": int(time.time()), **counts})


def is_ours(lock: IO[str]) -> bool:
    """Whether batches are answered here: one of the gateways that share the files does, until it ends."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def _end(tasks: Collection["asyncio.Task[None]"]) -> None:
    """None of them goes on."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def open_lines(path: Path, url: str, done: set[str]) -> Iterator[Line]:
    """The lines that have no answer yet."""
    for number, raw in lines_of(path):
        line = parse_line(number, raw, url)
        if isinstance(line, Line) and line.custom_id not in done:
            yield line
