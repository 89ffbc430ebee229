"""Whether the database's tables are those of this version, and how they come to be.

Alembic's revision, in the table `alembic_version`, says which tables a database has. Ours begin
with `conduit_`, so that a newer Conduit's can be told from another program's.
"""

from __future__ import annotations

from enum import StrEnum
from functools import cache

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from msgspec import Struct
from sqlalchemy import Connection, Inspector, inspect, text

from conduit.server.db.failures import SchemaError
from conduit.server.db.tables import metadata

UPGRADE = "`conduit server db upgrade`"
_PREFIX = "conduit_"
_VERSIONS = "alembic_version"
_MIGRATIONS = "conduit.server.db:migrations"
_LOCK = 0x436F6E64_5363686D  # "CondSchm", for pg_advisory_xact_lock
_LOCK_TIMEOUT = "60s"


class Standing(StrEnum):
    """How a database's tables stand to this version of Conduit."""

    CURRENT = "current"
    MISSING = "missing"
    BEHIND = "behind"
    AHEAD = "ahead"
    FOREIGN = "foreign"
    """The tables are another program's."""
    INCOMPLETE = "incomplete"
    """The revision is right, and tables or columns that it has are gone."""


class State(Struct, frozen=True, kw_only=True):
    """What was found: the revision of the database and of this version; `tables` that stand out,
    or columns of theirs."""

    standing: Standing
    revision: str | None
    head: str
    tables: tuple[str, ...] = ()


def is_current(state: State) -> bool:
    """Whether a server may work with it."""
    return state.standing is Standing.CURRENT


def look(connection: Connection) -> State:
    """Find out what a database holds."""
    inspector = inspect(connection)
    names = set(inspector.get_table_names())
    revisions = _revisions(connection) if _VERSIONS in names else []
    scripts = _scripts()
    head = scripts.get_current_head()
    assert head is not None
    ours = set(metadata.tables)
    standing, tables = Standing.CURRENT, set[str]()
    if not revisions:
        # A file that holds something else isn't ours to fill; a PostgreSQL may be shared.
        others = names - {_VERSIONS}
        tables = others if connection.dialect.name == "sqlite" else others & ours
        standing = Standing.FOREIGN if tables else Standing.MISSING
    elif len(revisions) > 1 or not str(revisions[0]).startswith(_PREFIX):
        standing, tables = Standing.FOREIGN, {_VERSIONS}
    elif revisions[0] not in {script.revision for script in scripts.walk_revisions()}:
        standing = Standing.AHEAD
    elif revisions[0] != head:
        standing = Standing.BEHIND
    elif ours - names:
        standing, tables = Standing.INCOMPLETE, ours - names
    elif gone := _lacking_columns(inspector):
        standing, tables = Standing.INCOMPLETE, gone
    return State(
        standing=standing,
        revision=revisions[0] if revisions else None,
        head=head,
        tables=tuple(sorted(tables)),
    )


def _lacking_columns(inspector: Inspector) -> set[str]:
    """Columns that our tables lack, as `jobs.function`."""
    found = inspector.get_multi_columns(filter_names=list(metadata.tables))
    gone = set[str]()
    for (_, table), columns in found.items():
        there = {column["name"] for column in columns}
        gone |= {f"{table}.{name}" for name in set(metadata.tables[table].columns.keys()) - there}
    return gone


def _revisions(connection: Connection) -> list[str]:
    """What the table says; another program's of the same name may have other columns."""
    columns = {column["name"] for column in inspect(connection).get_columns(_VERSIONS)}
    if "version_num" not in columns:
        return [""]
    return list(connection.execute(text(f"SELECT version_num FROM {_VERSIONS}")).scalars())


def require_utf8(connection: Connection, shown: str) -> None:
    """Raise `SchemaError` for a PostgreSQL whose encoding can't hold every text."""
    if connection.dialect.name == "postgresql":
        encoding = connection.execute(text("SHOW server_encoding")).scalar_one()
        if encoding != "UTF8":
            raise SchemaError(
                f"{shown} has the encoding {encoding}, which can't hold every text: make another "
                f"one with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0, then run {UPGRADE}"
            )


def require_current(state: State, shown: str) -> None:
    """Raise `SchemaError` unless a server may work with it."""
    if not is_current(state):
        raise SchemaError(_words(state, shown))


def _words(state: State, shown: str) -> str:
    named = ", ".join(state.tables[:5]) + (" …" if len(state.tables) > 5 else "")
    match state.standing:
        case Standing.MISSING:
            return f"{shown} has no tables of Conduit yet: run {UPGRADE}"
        case Standing.BEHIND:
            return (
                f"{shown} is at schema {state.revision} and this Conduit works with "
                f"{state.head}: run {UPGRADE}"
            )
        case Standing.AHEAD:
            return (
                f"{shown} was upgraded to schema {state.revision} by a newer Conduit, and this "
                f"one knows none after {state.head}: install the newer Conduit here, then run "
                f"{UPGRADE}"
            )
        case Standing.FOREIGN:
            return (
                f"{shown} holds tables of another program ({named}): name a database of its own "
                f"for the history, then run {UPGRADE}"
            )
        case Standing.INCOMPLETE | Standing.CURRENT:
            return (
                f"{shown} is at schema {state.revision} and lacks parts of it ({named}): restore "
                f"it from a backup, or name an empty database and run {UPGRADE}"
            )


def upgrade(connection: Connection, shown: str) -> None:
    """Bring the tables up to this version, within the caller's transaction and under a lock.

    Others that upgrade meanwhile wait, and then find nothing to do. Raises `SchemaError` for
    tables that an upgrade can't help.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    # SQLite's transaction began as IMMEDIATE: it is the only writer.
    state = look(connection)
    if state.standing in (Standing.MISSING, Standing.BEHIND):
        configuration = _configuration()
        configuration.attributes["connection"] = connection
        command.upgrade(configuration, "head")
    else:
        require_current(state, shown)


def differences(connection: Connection) -> list[str]:
    """In what the tables differ from what this version expects, told by Alembic; none: they fit."""
    context = MigrationContext.configure(
        connection,
        opts={"compare_type": True, "include_name": _is_ours},
    )
    return [str(difference) for difference in compare_metadata(context, metadata)]


def _is_ours(name: str | None, kind: str, _parents: object) -> bool:
    """A shared database has tables that are no concern of ours."""
    return kind != "table" or name in metadata.tables


def _configuration() -> Config:
    configuration = Config()
    configuration.set_main_option("script_location", _MIGRATIONS)
    configuration.set_main_option("path_separator", "os")
    return configuration


@cache
def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_configuration())
