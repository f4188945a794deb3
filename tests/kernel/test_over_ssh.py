# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole of Ansible over a real SSH connection into a throwaway host: the connection it works through must live on."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from .support.host import COLLECTIONS, Host

ANSIBLE = Path(sys.executable).with_name("ansible-playbook")
ADDRESSES = {"ipv4": ("10.99.0.1", "10.99.0.2", "24"), "ipv6": ("fd99::1", "fd99::2", "64")}
SSHD = """
Port 22
HostKey {directory}/host
AuthorizedKeysFile {directory}/user.pub
PidFile {directory}/sshd.pid
UsePAM no
StrictModes no
PermitRootLogin yes
"""
INVENTORY = (
    "host ansible_host={address} ansible_user=root ansible_ssh_private_key_file={directory}/user"
    " ansible_python_interpreter={python}"
    " ansible_ssh_common_args='-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ConnectTimeout=5'\n"
)
#: New connections need a SYN, old ones conntrack's word: without tracking switched on in time, this cuts the session.
RULES = {
    "filter": {
        "INPUT": {
            "policy": "DROP",
            "rules": [
                "-m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
                "-p tcp --syn --dport 22 -j ACCEPT",
                "-p icmpv6 -j ACCEPT",
            ],
        },
        "OUTPUT": {
            "policy": "DROP",
            "rules": ["-m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT", "-p icmpv6 -j ACCEPT"],
        },
    }
}


@contextmanager
def ssh_client(host: Host, directory: Path) -> Iterator[Sequence[str]]:
    """Start sshd on the host and give the command prefix of a second namespace, wired to it, that plays the controller."""
    for name in ("user", "host"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / name)], check=True)
    (directory / "sshd_config").write_text(SSHD.format(directory=directory))
    client = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo ready; exec sleep infinity"], stdout=subprocess.PIPE, text=True)
    assert client.stdout is not None
    assert client.stdout.readline() == "ready\n"
    inside = ["nsenter", f"--target={client.pid}", "--net"]
    try:
        host.run("ip", "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", str(client.pid))
        for ours, theirs, length in ADDRESSES.values():
            host.run("ip", "address", "add", f"{ours}/{length}", "dev", "wire", *(["nodad"] if ":" in ours else []))
            at_once = ["nodad"] if ":" in ours else []
            subprocess.run([*inside, "ip", "address", "add", f"{theirs}/{length}", "dev", "wire", *at_once], check=True)
        host.run("ip", "link", "set", "wire", "up")
        subprocess.run([*inside, "ip", "link", "set", "wire", "up"], check=True)
        host.run("mkdir", "-p", "/run/sshd")
        host.run("/usr/sbin/sshd", "-f", str(directory / "sshd_config"), "-E", str(directory / "log"))
        yield inside
    finally:
        if (directory / "sshd.pid").exists():
            host.run("kill", (directory / "sshd.pid").read_text().strip())
        client.kill()
        client.communicate()


