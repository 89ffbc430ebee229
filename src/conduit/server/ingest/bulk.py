"""Many rows in one statement, sent as one JSON document: the cost per row is the database's own.

The statements are PostgreSQL's or SQLite's, by what a connection speaks.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import Column, Row, Table, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import TextClause

_to_json = msgspec.json.Encoder().encode

_ON_POSTGRESQL = {
    "rows": (
        "SELECT {columns} FROM json_populate_recordset(CAST(NULL AS {table}), CAST(:rows AS json))"
    ),
    "ids": "SELECT value FROM json_array_elements_text(CAST(:ids AS json)) AS ids(value)",
}
_ON_SQLITE = {
    "rows": "SELECT {values} FROM json_each(:rows) WHERE true",
    "ids": "SELECT value FROM json_each(:ids)",
}


def _is_postgresql(connection: AsyncConnection) -> bool:
    return connection.dialect.name == "postgresql"


async def put(
    connection: AsyncConnection,
    table: Table,
    rows: Collection[Struct],
    *,
    keep: str | None = None,
    while_same: str | None = None,
) -> None:
    """Insert rows; one with a key that is there already replaces what is there.

    The column `keep` stays as it is stored while the column `while_same` does.
    """
    if rows:
        statement = _upsert(table, keep, while_same, _is_postgresql(connection))
        await connection.execute(statement, _document(rows))


async def add(connection: AsyncConnection, table: Table, rows: Collection[Struct]) -> None:
    """Insert rows, save those with a key that is there already."""
    if rows:
        await connection.execute(_insert(table, _is_postgresql(connection)), _document(rows))


async def append(
    connection: AsyncConnection, table: Table, rows: Collection[Struct], on_conflict: str = ""
) -> list[int]:
    """Insert rows into a table that numbers them itself; the numbers, which rise."""
    if not rows:
        return []
    record = type(next(iter(rows)))
    statement = _append(table, record, on_conflict, _is_postgresql(connection))
    found = await connection.execute(statement, _document(rows))
    return sorted(number for (number,) in found)


async def select(
    connection: AsyncConnection, table: Table, column: str, ids: Collection[str]
) -> Sequence[Row[Any]]:
    """Whole rows of these ids, the columns in their order."""
    statement = _select(table, column, _is_postgresql(connection))
    return (await connection.execute(statement, {"ids": _ids(ids)})).all()


async def remove(
    connection: AsyncConnection, table: Table, column: str, ids: Collection[str]
) -> None:
    """Delete the rows of these ids."""
    if ids:
        statement = _delete(table, column, _is_postgresql(connection))
        await connection.execute(statement, {"ids": _ids(ids)})


async def set_number(
    connection: AsyncConnection, column: Column[int], value: int, by: str, ids: Collection[str]
) -> None:
    """Set a number in the rows of these ids."""
    if ids:
        chosen = _chosen(by, _is_postgresql(connection))
        statement = text(f"UPDATE {column.table.name} SET {column.name} = :value WHERE {chosen}")
        await connection.execute(statement, {"value": value, "ids": _ids(ids)})


def _document(rows: Collection[Struct]) -> dict[str, str]:
    return {"rows": _to_json(list(rows)).decode()}


def _ids(ids: Collection[str]) -> str:
    return _to_json(list(ids)).decode()


# --- the statements -----------------------------------------------------------------------------


def _rows(table: Table, names: Sequence[str], postgresql: bool) -> str:
    """An INSERT of the rows in the document, as far as that is the same for all."""
    source = (_ON_POSTGRESQL if postgresql else _ON_SQLITE)["rows"].format(
        table=table.name,
        columns=", ".join(f'"{name}"' for name in names),
        values=", ".join(f"json_extract(value, '$.{name}')" for name in names),
    )
    columns = ", ".join(f'"{name}"' for name in names)
    return f"INSERT INTO {table.name} ({columns}) {source}"


def _names(table: Table) -> list[str]:
    return [column.name for column in table.columns]


def _key(table: Table) -> list[str]:
    return [column.name for column in table.primary_key]


@cache
def _upsert(table: Table, keep: str | None, while_same: str | None, postgresql: bool) -> TextClause:
    names, key = _names(table), _key(table)
    values = {name: f'excluded."{name}"' for name in names if name not in key}
    if keep and while_same:
        values[keep] = (
            f"CASE WHEN {table.name}.{while_same} = excluded.{while_same} "
            f"THEN {table.name}.{keep} ELSE excluded.{keep} END"
        )
    changes = ", ".join(f'"{name}" = {value}' for name, value in values.items())
    return text(
        f"{_rows(table, names, postgresql)} ON CONFLICT ({', '.join(key)}) DO UPDATE SET {changes}"
    )


@cache
def _insert(table: Table, postgresql: bool) -> TextClause:
    return text(f"{_rows(table, _names(table), postgresql)} ON CONFLICT DO NOTHING")


@cache
def _append(table: Table, record: type[Struct], on_conflict: str, postgresql: bool) -> TextClause:
    names = [name for name in _names(table) if name in record.__struct_fields__]
    return text(f"{_rows(table, names, postgresql)} {on_conflict} RETURNING id")


def _chosen(column: str, postgresql: bool) -> str:
    return f"{column} IN ({(_ON_POSTGRESQL if postgresql else _ON_SQLITE)['ids']})"


@cache
def _select(table: Table, column: str, postgresql: bool) -> TextClause:
    columns = ", ".join(f'"{name}"' for name in _names(table))
    return text(f"SELECT {columns} FROM {table.name} WHERE {_chosen(column, postgresql)}")


@cache
def _delete(table: Table, column: str, postgresql: bool) -> TextClause:
    return text(f"DELETE FROM {table.name} WHERE {_chosen(column, postgresql)}")
