# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A container with systemd and sshd that changes its rules by ssh, and what it is asked to do: the stopwatch for commit by proof."""
from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from devkit import engine, groups
from devkit.shell import INSTANCE, LOGS

from .tasks import COLLECTIONS, OURS, PYTHON, Seconds, TaskError, processor_seconds

SUITE = "bookworm"
NAME = f"palisade-benchmark-{INSTANCE}"
#: A rehearsal makes a network namespace, which an ordinary container may not.
OPTIONS = ("--cap-add=NET_ADMIN", "--cap-add=SYS_ADMIN", "--security-opt=seccomp=unconfined", "--security-opt=apparmor=unconfined", "--cgroupns=host",
           "--volume=/sys/fs/cgroup:/sys/fs/cgroup:rw", "--tmpfs=/run", "--tmpfs=/run/lock", "--stop-signal=SIGRTMIN+3")
INVENTORY = """\
host ansible_host={address} ansible_user=root ansible_python_interpreter={python} ansible_ssh_pipelining=true
"""
SSH = "-F none -i {folder}/key -o UserKnownHostsFile={folder}/known_hosts -o StrictHostKeyChecking=yes"


class Work(NamedTuple):
    """What a host's sshd was asked to do."""

    connections: int
    commands: int


class Container:
    """A container that is reached by ssh, Ansible keeping its connection as it does by default."""

    def __init__(self, folder: Path, address: str) -> None:
        self._folder = folder
        self._address = address
        (folder / "inventory").write_text(INVENTORY.format(address=address, python=PYTHON), encoding="ascii")

    def task(self, module: str, arguments: Mapping[str, Any] | None = None, *, changed: bool | None = None) -> Seconds:
        """Run one module by `ansible` and return what it took. Raises TaskError unless it says `changed` as expected."""
        argv = [str(Path(sys.executable).with_name("ansible")), "host", "-i", str(self._folder / "inventory"), "-m", module]
        argv += ["--ssh-common-args", SSH.format(folder=self._folder)]
        seconds, done = self._timed([*argv, "-a", json.dumps(arguments)] if arguments else argv)
        said = done.stdout.partition(" | ")[2].partition(" =>")[0]
        if done.returncode != 0 or (changed is not None and said != ("CHANGED" if changed else "SUCCESS")):
            raise TaskError(f"{module} {arguments}: expected changed={changed}, got {said}:\n{done.stdout[:2_000]}\n{done.stderr[:2_000]}")
        return seconds

    def rules(self, port: int, seconds: int, *, changed: bool = True) -> Seconds:
        """Let ssh and one more port in, `seconds` being the time for the confirmation."""
        rules = ["-m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT", "-p tcp --dport 22 -j ACCEPT", f"-p tcp --dport {port} -j ACCEPT"]
        arguments = {"families": ["ipv4"], "tables": {"filter": {"INPUT": rules}}, "confirm_timeout": seconds}
        return self.task(OURS, arguments, changed=changed)

    def command(self) -> Seconds:
        """Make one new connection and have a shell do nothing over it."""
        argv = ["ssh", *SSH.format(folder=self._folder).split(), "-o", "ControlPath=none", f"root@{self._address}", "/bin/sh -c true"]
        seconds, done = self._timed(argv)
        if done.returncode != 0:
            raise TaskError(f"ssh: {done.stderr}")
        return seconds

    @contextmanager
    def watched(self) -> Iterator[list[Work]]:
        """Give, once the block has ended, what sshd was asked to do in it."""
        before, found = self._asked(), list[Work]()
        yield found
        after = self._asked()
        found.append(Work(after.connections - before.connections, after.commands - before.commands))

    def _asked(self) -> Work:
        log = _docker("exec", NAME, "sh", "-c", "journalctl --sync; journalctl -q -o cat -t sshd")
        return Work(log.count("Accepted publickey for"), log.count("Starting session: command"))

    def _timed(self, argv: list[str]) -> tuple[Seconds, subprocess.CompletedProcess[str]]:
        environment = {
            "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS), "ANSIBLE_CONFIG": str(self._folder / "ansible.cfg"), "ANSIBLE_DEPRECATION_WARNINGS": "0",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self._folder / "cp"), "HOME": str(self._folder), "LC_ALL": "C.UTF-8",
            "PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        }
        begin, processor = time.monotonic(), processor_seconds()
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, check=False)
        return Seconds(time.monotonic() - begin, processor_seconds() - processor), done


@contextmanager
def container(folder: Path) -> Iterator[Container]:
    """Give such a container, made of Debian packages where its image is missing. Whatever engine answers is used."""
    (folder / "ansible.cfg").write_text("[defaults]\n", encoding="ascii")
    LOGS.mkdir(parents=True, exist_ok=True)
    with (LOGS / "benchmark.log").open("w") as log, engine.ended_afterwards():
        engine.ensure(log)
        image, = groups.test_images([SUITE], log)
        _docker("rm", "--force", NAME)
        _docker("run", "--detach", "--name", NAME, *OPTIONS, image, "/sbin/init")
        try:
            yield Container(folder, _let_in(folder))
        finally:
            _docker("rm", "--force", NAME)


def _let_in(folder: Path) -> str:
    """Have sshd up, with a key of ours, and return the container's address."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key")], check=True)
    key = (folder / "key.pub").read_text(encoding="ascii").strip()
    host_key = _docker("exec", NAME, "sh", "-euc", rf"""
        until systemctl is-system-running --wait 2>/dev/null | grep -qxE 'running|degraded'; do sleep 0.2; done
        ssh-keygen -A >/dev/null
        mkdir -p /root/.ssh && chmod 700 /root/.ssh && echo '{key}' >/root/.ssh/authorized_keys
        echo 'LogLevel VERBOSE' >/etc/ssh/sshd_config.d/verbose.conf
        systemctl restart ssh
        cat /etc/ssh/ssh_host_ed25519_key.pub""")
    address = _docker("inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", NAME).strip()
    (folder / "known_hosts").write_text(f"{address} {host_key}", encoding="ascii")
    return address


def _docker(*arguments: str) -> str:
    done = subprocess.run(engine.docker(*arguments), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise TaskError(f"docker {' '.join(arguments)[:200]}: {done.stderr}")
    return done.stdout
