# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Throwaway hosts: network and mount namespaces of this machine, and a cable between two. Gone when the process ends."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Collection, Iterator, Mapping, Sequence

from .shell import SetupError, as_root, environment

WIRE = str(Path(__file__).with_name("wire.py"))
SET_UP = """
mount -t tmpfs run /run
for folder in /etc /usr/local; do
  mkdir -p /run/overlay$folder/upper /run/overlay$folder/work
  mount -t overlay overlay -o lowerdir=$folder,upperdir=/run/overlay$folder/upper,workdir=/run/overlay$folder/work $folder
done
rm -rf /etc/palisade /etc/rc?.d /etc/runlevels /usr/local/sbin/palisade-firewall /etc/sysctl.conf /etc/sysctl.d /etc/ufw
for folder in /usr/lib/sysctl.d /usr/local/lib/sysctl.d; do
  if [ -d $folder ]; then mount -t tmpfs sysctl $folder; fi
done
ip link set lo up
echo $$
exec cat
"""
"""Prints its process id and lives as long as its standard input is open, so that nothing stays when we are killed.

What is written to its /etc and /usr/local stays in memory, and whatever firewall and settings this machine has at boot are none of its own.
"""

CABLE = """
ip link add eth0 type veth peer name eth0 netns {peer}
for address in {ours}; do ip address add $address dev eth0 nodad; done
ip link set eth0 up
"""
OTHER_END = "for address in {theirs}; do ip address add $address dev eth0 nodad; done; ip link set eth0 up"


class Host:
    """One throwaway host. Use it as a context manager."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self.variables = {**variables}

    def __enter__(self) -> Host:
        argv = as_root(["unshare", "--net", "--mount", "--propagation", "private", "sh", "-euc", SET_UP])
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        answer = self._process.stdout.readline().strip()
        if not answer.isdigit():
            why = self._process.stderr.read().strip()
            raise SetupError(f"no throwaway host can be made here, it takes a machine that allows namespaces and overlays: {why}")
        self.pid = int(answer)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def argv(self, command: Sequence[str]) -> list[str]:
        """Return ``command`` as one that runs on the host."""
        return as_root(["nsenter", f"--target={self.pid}", "--net", "--mount", "--root", "--wd", *command], self.variables)

    def run(self, *command: str, text: str = "") -> str:
        """Run a command on the host and return what it prints. Raises SetupError if it fails."""
        done = subprocess.run(
            self.argv(command), input=text, capture_output=True, text=True, env=environment(**self.variables), check=False
        )
        if done.returncode != 0:
            raise SetupError(f"{' '.join(command)[:200]} failed: {done.stderr.strip()}")
        return done.stdout

    def set(self, settings: Mapping[str, str]) -> None:
        """Set sysctls of the host's network."""
        self.run("sysctl", "-qw", *(f"{name}={value}" for name, value in settings.items()))

    def show(self, *command: str, hidden: Collection[str] = ()) -> tuple[int, str]:
        """Run a command on the host, print the lines it says but the ``hidden`` ones, return its exit status and all it said."""
        text = []
        with subprocess.Popen(
            self.argv(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=environment(**self.variables),
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                text.append(line)
                if line.rstrip("\n") in hidden:
                    continue
                sys.stdout.write(f"    {line}" if line.strip() else "\n")
                sys.stdout.flush()
        return process.returncode, "".join(text)

    @contextlib.contextmanager
    def listening(self, *ports: int) -> Iterator[None]:
        """Have something answer on these TCP ports, IPv4 and IPv6."""
        argv = self.argv([sys.executable, WIRE, "listen", *map(str, ports)])
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                if process.stdout.readline() != "ready\n":
                    raise SetupError("nothing can listen on the throwaway host")
                yield
            finally:
                process.communicate()

    def probe(self, targets: Sequence[tuple[str, int]]) -> list[str]:
        """Try these addresses and ports (0: ping) from this host and return what came of each."""
        found: list[str] = json.loads(self.run(sys.executable, WIRE, "probe", text=json.dumps(targets)))
        return found


def connect(host: Host, ours: Sequence[str], peer: Host, theirs: Sequence[str]) -> None:
    """Join two hosts by a cable, ``eth0`` at both ends, with these addresses."""
    host.run("sh", "-euc", CABLE.format(peer=peer.pid, ours=" ".join(ours)))
    peer.run("sh", "-euc", OTHER_END.format(theirs=" ".join(theirs)))
