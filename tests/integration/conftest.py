"""What the tests of the program share: where it is, a data directory, a running server.

The program is $LORAJS, or build/release/tools/lorajs.  Nothing here is a stand-in: each
test runs the real program over a real directory."""

from __future__ import annotations

import http.client
import json
import os
import pathlib
import re
import select
import signal
import subprocess
import time
from typing import Callable, Iterator

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DONE, FAILED, USAGE, REFUSED = 0, 1, 2, 3

# Sanitized builds start slowly on a busy machine.
PATIENCE = float(os.environ.get("LORAJS_PATIENCE", "60"))


@pytest.fixture(scope="session")
def program() -> str:
    """Path of the program under test."""
    path = os.environ.get("LORAJS", str(ROOT / "build/release/tools/lorajs"))
    if not os.access(path, os.X_OK):
        pytest.fail(f"no program at {path}: build it, or set LORAJS")
    return path


@pytest.fixture(scope="session")
def vectors() -> list[dict]:
    """The known answers of tests/vectors."""
    return json.loads((ROOT / "tests/vectors/lorawan-join.json").read_text())


@pytest.fixture
def data(tmp_path: pathlib.Path) -> pathlib.Path:
    """A data directory that does not exist yet."""
    return tmp_path / "data"


@pytest.fixture
def run(program: str) -> Callable[..., subprocess.CompletedProcess]:
    """run("device", "list", ..., input="...", code=0): the program run to its end.

    `code` is the exit code it must have; None for any."""

    def runner(*args: object, input: str | bytes = b"", code: int | None = DONE, env: dict | None = None,
               **more) -> subprocess.CompletedProcess:
        if isinstance(input, str):
            input = input.encode()
        done = subprocess.run([program, *map(str, args)], input=input, capture_output=True, timeout=PATIENCE,
                              env={**os.environ, **(env or {})}, **more)
        out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        if code is not None:
            assert done.returncode == code, f"exit {done.returncode}, not {code}\n{out}\n{err}"
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    return runner


class Server:
    """A running `lorajs serve`, on a port of its own choice."""

    def __init__(self, program: str, data: pathlib.Path, *flags: object, listen: str = "127.0.0.1:0",
                 env: dict | None = None, cwd: pathlib.Path | None = None) -> None:
        self.data = data
        self.log = data.parent / f"serve-{time.monotonic_ns()}.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [program, "serve", "--data", str(data), "--listen", listen, *map(str, flags)],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, env={**os.environ, **(env or {})}, cwd=cwd)
        self.stdout = b""
        found = self._wait_for(rb"^listening on (https?)://([^\s]*):(\d+)")
        self.scheme, self.host, self.port = found[1].decode(), found[2].decode(), int(found[3])
        self.url = f"{self.scheme}://{self.host}:{self.port}"

    def _wait_for(self, pattern: bytes) -> re.Match:
        end = time.monotonic() + PATIENCE
        while not (found := re.search(pattern + rb".*\n", self.stdout, re.M)):
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, end - time.monotonic()))
            more = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            if not more:
                self.kill()
                raise AssertionError(f"no {pattern!r} from serve:\n{self.stdout.decode()}\n{self.stderr()}")
            self.stdout += more
        return found

    def stderr(self) -> str:
        return self.log.read_text(errors="replace")

    def post(self, body: bytes | str | dict, path: str = "/", timeout: float = PATIENCE,
             headers: dict | None = None) -> tuple[int, bytes]:
        """POST one message; HTTP status and body."""
        if isinstance(body, dict):
            body = json.dumps(body)
        connection = http.client.HTTPConnection(self.host.strip("[]"), self.port, timeout=timeout)
        try:
            connection.request("POST", path, body, {"Content-Type": "application/json", **(headers or {})})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def ask(self, body: bytes | str | dict, **more) -> dict:
        """POST one message that gets HTTP 200; the answer as a dict."""
        status, answer = self.post(body, **more)
        assert status == 200, (status, answer)
        return json.loads(answer)

    def stop(self, timeout: float = PATIENCE) -> int:
        """SIGTERM, and the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"serve did not stop on SIGTERM:\n{self.stderr()}") from None
        self._rest()
        return self.process.returncode

    def kill(self) -> None:
        """SIGKILL: what a power failure is to the process."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._rest()

    def _rest(self) -> None:
        if not self.process.stdout.closed:
            self.stdout += self.process.stdout.read()
            self.process.stdout.close()


@pytest.fixture
def serve(program: str, data: pathlib.Path) -> Iterator[Callable[..., Server]]:
    """serve("--allow-clear-keys", data=DIR): a running server; those left running are killed at the end."""
    started: list[Server] = []

    def starter(*flags: object, data: pathlib.Path = data, **more) -> Server:
        started.append(Server(program, data, *flags, **more))
        return started[-1]

    yield starter
    for server in started:
        server.kill()


@pytest.fixture
def server(serve: Callable[..., Server]) -> Server:
    """A server on loopback that sends keys in clear, over the data directory `data`."""
    return serve("--allow-clear-keys")


def device_line(dev_eui: int = 0x0102030405060708, **members) -> str:
    """A line for `device import`: LoRaWAN 1.0.3 unless told otherwise.  None leaves a member out."""
    line = {"dev_eui": f"{dev_eui:016x}", "join_eui": "70b3d57ed0000000", "lorawan_version": "1.0.3",
            "nwk_key": os.urandom(16).hex()}
    line.update(members)
    return json.dumps({k: v for k, v in line.items() if v is not None})
