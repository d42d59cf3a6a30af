"""PostgreSQL's binary forms, straight to and from numpy: thousands of rows without a Python object each."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import psycopg

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]
Cursor = psycopg.Cursor[tuple[Any, ...]]

# PostgreSQL counts microseconds and days from 2000-01-01.
EPOCH_US: Final = 946_684_800_000_000
EPOCH_DAY: Final = 10_957
DAY_US: Final = 86_400_000_000

_HEADER: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_TRAILER: Final = b"\xff\xff"

# How each column type is sent: the SQL that makes its bytes, and their numpy form.
_SENT: Final = {
    "int8": ("int8send({})", ">i8"),
    "int4": ("int4send({})", ">i4"),
    "int2": ("int2send({})", ">i2"),
    "bool": ("boolsend({})", "i1"),
    "timestamptz": ("timestamptz_send({})", ">i8"),
    "bytes24": ("{}", "V24"),
}


def copy_rows(columns: dict[str, Array | None]) -> bytes:
    """Rows of COPY .. (FORMAT binary): each column big-endian and of fixed width, or None for NULL in all rows."""
    size = next(len(column) for column in columns.values() if column is not None)
    layout: list[tuple[str, str | np.dtype[Any]]] = [("fields", ">i2")]
    for name, column in columns.items():
        layout.append((f"{name}_size", ">i4"))
        if column is not None:
            layout.append((name, column.dtype))
    rows = np.empty(size, dtype=np.dtype(layout))
    rows["fields"] = len(columns)
    for name, column in columns.items():
        rows[f"{name}_size"] = -1 if column is None else column.dtype.itemsize
        if column is not None:
            rows[name] = column
    return rows.tobytes()


def copy_in(cursor: Cursor, target: str, rows: list[bytes]) -> None:
    """COPY the rows of `copy_rows` into `target`, as `table (columns)`."""
    with cursor.copy(f"COPY {target} FROM STDIN (FORMAT binary)") as copy:
        copy.write(b"".join([_HEADER, *rows, _TRAILER]))


def fetch(cursor: Cursor, columns: dict[str, tuple[str, str]], source: str, parameters: dict[str, Any]) -> dict[str, Array]:
    """Columns of `SELECT .. {source}` as arrays: name -> (type of _SENT, SQL expression, not null). Instants come in microseconds since 1970."""
    sent = " || ".join(_SENT[kind][0].format(expression) for kind, expression in columns.values())
    cursor.execute(f"SELECT string_agg({sent}, ''::bytea) {source}", parameters, binary=True)
    found = cursor.fetchone()
    dtype = np.dtype([(name, _SENT[kind][1]) for name, (kind, _) in columns.items()])
    rows = np.frombuffer((found[0] if found else None) or b"", dtype=dtype)
    return {name: _native(rows[name], kind) for name, (kind, _) in columns.items()}


def _native(column: Array, kind: str) -> Array:
    if kind == "timestamptz":
        return column.astype(np.int64) + EPOCH_US
    if kind == "bool":
        return column.astype(np.bool_)
    return column.copy() if kind == "bytes24" else column.astype(np.int64)


def int8(values: Array) -> Array:
    return values.astype(">i8")


def int2(values: Array) -> Array:
    return values.astype(">i2")


def boolean(values: Array) -> Array:
    return values.astype("u1")


def instant(us: Ints) -> Array:
    """timestamptz of microseconds since 1970."""
    return (us - EPOCH_US).astype(">i8")


def date(days: Ints) -> Array:
    """date of days since 1970."""
    return (days - EPOCH_DAY).astype(">i4")
