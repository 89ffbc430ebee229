"""A real S3-compatible store, SeaweedFS, as a process of its own with its files in a folder.

One process is all of its parts: who knows where things are, who keeps them, who names them, and the
gateway that speaks S3. Each has a port of its own.
"""

from __future__ import annotations

import json
import shutil
import sys
import urllib.error
import urllib.request
from datetime import timedelta
from pathlib import Path

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from tests.servers.process import ServerError, ServerProcess, free_port

KEY = "conduit"
SECRET = "not/so+secret"
_IDENTITIES = {
    "identities": [
        {
            "name": "tests",
            "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
            "actions": ["Admin", "Read", "List", "Write"],
        }
    ]
}


class ObjectServer(ServerProcess):
    """SeaweedFS with one identity, whose credentials are `KEY` and `SECRET`."""

    def __init__(self, folder: Path, name: str = "objects") -> None:
        identities = folder / f"{name}.json"
        identities.write_text(json.dumps(_IDENTITIES))
        data = folder / name
        data.mkdir()
        self.port = free_port()
        master, volume, filer = free_port(), free_port(), free_port()
        command: list[str | Path] = [
            _binary(),
            "-logtostderr",
            "server",
            f"-dir={data}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            f"-master.port={master}",
            f"-master.port.grpc={free_port()}",
            "-master.volumeSizeLimitMB=16",
            "-master.telemetry=false",
            f"-volume.port={volume}",
            f"-volume.port.grpc={free_port()}",
            "-volume.max=100",
            "-volume.minFreeSpace=0",
            "-volume.preStopSeconds=0",
            "-filer",
            f"-filer.port={filer}",
            f"-filer.port.grpc={free_port()}",
            "-s3",
            f"-s3.port={self.port}",
            f"-s3.port.grpc={free_port()}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            f"-s3.config={identities}",
        ]
        super().__init__(name, folder, command)

    @property
    def endpoint(self) -> str:
        """Where it speaks S3."""
        return f"http://127.0.0.1:{self.port}"

    def url(self, bucket: str, prefix: str = "a/prefix") -> str:
        """The URL of a place in it, without credentials."""
        return f"s3://{bucket}/{prefix}?endpoint={self.endpoint}"

    def answers(self) -> bool:
        """Whether it can be written to."""
        try:
            self.make_bucket("probe")
            self._store("probe").put("probe", b"")
        except (OSError, BaseError):
            return False
        return True

    def make_bucket(self, bucket: str) -> None:
        """Make a bucket, unless it is there."""
        url = obstore.sign(self._store(bucket), "PUT", "", timedelta(minutes=1))
        try:
            urllib.request.urlopen(urllib.request.Request(url, method="PUT"), timeout=10).close()
        except urllib.error.HTTPError as error:
            with error:
                if error.code != 409:
                    raise

    def _store(self, bucket: str) -> S3Store:
        return S3Store(
            bucket,
            endpoint=self.endpoint,
            access_key_id=KEY,
            secret_access_key=SECRET,
            client_options={"allow_http": True, "timeout": "10s"},
            retry_config={"max_retries": 0},
        )


def _binary() -> str:
    found = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
    if found is None:
        raise ServerError("the tests need SeaweedFS and found none; `make lint` installs it")
    return found
