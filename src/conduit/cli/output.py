"""What the command line prints: tables for people, JSON for programs, both on stdout.

On a terminal tables are coloured and times are relative; into a pipe they are plain and complete.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any, cast

import msgspec
from msgspec import Raw, Struct, structs
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from conduit.core.model import NOTHING, JobStatus
from conduit.engine.text import printable

Cell = str | Text

_PIPE_WIDTH = 10_000  # a pipe has no width: nothing is folded or cut
_UNPRINTED = frozenset({"token"})  # the right to change a running job is its worker's alone

STATUS_STYLES = {
    JobStatus.BLOCKED: "magenta",
    JobStatus.SCHEDULED: "blue",
    JobStatus.QUEUED: "yellow",
    JobStatus.RUNNING: "cyan",
    JobStatus.COMPLETED: "green",
    JobStatus.FAILED: "red",
    JobStatus.CANCELLED: "bright_black",
}


class _PipeAwareConsole(Console):
    def on_broken_pipe(self) -> None:
        """Leave a reader that went away to whoever runs the command; of messages, do without."""
        if not self.stderr:
            raise BrokenPipeError
        self.quiet = True

    def print(self, *objects: Any, **options: Any) -> None:
        """See `Console`. Messages are done without where a task has closed stderr."""
        try:
            super().print(*objects, **options)
        except ValueError as error:
            if not (self.stderr and "closed file" in str(error)):
                raise


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _PIPE_WIDTH
    return _PipeAwareConsole(stderr=stderr, highlight=False, width=width)


@cache
def screen() -> Console:
    """The console for data: stdout."""
    return _console(stderr=False)


@cache
def messages() -> Console:
    """The console for messages: stderr."""
    return _console(stderr=True)


def say(message: str) -> None:
    """A message for people, on stderr."""
    messages().print(Text(printable(message)))


def emit(line: str) -> None:
    """A line of data, on stdout, as it is."""
    sys.stdout.write(f"{printable(line)}\n")


# --- tables --------------------------------------------------------------------------------------


def show_table(
    headers: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    *,
    numbers: Collection[str] = (),
    spare: Sequence[str] = (),
) -> None:
    """Print a table; the columns named in `numbers` are set flush right.

    Where the terminal is too narrow, columns of `spare` are left out, the first one first; only
    then are cells folded, in the last column, or cut. The first column is what one copies: it stays
    as it is.
    """
    cells = [[_text(cell) for cell in row] for row in rows]
    left_out = _left_out(headers, cells, spare)
    kept = [position for position, header in enumerate(headers) if header not in left_out]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for position in kept:
        table.add_column(
            headers[position],
            justify="right" if headers[position] in numbers else "left",
            no_wrap=position != kept[-1],
            overflow="fold" if position in (0, kept[-1]) else "ellipsis",
        )
    for row in cells:
        table.add_row(*(row[position] for position in kept))
    _print(table)
    if left_out:
        say(f"no room for {', '.join(left_out)}: widen the terminal, or take --json")


def _text(cell: Cell) -> Text:
    return cell if isinstance(cell, Text) else Text(printable(cell))


def _left_out(
    headers: Sequence[str], rows: Sequence[Sequence[Text]], spare: Sequence[str]
) -> list[str]:
    """The columns to do without."""
    widths = {
        header: max([cell_len(header), *(row[position].cell_len for row in rows)]) + 2
        for position, header in enumerate(headers)
    }
    room = screen().width
    left_out: list[str] = []
    for header in spare:
        if sum(widths.values()) - 2 <= room:
            break
        del widths[header]
        left_out.append(header)
    return left_out


def show_pairs(pairs: Iterable[tuple[str, Cell]]) -> None:
    """Print names and values, one pair per line."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs:
        table.add_row(name, value if isinstance(value, Text) else Text(printable(value)))
    _print(table)


def _print(table: Table) -> None:
    console = screen()
    with console.capture() as capture:
        console.print(table)
    for line in capture.get().splitlines():
        sys.stdout.write(f"{line.rstrip()}\n")


def paused_cell(paused: bool) -> Text:
    """Whether workers may claim from it, in colour."""
    return Text("paused", style="yellow") if paused else Text("open", style="green")


def status_cell(status: JobStatus) -> Text:
    """A status in its colour."""
    return Text(status.value, style=STATUS_STYLES[status])


# --- times ---------------------------------------------------------------------------------------


def iso(ms: int) -> str:
    """A time in ISO 8601, UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def span(ms: int) -> str:
    """A duration in its two largest units: `4 ms`, `2.50 s`, `42 s`, `3 min 20 s`, `2 h 5 min`."""
    if ms < 1000:
        return f"{ms} ms"
    if ms < 10_000:
        return f"{ms / 1000:.2f} s"
    whole = round(ms / 1000)
    if whole < 60:
        return f"{whole} s"
    for size, unit, smaller_size, smaller in (
        (86_400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            count, rest = divmod(whole, size)
            parts = [f"{count} {unit}"]
            if rest >= smaller_size:
                parts.append(f"{rest // smaller_size} {smaller}")
            return " ".join(parts)
    raise AssertionError("a minute or more has a unit above")


def moment(ms: int | None, now: int) -> str:
    """A time for people: how long ago or ahead on a terminal, ISO 8601 elsewhere."""
    if ms is None:
        return ""
    if not screen().is_terminal:
        return iso(ms)
    return f"{span(now - ms)} ago" if ms <= now else f"in {span(ms - now)}"


# --- JSON ----------------------------------------------------------------------------------------


def print_json(value: object) -> None:
    """Print JSON, indented, on stdout."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2)
    sys.stdout.write(f"{text.decode()}\n")


def record(item: Struct) -> dict[str, object]:
    """A struct's fields, its id first: times as ISO 8601, payloads as the JSON that they are."""
    fields = structs.asdict(item)
    first = {"id": fields["id"]} if "id" in fields else {}
    return {
        name: _plain(name, value)
        for name, value in (first | fields).items()
        if name not in _UNPRINTED and value != NOTHING
    }


def records(items: Iterable[Struct]) -> list[dict[str, object]]:
    """The same for many."""
    return [record(item) for item in items]


def _plain(name: str, value: object) -> object:
    match value:
        case Struct():
            return record(value)
        case tuple():
            return [_plain(name, each) for each in cast("tuple[object, ...]", value)]
        case bytes():
            return Raw(value)
        case int() if name in ("at", "last_tick") or name.endswith("_at"):
            return iso(value)
        case _:
            return value
