"""Batches as they stand in the tables, and as OpenAI shows them."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import orjson
from sqlalchemy import insert, select, update

from serving.batch.files import new_id
from serving.batch.lines import Problem
from serving.batch.tables import jobs
from serving.tables import Tables
from tunegate_core.errors import NotFound

WINDOW_SECONDS = 86_400
OPEN = ("in_progress", "cancelling")
WINDOW = "24h"


@dataclass(frozen=True)
class Job:
    """A batch. `input`, `output` and `errors` are ids of files; times are seconds since 1970."""

    id: str
    key_id: str
    at: int
    endpoint: str
    input: str
    output: str
    errors: str
    status: str
    begun: int | None
    ended: int | None
    total: int
    completed: int
    failed: int
    problems: str
    notes: str | None

    @property
    def expires(self) -> int:
        """When it is given up."""
        return self.at + WINDOW_SECONDS

    def card(self) -> dict[str, Any]:
        """As OpenAI shows it."""
        problems = [{**problem, "param": None} for problem in orjson.loads(self.problems)]
        is_over = self.status not in OPEN
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": self.endpoint,
            "errors": {"object": "list", "data": problems} if problems else None,
            "input_file_id": self.input,
            "completion_window": WINDOW,
            "status": self.status,
            "output_file_id": self.output if is_over and self.completed else None,
            "error_file_id": self.errors if is_over and self.failed else None,
            "created_at": self.at,
            "in_progress_at": self.begun,
            "expires_at": self.expires,
            **{f"{end}_at": self.ended if self.status == end else None for end in ENDS},
            "request_counts": {"total": self.total, "completed": self.completed, "failed": self.failed},
            "metadata": None if self.notes is None else orjson.loads(self.notes),
        }


ENDS = ("completed", "failed", "expired", "cancelled")


class Jobs:
    """The table. Methods block; they raise NotFound, or StoreFault."""

    def __init__(self, tables: Tables):
        self._tables = tables

    def create(self, key_id: str, endpoint: str, source: str, total: int, problems: list[Problem], notes: Any) -> Job:
        """A new batch: in progress, or failed where its input has problems."""
        now = int(time.time())
        job = Job(
            id=f"batch_{secrets.token_hex(16)}",
            key_id=key_id,
            at=now,
            endpoint=endpoint,
            input=source,
            output=new_id(),
            errors=new_id(),
            status="failed" if problems else "in_progress",
            begun=None if problems else now,
            ended=now if problems else None,
            total=0 if problems else total,
            completed=0,
            failed=0,
            problems=orjson.dumps([asdict(problem) for problem in problems]).decode(),
            notes=None if notes is None else orjson.dumps(notes).decode(),
        )
        with self._tables.writing() as connection:
            connection.execute(insert(jobs), vars(job))
        return job

    def get(self, job_id: str, key_id: str | None = None) -> Job:
        """One batch; of this key, where one is given."""
        wanted = select(jobs).where(jobs.c.id == job_id)
        with self._tables.reading() as connection:
            row = connection.execute(wanted if key_id is None else wanted.where(jobs.c.key_id == key_id)).first()
        if row is None:
            raise NotFound("there is no such batch")
        return Job(**row._mapping)

    def next_of_each(self) -> list[Job]:
        """The oldest batch of each key that is not over."""
        with self._tables.reading() as connection:
            rows = connection.execute(select(jobs).where(jobs.c.status.in_(OPEN)).order_by(jobs.c.at.desc())).all()
        return list({row.key_id: Job(**row._mapping) for row in rows}.values())

    def list(self, key_id: str) -> list[Job]:
        """A key's batches, the newest first."""
        with self._tables.reading() as connection:
            rows = connection.execute(select(jobs).where(jobs.c.key_id == key_id).order_by(jobs.c.at.desc(), jobs.c.id))
            return [Job(**row._mapping) for row in rows]

    def change(self, job_id: str, values: Mapping[str, Any], only_from: tuple[str, ...] = OPEN) -> None:
        """Change a batch's columns, if its status is one of these."""
        with self._tables.writing() as connection:
            connection.execute(update(jobs).where(jobs.c.id == job_id, jobs.c.status.in_(only_from)).values(**values))
