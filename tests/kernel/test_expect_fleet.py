# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One play over three hosts, each behind an ssh of its own: a wrong expectation stops one of them, and that one is untouched."""
from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from .support.host import COLLECTIONS, Host
from .test_over_ssh import ANSIBLE, SSHD

NAMES = ("web1", "web2", "web3")
PLAY = [{
    "hosts": "all", "gather_facts": False,
    "tasks": [
        {"ansible.builtin.include_role": {"name": "palisade.netfilter.server"}},
        {"ansible.builtin.command": "mkdir /run/behind-it"},
    ],
}]


def stop_sshd(host: Host, directory: Path) -> None:
    host.run("kill", (directory / "sshd.pid").read_text().strip())


@contextmanager
def controller(hosts: dict[str, Host], directory: Path) -> Iterator[Sequence[str]]:
    """Start sshd on every host and give the command prefix of a namespace that is wired to each of them, and write the inventory."""
    for name in ("user", "host"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / name)], check=True)
    client = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo ready; exec sleep infinity"], stdout=subprocess.PIPE, text=True)
    assert client.stdout is not None
    assert client.stdout.readline() == "ready\n"
    inside = ["nsenter", f"--target={client.pid}", "--net"]
    with ExitStack() as stack:
        stack.callback(client.communicate)
        stack.callback(client.kill)
        lines = []
        for number, (name, host) in enumerate(hosts.items(), 1):
            own = directory / name
            own.mkdir()
            (own / "sshd_config").write_text(SSHD.format(directory=directory).replace(f"{directory}/sshd.pid", f"{own}/sshd.pid"))
            host.run("ip", "link", "add", "wire", "type", "veth", "peer", "name", f"wire{number}", "netns", str(client.pid))
            host.run("ip", "address", "add", f"10.99.{number}.1/24", "dev", "wire")
            host.run("ip", "link", "set", "wire", "up")
            subprocess.run([*inside, "ip", "address", "add", f"10.99.{number}.2/24", "dev", f"wire{number}"], check=True)
            subprocess.run([*inside, "ip", "link", "set", f"wire{number}", "up"], check=True)
            host.run("mkdir", "-p", "/run/sshd")
            host.run("/usr/sbin/sshd", "-f", str(own / "sshd_config"), "-E", str(own / "log"))
            stack.callback(stop_sshd, host, own)
            lines.append(f"{name} ansible_host=10.99.{number}.1 ansible_remote_tmp={own}/tmp\n")
        (directory / "inventory").write_text("".join(lines))
        yield inside


@pytest.fixture
def fleet(new_host: Callable[[], Host]) -> dict[str, Host]:
    """Three hosts. What persistence asks a host with sysvinit about is not there."""
    hosts = {name: new_host() for name in NAMES}
    for host in hosts.values():
        host.run("sh", "-c", "rm -rf /etc/rc?.d /etc/runlevels /etc/palisade")
    return hosts


def play(inside: Sequence[str], directory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the play over all of them."""
    (directory / "play.yml").write_text(json.dumps(PLAY))
    variables = {
        "ansible_user": "root", "ansible_ssh_private_key_file": str(directory / "user"), "ansible_python_interpreter": sys.executable,
        "ansible_ssh_common_args": "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ConnectTimeout=5",
        "firewall_services": {"ssh": {}, "https": {}}, "firewall_backend": "nft",
        "firewall_expect": [{"in_interface": "wire", "port": 443, "verdict": "accept"}, {"in_interface": "wire", "port": 3306, "verdict": "drop"}],
    }
    (directory / "group_vars").mkdir(exist_ok=True)
    (directory / "group_vars" / "all.json").write_text(json.dumps(variables))
    # What one host says of itself takes away what all are expected to let in.
    (directory / "host_vars").mkdir(exist_ok=True)
    (directory / "host_vars" / "web2.json").write_text(json.dumps({"firewall_services": {"ssh": {}}}))
    environment = {
        **os.environ, "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS), "ANSIBLE_SSH_CONTROL_PATH_DIR": str(directory / "cp"),
        "ANSIBLE_NOCOLOR": "1", "ANSIBLE_HOST_KEY_CHECKING": "0",
    }
    return subprocess.run([*inside, "timeout", "180", str(ANSIBLE), "-i", str(directory / "inventory"), str(directory / "play.yml"), *options],
                          capture_output=True, text=True, env=environment, check=False)


def recap(done: subprocess.CompletedProcess[str]) -> dict[str, bool]:
    """Say of each host whether it failed."""
    return {name: failed != "0" for name, failed in re.findall(r"^(web\d) .*unreachable=0 +failed=(\d)", done.stdout, re.MULTILINE)}


def marked(hosts: dict[str, Host]) -> list[str]:
    """Return the hosts on which the play went on behind the role."""
    return [name for name, host in hosts.items() if host.run("test", "-d", "/run/behind-it", check=False).returncode == 0]


@pytest.mark.parametrize("backend", ["nft"])
def test_a_wrong_expectation_stops_one_host_of_three(fleet: dict[str, Host], tmp_path: Path) -> None:
    before = fleet["web2"].snapshot()
    wrong = ("flow 1 (tcp to port 443 in by wire from 10.99.2.2 to 10.99.2.1): verdict accept was expected and drop was found; "
             "it was decided by the policy DROP of INPUT, table filter. Nothing has changed")
    with controller(fleet, tmp_path) as inside:
        checked = play(inside, tmp_path, "--check")
        assert recap(checked) == {"web1": False, "web2": True, "web3": False}, checked.stdout + checked.stderr
        assert wrong in checked.stdout
        assert [host.snapshot() for host in fleet.values()] == [before] * 3
        done = play(inside, tmp_path)
    assert recap(done) == {"web1": False, "web2": True, "web3": False}, done.stdout + done.stderr
    assert wrong in done.stdout
    assert marked(fleet) == ["web1", "web3"]
    assert fleet["web2"].snapshot() == before
    assert fleet["web2"].run("ls", "/etc/palisade", "/usr/local/sbin/palisade-firewall", check=False).stdout == ""
    for name in ("web1", "web3"):
        assert "--dport 443" in fleet[name].save()
        assert fleet[name].run("ls", "/etc/palisade").stdout
