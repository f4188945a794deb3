# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that are otherwise: /proc/sys that cannot be written, a file that cannot, Docker, addresses from routers, interfaces that come and go."""
from __future__ import annotations

from collections.abc import Iterator

import pytest

from .support.host import Host
from .support.sysctls import OWN_FILE, by_key, harden, hardened, own_file, read, refused, write

LINKS = ("eth0", "eth0.100")
SOME = ["net/ipv4/conf/all/send_redirects", "net/ipv4/conf/eth0.100/rp_filter", "net/ipv4/ip_forward", "net/ipv4/conf/all/accept_redirects"]
#: A router's advertisement: it lives for 1,800 s and has the prefix 2001:db8:7::/64. The checksum is the kernel's work.
ADVERTISE = """
import socket, struct
prefix = struct.pack("!BBBBII4x", 3, 4, 64, 0xc0, 86400, 14400) + socket.inet_pton(socket.AF_INET6, "2001:db8:7::")
with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as wire:
    wire.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
    wire.sendto(struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + prefix, ("ff02::1", 0, 0, socket.if_nametoindex("wire0")))
"""


@pytest.fixture
def machine() -> Iterator[Host]:
    with Host("nft") as host:
        for name in LINKS:
            host.run("ip", "link", "add", name, "type", "veth", "peer", "name", name.replace(".", "-") + "-peer")
        write(host, {"net/ipv4/ip_forward": 0})
        yield host


def test_a_read_only_proc_sys_is_told_once_and_is_no_change_the_second_time(machine: Host) -> None:
    """As in an ordinary container."""
    machine.run("mount", "--bind", "/proc/sys", "/proc/sys")
    machine.run("mount", "-o", "remount,ro,bind", "/proc/sys")
    before = read(machine, SOME)
    result = hardened(machine, profile="router")
    assert result.changed and own_file(machine)
    assert read(machine, SOME) == before
    entries = by_key(result)
    assert {entries[key]["state"] for key in ("net.ipv4.ip_forward", "net.ipv4.conf.all.send_redirects")} == {"readonly"}
    assert entries["net.ipv4.tcp_syncookies"]["state"] == "ok"
    assert not any(entry["changed"] for entry in result.data["keys"])
    assert "/proc/sys cannot be written on this host" in result.warnings[0]
    assert not harden(machine, state="absent", check_mode=True).failed
    machine.run("umount", "/proc/sys")
    hardened(machine, profile="router")
    assert read(machine, SOME) != before


def test_a_container_that_may_write_but_not_administer_its_network_keeps_its_forwarding(machine: Host) -> None:
    """There ip_forward looks writable, and the kernel refuses it; all else is set."""
    through = ("setpriv", "--inh-caps=-all", "--bounding-set=-net_admin")
    result = hardened(machine, profile="router", through=through)
    states = {key: entry["state"] for key, entry in by_key(result).items()}
    assert states["net.ipv4.ip_forward"] == "readonly"
    assert states["net.ipv6.conf.all.forwarding"] == states["net.ipv4.conf.all.send_redirects"] == "changed"
    assert "net.ipv4.ip_forward" in result.warnings[0]


def test_without_root_nothing_is_tried(machine: Host) -> None:
    result = harden(machine, profile="server", through=("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"))
    assert result.failed
    assert result.message == "kernel settings can be written by root only: use become. Nothing has changed"


def test_a_file_that_somebody_else_may_write_is_mended(machine: Host) -> None:
    hardened(machine, profile="server")
    machine.run("chmod", "666", OWN_FILE)
    assert hardened(machine, profile="server").changed
    assert machine.run("stat", "-c", "%a", OWN_FILE).stdout == "644\n"
    machine.run("sh", "-c", f"mv {OWN_FILE} /etc/elsewhere && ln -s /etc/elsewhere {OWN_FILE}")
    assert hardened(machine, profile="server").changed
    assert machine.run("stat", "-c", "%F", OWN_FILE).stdout == "regular file\n"


def test_a_file_that_cannot_be_written_changes_nothing(machine: Host) -> None:
    machine.run("mount", "-t", "tmpfs", "-o", "ro", "none", "/etc/sysctl.d")
    assert f"{OWN_FILE} cannot be written: /etc/sysctl.d is read-only" in refused(machine, SOME, profile="server")
    machine.run("umount", "/etc/sysctl.d")
    machine.run("mkdir", OWN_FILE)
    machine.run("touch", f"{OWN_FILE}/x")
    assert "cannot be changed" in refused(machine, SOME, profile="server")


def test_a_refusal_in_the_middle_puts_back_what_was_written(machine: Host) -> None:
    """The kernel refuses the last key. Forwarding, with all that the kernel does by itself then, comes back as well."""
    write(machine, {"net/ipv4/conf/eth0/forwarding": 1, "net/ipv4/conf/eth0.100/accept_redirects": 1, "net/ipv4/conf/all/accept_redirects": 1})
    paths = [*SOME, *(f"net/ipv4/conf/{name}/{leaf}" for name in ("all", "default", *LINKS)
                      for leaf in ("forwarding", "accept_redirects", "rp_filter", "accept_source_route", "log_martians")),
             "net/ipv6/conf/all/forwarding", "net/ipv6/conf/eth0/forwarding"]
    message = refused(machine, paths, profile="router", settings={"net.ipv4.tcp_fastopen_key": "nonsense"})
    assert message == "net.ipv4.tcp_fastopen_key: the kernel refuses nonsense: Invalid argument. Nothing has changed"
    assert machine.run("find", "/etc/sysctl.d", "-name", "*palisade*").stdout == ""


