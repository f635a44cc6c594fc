"""What the mirror needs from a database beyond the SQL both understand; `sqlite` and `postgresql` offer it."""

from collections.abc import Sequence
from typing import Protocol

import sqlalchemy as sa

from dandi_pipeline.errors import PipelineError
from dandi_pipeline.model import CellType

Row = tuple[str | int | float | bool | None, ...]


class Dialect(Protocol):
    """One kind of database: how to connect, how to spell what differs, how to load fast, what its errors mean.

    SQL is returned for use in `sqlalchemy.text`, but for `cell`.
    """

    @property
    def place(self) -> str:
        """Where the database is, for messages: never with a password."""
        ...

    @property
    def patience(self) -> float:
        """Seconds to wait for locks."""
        ...

    def engine(self, *, read_only: bool) -> sa.Engine:
        """Return an engine that has not connected yet."""
        ...

    def begin_writing(self, connection: sa.Connection) -> sa.RootTransaction:
        """Begin the kind of transaction that may write."""
        ...

    def wait_for_writers(self, connection: sa.Connection) -> None:
        """Within such a transaction: wait until no other one, of any process, writes to this mirror."""
        ...

    def clock(self, connection: sa.Connection) -> float:
        """Return the seconds since 1970 by the clock that all who use the database share."""
        ...

    def as_text(self, column: sa.Column[object], expression: str) -> str:
        """Return SQL that reads a column as Python and JSON are to see it: instants in canonical spelling."""
        ...

    def json_object(self, members: Sequence[tuple[sa.Column[object], str]]) -> str:
        """Return SQL that builds a JSON object of columns, each read by an expression."""
        ...

    def differs(self, column: sa.Column[object], left: str, right: str) -> str:
        """Return SQL that is true where two values differ, one or both of which may be NULL."""
        ...

    def cell(self, name: str, kind: CellType) -> str:
        """Return SQL that reads one of the `cells` as its type, or NULL: where it is empty or of another type.

        `name` is an SQL literal. The SQL is for the driver as it is, without parameters.
        """
        ...

    def has_relation(self, connection: sa.Connection, name: str) -> bool:
        """Return whether a table, a view or the like is called so, where the mirror's own are."""
        ...

    def analyze(self, connection: sa.Connection, tables: Sequence[str]) -> None:
        """Take statistics of tables, by which queries are planned, in the caller's transaction."""
        ...

    def wait_briefly(self, connection: sa.Connection) -> None:
        """Let the rest of the transaction not wait long for what others use."""
        ...

    def use_of_view(self, error: sa.exc.DBAPIError) -> str | None:
        """Return who uses a view, if that is why it could not be dropped."""
        ...

    def create_staging(self, connection: sa.Connection, name: str, columns: Sequence[sa.Column[object]]) -> None:
        """Create a temporary table with these columns after an integer `ordinal`."""
        ...

    def load(self, connection: sa.Connection, name: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Append rows to a staging table."""
        ...

    def drop_staging(self, connection: sa.Connection, names: Sequence[str]) -> None:
        """Drop temporary tables, outside any transaction."""
        ...

    def diagnose(self, error: Exception) -> PipelineError:
        """Return what a driver's error means to an operator."""
        ...
