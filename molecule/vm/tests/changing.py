# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A controller that changes one machine's rules while a test does something to either, and what the machine itself says of it. Holds no test."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Sequence

from ansible_collections.palisade.netfilter.molecule.shared.machines import UNIT
from devkit import vm

from .declared import read

COMMIT = "/run/palisade/palisade.commit"
RULESET = "palisade.netfilter.iptables_ruleset"

SECOND_ADDRESS = "198.51.100.2"
"""Of a machine, on its second wire, which stays when the first one is cut."""

CONNECT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], 443), timeout=1).close()
except ConnectionRefusedError:
    print("refused")
except OSError:
    print("silence")
else:
    print("open")
"""

LOG = '-p tcp -m multiport --dports 22,443 -m limit --limit 2/second --limit-burst 2 -j LOG --log-prefix "locked out: "'
"""The kernel writes down when a change was in force, by its own clock."""

FILL_RUN = "dd if=/dev/zero bs=64k 2>/dev/null >/run/filler || :; dd if=/dev/zero bs=1 count=4096 2>/dev/null >>/run/filler || :"
"""To the last page."""

ESTABLISHED = "-m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT"


def locked_out(*, seconds: int, established: bool) -> Dict[str, object]:
    """Return the arguments of a change that lets nobody in by ssh; those who are in stay there, or not even they."""
    rules = ["-i lo -j ACCEPT", *([ESTABLISHED] if established else []), LOG, "-6 -p ipv6-icmp -j ACCEPT"]
    tables = {"filter": {"INPUT": {"policy": "DROP", "rules": rules}}}
    return {"tables": tables, "persist": True, "allow_lockout": True, "confirm_timeout": seconds}


class Kept(NamedTuple):
    """What a change that did not come to stay has to leave as it was."""

    rules: Dict[str, List[str]]
    files: str


def kept(machine: vm.Machine) -> Kept:
    """Return what is live of both families, counters apart, and what is persisted."""
    text, files = machine.check("iptables-save; ip6tables-save; echo '#files'; cd /etc/palisade && sha256sum *").split("#files")
    return Kept(read(text).rules, files)


class Run:
    """A run of Ansible in the background: one task on one machine. Use `running`."""

    def __init__(self, machine: vm.Machine, module: str, arguments: Dict[str, object], folder: Path) -> None:
        self._folder = folder
        self._marker = f"PALISADE_TEST={folder}"
        self._output = folder / "output"
        # A folder of its own for the kept connections: this run opens one, and when it is killed that goes too.
        environment = {**os.environ, "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_NOCOLOR": "1", "ANSIBLE_SSH_CONTROL_PATH_DIR": str(folder),
                       "PALISADE_TEST": str(folder)}
        argv = ["ansible", machine.name, "--inventory", os.environ["MOLECULE_INVENTORY_FILE"], "-m", module, "-a", json.dumps(arguments)]
        with self._output.open("w") as output:
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment)

    def kill(self) -> None:
        """Kill whatever of it is there, at once: Ansible, its workers and every ssh of theirs."""
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has ended
                if self._marker.encode() in (process / "environ").read_bytes().split(b"\0"):
                    os.kill(int(process.name), signal.SIGKILL)
        self._process.wait()

    def goes_on(self) -> bool:
        """Insist on it that it has not ended yet."""
        assert self._process.poll() is None, self.said()
        return True

    def said(self) -> str:
        """Return what it has said until now."""
        return self._output.read_text()

    def result(self, seconds: float = 300) -> Dict[str, Any]:
        """Wait for its end and return what the task says."""
        self._process.wait(seconds)
        host, arrow, result = self.said().partition(" => ")
        assert arrow, self.said()
        return {**json.JSONDecoder().raw_decode(result)[0], "failed": host.endswith("FAILED!")}


@contextlib.contextmanager
def running(machine: vm.Machine, arguments: Dict[str, object], module: str = RULESET) -> Iterator[Run]:
    """Have Ansible run a task on a machine as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="run-") as folder:  # Short, since the names of sockets are.
        run = Run(machine, module, arguments, Path(folder))
        try:
            yield run
        finally:
            run.kill()


