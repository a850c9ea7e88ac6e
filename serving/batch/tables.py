"""Files and batches in the gateway's own tables. What lies in a file lies on disk, under the file's id."""

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text

from serving.tables import metadata

files = Table(
    "files",
    metadata,
    Column("id", Text, primary_key=True),
    Column("key_id", Text, nullable=False),
    Column("at", BigInteger, nullable=False),  # seconds since 1970, as all times here
    Column("name", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
)
Index("files_by_key", files.c.key_id, files.c.at)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("key_id", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("input", Text, nullable=False),  # files, by their ids
    Column("output", Text, nullable=False),
    Column("errors", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("begun", BigInteger),
    Column("ended", BigInteger),
    Column("total", Integer, nullable=False),
    Column("completed", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("problems", Text, nullable=False),  # JSON: what was wrong with the input
    Column("notes", Text),  # JSON: the caller's metadata
)
Index("jobs_by_key", jobs.c.key_id, jobs.c.at)