def test_docker_keeps_its_forwarding_unless_told(machine: Host) -> None:
    machine.run("ip", "link", "add", "docker0", "type", "veth")
    write(machine, {"net/ipv4/ip_forward": 1})
    entry = by_key(hardened(machine, profile="server"))["net.ipv4.ip_forward"]
    assert (entry["state"], entry["reason"], entry["after"]) == ("kept", "needed by Docker", "1")
    paths = ["net/ipv4/ip_forward", "net/ipv4/conf/eth0/forwarding"]
    assert read(machine, paths) == dict.fromkeys(paths, "1")
    hardened(machine, profile="server", settings={"net.ipv4.ip_forward": False})
    assert read(machine, paths) == dict.fromkeys(paths, "0")


def test_turning_a_router_into_a_server_and_back_keeps_redirects_refused(machine: Host) -> None:
    """Every switch of forwarding makes the kernel reset all.accept_redirects."""
    for profile in ("router", "server", "router", "workstation"):
        result = hardened(machine, profile=profile)
        assert set(by_key(result)["net.ipv4.conf.all.accept_redirects"]["effective"].values()) == {"0"}
        assert read(machine, ["net/ipv4/conf/all/accept_redirects", "net/ipv4/conf/eth0/accept_redirects"]) == {
            "net/ipv4/conf/all/accept_redirects": "0", "net/ipv4/conf/eth0/accept_redirects": "0"}


def test_an_interface_that_waits_in_the_file_gets_its_own_when_it_comes(machine: Host) -> None:
    options = {"profile": "server", "interfaces": {"ppp0": {"ipv4.rp_filter": 0}}}
    assert by_key(hardened(machine, **options))["net.ipv4.conf.ppp0.rp_filter"]["state"] == "missing"
    machine.run("ip", "link", "add", "ppp0", "type", "veth")
    entries = by_key(hardened(machine, **options))
    assert entries["net.ipv4.conf.ppp0.rp_filter"]["effective"] == {"ppp0": "0"}
    assert set(entries["net.ipv4.conf.all.rp_filter"]["effective"].values()) == {"1"}


def test_an_interface_that_is_left_alone_is_not_moved_by_a_new_default(machine: Host) -> None:
    machine.run("ip", "link", "add", "tun0", "type", "veth")
    paths = ["net/ipv4/conf/tun0/rp_filter", "net/ipv4/conf/eth0/rp_filter"]
    before = read(machine, paths)
    hardened(machine, profile="server", interfaces={"tun0": {"ipv4.rp_filter": None}})
    assert (before[paths[0]], read(machine, paths)) == ("0", {paths[0]: "0", paths[1]: "1"})


@pytest.fixture
def provider(machine: Host) -> Iterator[Host]:
    """Where the machine's wan0 leads: a router that says so."""
    with Host("nft") as other:
        machine.run("ip", "link", "add", "wan0", "type", "veth", "peer", "name", "wire0", "netns", str(other.pid))
        for host, name in ((machine, "wan0"), (other, "wire0")):
            write(host, {f"net/ipv6/conf/{name}/accept_dad": 0})
            host.run("ip", "link", "set", name, "up")
        _wait_for(other, "ip -6 address show dev wire0 scope link", "fe80")
        _wait_for(machine, "ip -6 address show dev wan0 scope link", "fe80")
        other.run("python3", "-c", ADVERTISE)
        _wait_for(machine, "ip -6 route show default", "wan0")
        yield other


def _wait_for(host: Host, command: str, words: str) -> None:
    host.run("sh", "-c", f"for try in $(seq 100); do {command} | grep -q {words} && exit; sleep 0.1; done; exit 1")


def test_a_router_begins_to_forward_and_keeps_the_route_that_its_provider_tells(machine: Host, provider: Host) -> None:
    result = by_key(hardened(machine, profile="router"))
    assert "wan0" in machine.run("ip", "-6", "route", "show", "default").stdout
    assert result["net.ipv6.conf.wan0.accept_ra"]["effective"] == {"wan0": "2"}
    assert result["net.ipv6.conf.all.accept_ra"]["effective"]["eth0"] == "0"
    # It learns from the next one as well, though it forwards; and it stays so while the route is away.
    machine.run("ip", "-6", "route", "flush", "default")
    assert not harden(machine, profile="router").changed
    provider.run("python3", "-c", ADVERTISE)
    _wait_for(machine, "ip -6 route show default", "wan0")


def test_a_server_that_lives_by_advertisements_keeps_them(machine: Host, provider: Host) -> None:
    entry = by_key(hardened(machine, profile="server"))["net.ipv6.conf.all.accept_ra"]
    assert (entry["state"], entry["reason"]) == ("kept", "IPv6 routes are learned from routers on wan0")
    hardened(machine, profile="server", settings={"net.ipv6.conf.all.accept_ra": 0})
    machine.run("ip", "-6", "route", "flush", "default")
    provider.run("python3", "-c", ADVERTISE)
    machine.run("sleep", "0.5")
    assert machine.run("ip", "-6", "route", "show", "default").stdout == ""
