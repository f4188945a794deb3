# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where ansible.posix.sysctl goes wrong and we do not: each of its defects is shown on one host, and our answer on another."""
from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from .support.host import Host, ModuleResult, finish
from .support.sysctls import by_key, harden, hardened, read, write

FILE = "/etc/sysctl.d/90-peer.conf"
PEER = """
import runpy, sys
from ansible.module_utils import basic
basic._ANSIBLE_ARGS = sys.stdin.buffer.read()
basic._ANSIBLE_PROFILE = "legacy"
runpy.run_module("ansible_collections.ansible.posix.plugins.modules.sysctl", run_name="__main__", alter_sys=True)
"""


@pytest.fixture
def hosts() -> Iterator[tuple[Host, Host]]:
    """A host for them and one for us, each with an interface that has a dot in its name."""
    with ExitStack() as stack:
        made = [stack.enter_context(Host("nft")) for _number in range(2)]
        for host in made:
            host.run("ip", "link", "add", "eth0.100", "type", "veth")
            write(host, {"net/ipv4/ip_forward": 0, "net/ipv4/tcp_ecn": 2, "net/ipv4/conf/all/rp_filter": 0, "net/ipv4/conf/eth0.100/rp_filter": 0,
                         "net/ipv4/conf/all/accept_redirects": 1, "net/ipv4/conf/all/send_redirects": 1, "net/ipv4/conf/eth0.100/send_redirects": 1})
        yield made[0], made[1]


def theirs(host: Host, name: str, value: object, **options: Any) -> ModuleResult:
    """Run their module for one key, in the way that people use it: the file, and the kernel."""
    process = host.start(sys.executable, "-c", PEER)
    assert process.stdin is not None
    process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": {"name": name, "value": str(value), "sysctl_file": FILE, "sysctl_set": True, **options}}))
    process.stdin.close()
    process.stdin = None
    return finish(process)


def live(host: Host, path: str) -> str:
    return read(host, [path])[path]


def test_they_cannot_name_an_interface_with_a_dot_as_people_do(hosts: tuple[Host, Host]) -> None:
    peer, own = hosts
    path = "net/ipv4/conf/eth0.100/rp_filter"
    assert theirs(peer, "net.ipv4.conf.eth0.100.rp_filter", 1).failed
    assert live(peer, path) == "0"
    hardened(own, settings={"net.ipv4.conf.eth0.100.rp_filter": 1})
    assert live(own, path) == "1"


def test_they_take_two_spellings_for_two_keys(hosts: tuple[Host, Host]) -> None:
    peer, own = hosts
    theirs(peer, "net.ipv4.tcp_ecn", 0)
    theirs(peer, "net/ipv4/tcp_ecn", 1)
    assert theirs(peer, "net.ipv4.tcp_ecn", 0).changed
    assert peer.run("grep", "-c", "tcp_ecn", FILE).stdout == "2\n"
    assert live(peer, "net/ipv4/tcp_ecn") == "1", "the second spelling's line is applied behind the first one's"
    hardened(own, settings={"net.ipv4.tcp_ecn": 1})
    hardened(own, settings={"net/ipv4/tcp_ecn": 0})
    assert live(own, "net/ipv4/tcp_ecn") == "0"


def test_what_they_write_to_all_is_not_what_is_in_effect(hosts: tuple[Host, Host]) -> None:
    peer, own = hosts
    assert not theirs(peer, "net.ipv4.conf.all.send_redirects", 0).failed
    assert live(peer, "net/ipv4/conf/eth0.100/send_redirects") == "1", "the interface's own is enough to send them"
    entry = by_key(hardened(own, settings={"net.ipv4.conf.all.send_redirects": 0}))["net.ipv4.conf.all.send_redirects"]
    assert entry["effective"]["eth0.100"] == live(own, "net/ipv4/conf/eth0.100/send_redirects") == "0"


