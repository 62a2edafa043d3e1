"""Keep one Delta table: what it has taken from whom, what it holds, add to it; the only importer of deltalake.

Every commit carries the place it stands for as an *app transaction* (app, version), so that data and place become
durable in one step, and of two syncs that commit the same at once the second is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleetbox.errors import FleetboxError

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import CommitProperties, DeltaTable

PARTITIONS = ("day", "robot")
LOG_CHARS = 400  # of what the library says


@dataclass(frozen=True, slots=True)
class Mark:
    """Say whose place a commit carries, and up to which page of the ledger (µs) it stands."""

    app: str
    version: int


class LakeTable:
    """Read and grow the Delta table in a folder; it is made with its first rows.

    Raises FleetboxError where the folder cannot be read or written; what was committed before stands.
    """

    def __init__(self, folder: Path, partitions: Sequence[str] = PARTITIONS) -> None:
        self.folder = folder
        self._partitions = list(partitions)
        self.floats: Sequence[str] = ()  # fields that are floats, whatever the first rows have
        self._table: DeltaTable | None = None  # opening replays its log: once is enough for the only writer

    @property
    def exists(self) -> bool:
        """Tell whether it was ever written."""
        from deltalake import DeltaTable

        return self._table is not None or DeltaTable.is_deltatable(str(self.folder))

    def place(self, app: str) -> int:
        """Return up to which page (µs) it has taken from an app; 0 for one it does not know."""
        return (self._open().transaction_version(app) or 0) if self.exists else 0

    def schema(self) -> dict[str, pa.DataType]:
        """Return column -> Arrow type, empty before the first rows."""
        if not self.exists:
            return {}
        import pyarrow as pa

        fields = pa.schema(self._open().schema().to_arrow())
        return {field.name: _plain(field.type) for field in fields}

    def held(self, columns: Sequence[str], where: Any) -> pa.Table | None:
        """Return columns of the rows that pass a pyarrow expression; files that cannot hold any are not opened."""
        if not self.exists:
            return None
        have = self.schema()
        if any(name not in have for name in columns):
            return None
        return self._open().to_pyarrow_dataset().to_table(columns=list(columns), filter=where)

    def append(self, rows: pa.Table, mark: Mark) -> None:
        """Add rows; columns that are new to the table are added to it."""
        from deltalake import WriterProperties, write_deltalake

        with self._explained():
            self.folder.mkdir(parents=True, exist_ok=True)
            write_deltalake(
                self._open() if self.exists else str(self.folder),
                rows,
                mode="append",
                partition_by=self._partitions or None,
                schema_mode="merge",
                writer_properties=WriterProperties(compression="ZSTD"),  # a third smaller than the default
                commit_properties=_commit(mark),
            )

    def replace_by_id(self, robot: str, rows: Sequence[Mapping[str, Any]], schema: pa.Schema, mark: Mark) -> None:
        """Add a robot's rows or replace those with the same `id`; they are looked for in the rows' days only."""
        import pyarrow as pa

        days = ", ".join(sorted({f"DATE '{row['day']}'" for row in rows}))
        within = f"held.robot = '{robot}' AND held.day IN ({days})"
        self.upsert(pa.Table.from_pylist(list(rows), schema), mark, ("id",), within)

    def upsert(self, rows: pa.Table, mark: Mark, key: Sequence[str], within: str) -> None:
        """Add rows or replace those with the same key; `within` is SQL on `held` that narrows where to look."""
        if not self.exists:
            return self.append(rows, mark)
        same = " AND ".join(f'held."{name}" = fresh."{name}"' for name in key)
        with self._explained():
            self._open().merge(
                rows,
                predicate=f"({within}) AND {same}",
                source_alias="fresh",
                target_alias="held",
                commit_properties=_commit(mark),
            ).when_matched_update_all().when_not_matched_insert_all().execute()
        return None

    def facts(self) -> Mapping[str, int]:
        """Return its rows, files, bytes and version."""
        import pyarrow as pa

        table = self._open()
        added = pa.table(table.get_add_actions(flatten=True))
        rows = sum(added["num_records"].to_pylist())
        size = sum(added["size_bytes"].to_pylist())
        return {"rows": rows, "files": added.num_rows, "bytes": size, "version": table.version()}

    def compact(self) -> int:
        """Join small files of each partition into large ones; return how many files became fewer."""
        with self._explained():
            told = self._open().optimize.compact()
        return int(told["numFilesRemoved"]) - int(told["numFilesAdded"])

    def _open(self) -> DeltaTable:
        from deltalake import DeltaTable

        if self._table is None:
            with self._explained():
                self._table = DeltaTable(str(self.folder))
        return self._table

    @contextmanager
    def _explained(self) -> Iterator[None]:
        from deltalake.exceptions import CommitFailedError, DeltaError

        try:
            yield
        except CommitFailedError as error:
            self._table = None
            raise FleetboxError(
                f"{self.folder} took another writer's rows in the same moment: {_short(error)}",
                "run `fleetbox lake sync` once more; nothing is written twice",
            ) from error
        except (DeltaError, OSError) as error:
            self._table = None
            raise FleetboxError(
                f"the lake's table {self.folder} could not be read or written: {_short(error)}",
                "is the disk full, or the folder another user's? what was committed stands; then run it again",
            ) from error


def _commit(mark: Mark) -> CommitProperties:
    from deltalake import CommitProperties, Transaction

    return CommitProperties(app_transactions=[Transaction(mark.app, mark.version)])


def _short(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:LOG_CHARS] if str(error).strip() else type(error).__name__


def _plain(kind: Any) -> Any:
    """Return the kind as pyarrow writes it: views and large variants stand for the same in the table."""
    import pyarrow as pa

    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return pa.binary()
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_list_view(kind):
        return pa.list_(_plain(kind.value_type))
    return kind
