"""`make bench`: queues beside their peers and the raw limit, and with many functions and queues."""

from __future__ import annotations

import argparse

from benchmarks import environments, lanes_table, redis_table, sqlite_table


def main() -> None:
    """Run the tables that the command line names, all of them if it names none."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("tables", nargs="*", metavar="sqlite|redis|lanes|lock")
    parser.add_argument("--peers", default=",".join(environments.PEERS), help="saq,arq,…")
    parser.add_argument("--uv", default="uv", help="the uv that makes the peers' environments")
    options = parser.parse_args()
    peers = [name for name in options.peers.split(",") if name]
    _check(parser, "table", options.tables, ("sqlite", "redis", "lanes", "lock"))
    _check(parser, "peer", peers, tuple(environments.PEERS))
    for table in options.tables or ("sqlite", "redis", "lanes"):
        if table == "sqlite":
            sqlite_table.main()
        elif table == "redis":
            redis_table.main(peers, options.uv)
        elif table == "lanes":
            lanes_table.main()
        else:
            environments.lock(options.uv)


def _check(
    parser: argparse.ArgumentParser, what: str, given: list[str], known: tuple[str, ...]
) -> None:
    for name in given:
        if name not in known:
            parser.error(f"no {what} {name!r}: there are {', '.join(known)}")


if __name__ == "__main__":
    main()