def play(
    inside: Sequence[str], directory: Path, family: str, tasks: list[dict[str, object]], variables: str = "", address: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a playbook of these tasks against the host, at the family's address or another one, in one kept SSH connection."""
    command, environment = prepare(inside, directory, family, tasks, variables, address)
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def prepare(
    inside: Sequence[str], directory: Path, family: str, tasks: list[dict[str, object]], variables: str = "", address: str = ""
) -> tuple[list[str], dict[str, str]]:
    """Write what such a playbook needs, and return the command that runs it and its environment."""
    inventory = INVENTORY.format(address=address or ADDRESSES[family][0], directory=directory, python=sys.executable)
    (directory / "inventory").write_text(f"{inventory}[all:vars]\n{variables}\n")
    (directory / "play.yml").write_text(json.dumps([{"hosts": "host", "gather_facts": False, "tasks": tasks}]))
    environment = {
        **os.environ, "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS), "ANSIBLE_TIMEOUT": "15", "ANSIBLE_REMOTE_TMP": str(directory / "tmp"),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(directory / "cp"),
        "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=30s -o ServerAliveInterval=3 -o ServerAliveCountMax=2",
        "ANSIBLE_NOCOLOR": "1", "ANSIBLE_HOST_KEY_CHECKING": "0", "ANSIBLE_BECOME_ALLOW_SAME_USER": "1", "ANSIBLE_PIPELINING": "1",
    }
    return [*inside, "timeout", "120", str(ANSIBLE), "-i", str(directory / "inventory"), str(directory / "play.yml")], environment


@pytest.mark.parametrize("family", ADDRESSES)
def test_the_first_apply_does_not_cut_the_connection_it_came_by(host: Host, tmp_path: Path, family: str) -> None:
    """The session was opened before any rule, so nothing had tracked it: rules by state would drop its next packet."""
    ruleset: dict[str, object] = {"palisade.netfilter.iptables_ruleset": {"tables": RULES, "backend": host.backend}}
    port: dict[str, object] = {"ansible.builtin.shell": "echo ${SSH_CONNECTION}", "register": "before"}
    same: dict[str, object] = {
        "ansible.builtin.shell": "echo ${SSH_CONNECTION}", "register": "after", "failed_when": "after.stdout != before.stdout",
    }
    with ssh_client(host, tmp_path) as inside:
        done = play(inside, tmp_path, family, [port, ruleset, same], variables=f"ansible_ssh_pipelining={family == 'ipv6'}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "changed=3" in done.stdout
    assert "~" not in "".join(line for line in host.save(family).splitlines() if line.startswith(":"))
    assert ":INPUT DROP" in host.save(family)


def test_the_session_is_cut_without_the_priming(host: Host, tmp_path: Path) -> None:
    """The same rules loaded by iptables-restore alone: the counter-proof that the test above can fail."""
    with ssh_client(host, tmp_path) as inside:
        text = "*filter\\n:INPUT DROP\\n" + "".join(f"-A INPUT {rule}\\n" for rule in RULES["filter"]["INPUT"]["rules"][:2])
        text += ":OUTPUT DROP\\n-A OUTPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\\nCOMMIT\\n"
        load: dict[str, object] = {"ansible.builtin.shell": f"printf '{text}' | iptables-{host.backend}-restore"}
        ping: dict[str, object] = {"ansible.builtin.ping": {}}
        done = play(inside, tmp_path, "ipv4", [ping, load, ping])
    assert "UNREACHABLE" in done.stdout or done.returncode == 124, done.stdout
    assert ":INPUT DROP" in host.save()


#: Takes the options that Ansible gives sudo, and drops the variable that sudo drops.
SUDO = """#!/bin/sh
while [ "${1#-}" != "$1" ]; do [ "$1" != -u ] || shift; shift; done
unset SSH_CONNECTION
exec "$@"
"""
BY_SUDO = "ansible_become=true\nansible_become_exe=/usr/local/bin/sudo"
ELSEWHERE = ["203.0.113.0/24", "2001:db8::/32"]


def role(host: Host, **variables: object) -> dict[str, object]:
    """Return the task that applies the role server to a host that has a sudo. Its kernel is left alone: test_role_kernel.py is about that."""
    host.run("sh", "-euc", "cat > /usr/local/bin/sudo; chmod +x /usr/local/bin/sudo; rm -rf /etc/rc?.d", text=SUDO)
    said = {"firewall_backend": host.backend, "firewall_modules_state": "unmanaged", "firewall_sysctl_state": "unmanaged", **variables}
    return {"ansible.builtin.include_role": {"name": "palisade.netfilter.server"}, "vars": said}


@pytest.mark.parametrize("family", ADDRESSES)
def test_the_role_knows_where_it_comes_from_though_sudo_does_not(host: Host, tmp_path: Path, family: str) -> None:
    with ssh_client(host, tmp_path) as inside:
        done = play(inside, tmp_path, family, [role(host, firewall_services={"ssh": {"from": ELSEWHERE}})], BY_SUDO)
    assert f"Nothing in the policy lets {ADDRESSES[family][1]} back in" in done.stdout, done.stdout + done.stderr
    assert host.save() == ""
    assert host.run("ls", "/etc/palisade", check=False).returncode != 0


def test_on_the_closed_fallback_the_operator_comes_back(host: Host, tmp_path: Path) -> None:
    """The host has booted with its rules torn: the next run gets in by management, and puts all right."""
    management = {"from": [client for _ours, client, _length in ADDRESSES.values()]}
    apply = role(host, firewall_services={"ssh": {"state": "absent"}}, firewall_management=management)
    with ssh_client(host, tmp_path) as inside:
        done = play(inside, tmp_path, "ipv4", [apply], BY_SUDO)
        assert done.returncode == 0, done.stdout + done.stderr
        host.run("sh", "-c", "for f in /etc/palisade/palisade.rules /etc/palisade/palisade.good; do echo torn > $f; done")
        assert host.run("/usr/local/sbin/palisade-firewall", "boot", check=False).returncode == 1
        assert "firewall_logging" not in host.save()
        again = play(inside, tmp_path, "ipv6", [apply], BY_SUDO)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "changed=1" in again.stdout
    assert "firewall_logging" in host.save()
