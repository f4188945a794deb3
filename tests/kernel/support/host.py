# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A throwaway host: a process in its own network and mount namespace, with one iptables backend and its own /etc. It holds no test logic."""
from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .forked import COLLECTIONS, Forked, Process
from .save_text import without_comments, without_counters, without_empty_tables, without_policy_counters

FAMILIES = ("ipv4", "ipv6")
BACKENDS = ("nft", "legacy")
COMMANDS = {"ipv4": "iptables", "ipv6": "ip6tables"}
PID_FILE = "/run/module.pid"
SHIMS = "/run/bin"
# A command that starts another one with what Docker gives a container, and NET_ADMIN.
IN_CONTAINER = (
    "setpriv",
    "--inh-caps=-all",
    "--bounding-set=-all,+net_admin,+net_raw,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap"
    ",+net_bind_service,+sys_chroot,+mknod,+audit_write,+setfcap",
)
#: What is written to these folders stays on the throwaway host.
OWN_FOLDERS = ("/etc", "/usr/local")
SET_UP = f"""
mount -t tmpfs run /run
# Whatever a test writes through a link ends here: the programs are this machine's own.
mount --bind /usr /usr
mount -o remount,bind,ro /usr
for folder in {" ".join(OWN_FOLDERS)}; do
  mkdir -p /run/overlay$folder/upper /run/overlay$folder/work
  mount -t overlay overlay -o lowerdir=$folder,upperdir=/run/overlay$folder/upper,workdir=/run/overlay$folder/work $folder
done
mkdir {SHIMS}
for command in iptables ip6tables; do
  for suffix in '' -save -restore; do
    ln -s "$(command -v $command-{{backend}}$suffix)" {SHIMS}/$command$suffix
  done
done
cp "$(command -v mawk)" {SHIMS}/awk # Debian's own, since others are installed for some tests. A link could be written through.
ip link set lo up
echo ready
exec sleep infinity
"""


@dataclass(frozen=True)
class ModuleResult:
    """What a module run printed, and how its process ended."""

    data: dict[str, Any]
    returncode: int
    stderr: str

    @property
    def changed(self) -> bool:
        return bool(self.data.get("changed"))

    @property
    def failed(self) -> bool:
        return bool(self.data.get("failed"))

    @property
    def message(self) -> str:
        return str(self.data.get("msg", ""))

    @property
    def plan(self) -> list[dict[str, Any]]:
        return list(self.data.get("plan", []))

    @property
    def warnings(self) -> list[str]:
        """The warnings' text; ansible-core hands them over as they were given, or wrapped for its display."""
        said = self.data.get("warnings", [])
        return [str(one["event"]["msg"]) if isinstance(one, dict) else str(one) for one in said]

    @property
    def diff_text(self) -> str:
        return "\n".join(str(part.get("prepared", "")) for part in self.data.get("diff", []))


