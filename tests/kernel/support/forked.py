# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Python programs on throwaway hosts without the start of an interpreter and its imports, which is most of what a module run costs. No test logic."""
from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol, Self

COLLECTIONS = Path(__file__).resolve().parents[3] / ".collections"
SERVER = str(Path(__file__).with_name("python_server.py"))


class Process(Protocol):
    """A program that runs, of which subprocess.Popen and `Forked` are two kinds. Whoever started it waits for it."""

    pid: int
    stdin: IO[str] | None
    stdout: IO[str] | None
    returncode: int | Any
    """None while it runs, negative for the signal that ended it."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: Any) -> None: ...

    def kill(self) -> None: ...

    def wait(self) -> object: ...

    def communicate(self, *, timeout: float | None = None) -> tuple[str, str]: ...


@functools.lru_cache(maxsize=None)
def _server(environment: frozenset[tuple[str, str]]) -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """Start a server for programs with this environment, and return the socket that it listens to. It ends when this process does."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        return ours, subprocess.Popen([sys.executable, SERVER, str(COLLECTIONS)], stdin=theirs.fileno(), env=dict(environment))


class Forked:
    """A Python program that runs in the namespaces of another process. It is used as subprocess.Popen is."""

    def __init__(self, host: int, argv: Sequence[str], environment: Mapping[str, str], text: str | None = None) -> None:
        """Start it. `host` is the process whose namespaces are entered, `argv` what follows `python`, `text` all of its standard input."""
        self.args = list(argv)
        self.returncode: int | Any = None
        self._said = ""
        self._errors = os.memfd_create("stderr")
        output, for_output = os.pipe()
        told, for_telling = os.pipe()
        self.stdin: IO[str] | None = None
        if text is None:
            for_input, entrance = os.pipe()
            self.stdin = os.fdopen(entrance, "w", encoding="utf-8")
        else:
            for_input = os.memfd_create("stdin")
            os.write(for_input, text.encode())
            os.lseek(for_input, 0, os.SEEK_SET)
        self.stdout: IO[str] | None = os.fdopen(output, encoding="utf-8")
        self._told = os.fdopen(told, encoding="ascii")
        request = json.dumps({"host": host, "argv": self.args})
        server, _process = _server(frozenset(environment.items()))
        socket.send_fds(server, [request.encode()], [for_input, for_output, self._errors, for_telling])
        for descriptor in (for_input, for_output, for_telling):
            os.close(descriptor)
        self.pid = int(self._told.readline())

    def __enter__(self) -> Forked:
        return self

    def __exit__(self, *error: object) -> None:
        for stream in (self.stdin, self.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        self.wait()

    def kill(self) -> None:
        """End it, whatever it does."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def communicate(self, *, timeout: float | None = None) -> tuple[str, str]:
        """Close its standard input, wait for its end, and return what it has written on both streams and nobody has read."""
        late = threading.Event()
        timer = threading.Timer(timeout or 3600, self._end, (late,))
        timer.start()
        try:
            if self.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    self.stdin.close()
            assert self.stdout is not None
            with self.stdout:
                output = self.stdout.read()
            self.wait()
        finally:
            timer.cancel()
        if late.is_set():
            raise subprocess.TimeoutExpired(self.args, timeout or 3600, output, self._said)
        return output, self._said

    def _end(self, late: threading.Event) -> None:
        late.set()
        self.kill()

    def wait(self) -> None:
        """Wait for its end."""
        if self.returncode is None:
            self.returncode = int(self._told.readline())
            self._told.close()
            self._said = os.pread(self._errors, os.fstat(self._errors).st_size, 0).decode(errors="replace")
            os.close(self._errors)