def test_they_do_not_see_what_forwarding_resets(hosts: tuple[Host, Host]) -> None:
    """One task a key, the redirects first, then the router becomes a host."""
    peer, own = hosts
    path = "net/ipv4/conf/all/accept_redirects"
    for host in hosts:
        write(host, {"net/ipv4/ip_forward": 1, path: 0})
    for key, value in (("net.ipv4.conf.all.accept_redirects", 0), ("net.ipv4.ip_forward", 0)):
        assert not theirs(peer, key, value, reload=False).failed
    assert live(peer, path) == "1"
    hardened(own, settings={"net.ipv4.conf.all.accept_redirects": 0, "net.ipv4.ip_forward": 0})
    assert live(own, path) == "0"


def test_a_bad_value_stays_in_their_file_and_stops_every_later_task(hosts: tuple[Host, Host]) -> None:
    peer, own = hosts
    assert theirs(peer, "net.ipv4.tcp_ecn", "nonsense", sysctl_set=False).failed
    assert "nonsense" in peer.run("cat", FILE).stdout
    assert theirs(peer, "net.ipv4.ip_forward", 1).failed
    assert harden(own, settings={"net.ipv4.tcp_ecn": "nonsense"}).failed
    assert not hardened(own, settings={"net.ipv4.ip_forward": 1}).failed


def test_their_check_mode_takes_what_the_kernel_would_refuse(hosts: tuple[Host, Host]) -> None:
    peer, own = hosts
    check = theirs(peer, "net.ipv4.tcp_ecn", "nonsense", _ansible_check_mode=True)
    assert (check.failed, check.changed) == (False, True)
    assert harden(own, check_mode=True, settings={"net.ipv4.tcp_ecn": "nonsense"}).failed


def test_they_take_values_that_mean_nothing(hosts: tuple[Host, Host]) -> None:
    """The kernel has no rp_filter 3, and takes it."""
    peer, own = hosts
    assert not theirs(peer, "net.ipv4.conf.all.rp_filter", 3).failed
    assert live(peer, "net/ipv4/conf/all/rp_filter") == "3"
    assert harden(own, settings={"net.ipv4.conf.all.rp_filter": 3}).failed


@pytest.mark.parametrize(("key", "value", "options"), [
    ("net.ipv4.tcp_keepalive_probes", "0x9", {}),
    # Not in a namespace, as not in a container either.
    ("net.core.bpf_jit_harden", "2", {"ignoreerrors": True}),
])
def test_they_change_the_same_thing_for_ever(hosts: tuple[Host, Host], key: str, value: str, options: dict[str, Any]) -> None:
    peer, own = hosts
    assert [theirs(peer, key, value, **options).changed for _again in range(3)] == [True, True, True]
    hardened(own, settings={key: value})


def test_a_container_is_a_failure_to_them(hosts: tuple[Host, Host]) -> None:
    peer, own = hosts
    for host in hosts:
        host.run("mount", "--bind", "/proc/sys", "/proc/sys")
        host.run("mount", "-o", "remount,ro,bind", "/proc/sys")
    assert theirs(peer, "net.ipv4.tcp_ecn", 0).failed
    assert by_key(hardened(own, settings={"net.ipv4.tcp_ecn": 0}))["net.ipv4.tcp_ecn"]["state"] == "readonly"


def test_what_they_take_away_stays_in_the_kernel(hosts: tuple[Host, Host]) -> None:
    peer, own = hosts
    for host in hosts:
        host.run("tee", "/etc/sysctl.d/10-other.conf", text="net.ipv4.tcp_ecn = 1\n")
    theirs(peer, "net.ipv4.tcp_ecn", 0)
    theirs(peer, "net.ipv4.tcp_ecn", 0, state="absent")
    assert live(peer, "net/ipv4/tcp_ecn") == "0"
    hardened(own, settings={"net.ipv4.tcp_ecn": 0})
    hardened(own, state="absent")
    assert live(own, "net/ipv4/tcp_ecn") == "1"


def test_they_do_not_tell_that_another_file_wins(hosts: tuple[Host, Host]) -> None:
    peer, own = hosts
    for host in hosts:
        host.run("tee", "/etc/sysctl.d/99-zzz.conf", text="net.ipv4.tcp_ecn = 1\n")
    assert "99-zzz" not in json.dumps(theirs(peer, "net.ipv4.tcp_ecn", 0).data)
    assert "99-zzz" in hardened(own, settings={"net.ipv4.tcp_ecn": 0}).warnings[0]