@dataclass
class Host:
    """One throwaway host. Use it as a context manager: it is gone, with its rules, at the end."""

    backend: str
    environment: dict[str, str] = field(default_factory=dict)

    def __enter__(self) -> Host:
        self._process = subprocess.Popen(
            ["unshare", "--net", "--mount", "--propagation", "private", "sh", "-euc", SET_UP.format(backend=self.backend)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n", "the namespace could not be set up"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    @property
    def pid(self) -> int:
        """The process whose namespaces the host is."""
        return self._process.pid

    def _argv(self, command: Sequence[str]) -> list[str]:
        return ["nsenter", f"--target={self.pid}", "--net", "--mount", *command]

    def through(self) -> list[str]:
        """Return what starts a command on the host, for callers with an environment of their own."""
        return self._argv([])

    def _environment(self) -> dict[str, str]:
        path = f"{SHIMS}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return {"HOME": "/root", "LC_ALL": "C.UTF-8", **self.environment, "PATH": path}

    def start(self, *command: str, environment: Mapping[str, str] | None = None) -> Process:
        """Start a command on the host, with more or other variables, and leave it running; the caller ends it."""
        variables = {**self._environment(), **(environment or {})}
        if command[0] == sys.executable:
            return Forked(self.pid, command[1:], variables)
        pipe = subprocess.PIPE
        return subprocess.Popen(self._argv(command), stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=variables)

    def run(self, *command: str, text: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command on the host to its end."""
        if command[0] == sys.executable:
            with Forked(self.pid, command[1:], self._environment(), text) as process:
                output, errors = process.communicate()
            done = subprocess.CompletedProcess(command, process.returncode, output, errors)
        else:
            done = subprocess.run(
                self._argv(command), input=text, capture_output=True, text=True, env=self._environment(), check=False
            )
        assert not check or done.returncode == 0, f"{command} ended with {done.returncode}: {done.stderr}"
        return done

    def iptables(self, *arguments: str, family: str = "ipv4") -> str:
        """Run the backend's own iptables or ip6tables."""
        return self.run(f"{COMMANDS[family]}-{self.backend}", *arguments).stdout

    def restore(self, text: str, *options: str, family: str = "ipv4", check: bool = True) -> bool:
        """Load iptables-restore text as anybody would. Tell whether it was accepted."""
        command = f"{COMMANDS[family]}-{self.backend}-restore"
        return self.run(command, *options, text=text, check=check).returncode == 0

    def save(self, family: str = "ipv4", *, counters: bool = False) -> str:
        """Return iptables-save's text without the dated comments, and without counters unless asked for."""
        done = self.run(f"{COMMANDS[family]}-{self.backend}-save", *(["-c"] if counters else []))
        text = without_comments(done.stdout)
        return text if counters else without_counters(text)

    def snapshot(self) -> dict[str, str]:
        """Return both families' text with every counter, the policies' too: for "byte for byte as before"."""
        return {family: self.save(family, counters=True) for family in FAMILIES}

    def effect(self) -> dict[str, dict[str, list[str]]]:
        """Return both families' tables that do something to a packet, with the rules' counters."""
        return {family: without_empty_tables(without_policy_counters(text)) for family, text in self.snapshot().items()}

    def start_module(
        self, options: Mapping[str, Any], *, check_mode: bool = False, through: Sequence[str] = (), runner: str = "module_process.py",
        name: str = "iptables_ruleset", environment: Mapping[str, str] | None = None,
    ) -> Process:
        """Start a module on the host; `through` is a command that starts it, such as setpriv, and `runner` a file beside this one."""
        arguments = {"backend": self.backend, **options, "_ansible_check_mode": check_mode, "_ansible_diff": True}
        process = self.start(
            *through, sys.executable, str(Path(__file__).with_name(runner)), str(COLLECTIONS), name, PID_FILE, environment=environment
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": arguments}))
        process.stdin.close()
        process.stdin = None
        return process

    def module(
        self, *, check_mode: bool = False, through: Sequence[str] = (), **options: Any
    ) -> ModuleResult:
        """Run iptables_ruleset on the host, as its own process, and return what it said."""
        return finish(self.start_module(options, check_mode=check_mode, through=through))

    def probe(self, *, check_mode: bool = False, through: Sequence[str] = (), **options: Any) -> ModuleResult:
        """Run packet_probe on the host."""
        return finish(self.start_module(options, check_mode=check_mode, through=through, name="packet_probe"))

    def apply(self, **options: Any) -> ModuleResult:
        """Run the module and insist that it succeeds."""
        result = self.module(**options)
        assert (result.failed, result.returncode) == (False, 0), result.message or result.stderr
        return result

    def refuse(self, **options: Any) -> str:
        """Run the module and insist that it fails with a message of its own, and that nothing live changed.

        A scratch rehearsal may leave tables that were not there, empty and accepting, and legacy policies counting from zero.
        """
        seen = self.effect if options.get("rehearsal") == "scratch" else self.snapshot
        before = seen()
        result = self.module(**options)
        assert result.failed, f"it was not refused: {result.data}"
        assert result.message, result.data
        assert "Traceback" not in result.message + result.stderr, result.stderr
        assert seen() == before, result.message
        return result.message


def finish(process: Process) -> ModuleResult:
    """Wait for a module run and read its JSON; a run that was killed has none."""
    stdout, stderr = process.communicate(timeout=240)
    killed = process.returncode < 0
    try:
        data = json.loads(stdout)
    except ValueError:
        assert killed, f"the module printed no JSON, code {process.returncode}:\n{stdout}\n{stderr}"
        data = {}
    return ModuleResult(data, process.returncode, stderr)