def until(holds: Callable[[], object], seconds: float, what: str) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.1)


def met(machine: vm.Machine, address: str = "") -> str:
    """Return what a neighbour's new connection meets at an offered port where nothing listens: refused, but silence under a change of these tests.

    Not the port of ssh: to connect there and say nothing takes a lot of an emulated processor, and newer sshds lock out whoever does it.
    """
    return machine.in_namespace(sys.executable, "-ISc", CONNECT, address or machine.address).stdout.strip()


def wait_for(machine: vm.Machine, run: Run, *files: str) -> None:
    """Wait until a change has come as far as these files of it say."""
    # What an earlier one has left is not `armed` any more.
    there = " && ".join(f"[ -e {COMMIT}/{file} ]" for file in ("armed", *files))
    look = f"for i in $(seq 100); do {{ {there}; }} && exit 0; sleep 0.05; done; exit 1"
    until(lambda: run.goes_on() and machine.run(look).returncode == 0, 200, f"{files} after {run.said()}")


class Rollback(NamedTuple):
    """When what happened, in seconds since the machine has started, by its own clock: its journal's."""

    armed: float
    """systemd took the timer."""
    fired: float
    """systemd started what the timer is for."""
    applied_by: float
    """The change was live and read back by then: its time began here."""
    back: float
    """What was there before is back."""
    ended: float
    """That unit had done its work."""
    locked_out: Sequence[float]
    """Packets that the change kept out."""


def rollback(machine: vm.Machine, seconds: int, name: str = "palisade", kept_out: str = "locked out: ") -> Rollback:
    """Return what the machine has to say of the last change of this name, which was not confirmed. kept_out: the kernel's words of a packet."""
    folder = f"/run/palisade/{name}.commit"
    token, deadline = machine.check(f"journalctl --sync; cat {folder}/token; echo; cat {folder}/deadline").split()
    unit = f"palisade-rollback-{name}-{token}"
    # Of the two that have gone by then, nothing is left to show; the journal knows them.
    # That of the logger, which is gone too soon for systemd to say which unit it was of, is not said to be of the unit.
    queries = (f"-u {unit}.timer -u {unit}.service", "-t palisade-firewall", f"-k --grep '{kept_out}'")
    text = machine.check("; ".join(f"journalctl -q -b -o json {query}" for query in queries))
    entries = [dict(json.loads(line)) for line in text.splitlines()]

    def when(said: str, **fields: str) -> float:
        times = [int(entry["__MONOTONIC_TIMESTAMP"]) / 1e6 for entry in entries
                 if said in str(entry["MESSAGE"]) and fields.items() <= entry.items()]
        assert times, f"{unit}: {said}: {[entry['MESSAGE'] for entry in entries]}"
        return times[-1]

    armed = when("Started ", UNIT=f"{unit}.timer")
    victims = (int(entry["_SOURCE_MONOTONIC_TIMESTAMP"]) / 1e6 for entry in entries if kept_out in str(entry["MESSAGE"]))
    return Rollback(
        armed=armed,
        fired=when("Started ", UNIT=f"{unit}.service"),
        applied_by=float(deadline) - seconds,
        back=when("not confirmed: what was there before is back", SYSLOG_IDENTIFIER="palisade-firewall"),
        ended=when("Deactivated successfully", UNIT=f"{unit}.service"),
        locked_out=[time for time in victims if time > armed],
    )


def left_behind(machine: vm.Machine) -> str:
    """Return the units of rollbacks that systemd still knows, and the failed ones of ours."""
    listed = "systemctl list-units --plain --no-legend"
    return machine.check(f"{listed} --all 'palisade-rollback-*'; {listed} --failed {UNIT}")
