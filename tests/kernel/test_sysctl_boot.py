# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the programs that apply sysctl.d make of our file and of others', and what we say beforehand that they will.

They are given their files by name, so that nothing but what the test has written is applied, and only to a namespace of its own.
"""
from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_files import BootOrder, SysctlFile

from .support.host import Host
from .support.sysctls import OWN_FILE, by_key, hardened, own_file, read, write

SYSTEMD = "/usr/lib/systemd/systemd-sysctl"
DEBIAN_13 = """\
net.ipv4.conf.default.rp_filter = 2
net.ipv4.conf.*.rp_filter = 2
-net.ipv4.conf.all.rp_filter
net.ipv4.conf.default.accept_source_route = 0
net.ipv4.conf.*.accept_source_route = 0
-net.ipv4.conf.all.accept_source_route
net.ipv4.conf.default.promote_secondaries = 1
net.ipv4.conf.*.promote_secondaries = 1
-net.ipv4.conf.all.promote_secondaries
"""
INTERFACES = ("eth0", "eth0.100", "wan")
MEMBERS = ("all", "default", *INTERFACES)
LEAVES = ("rp_filter", "arp_announce")
pytestmark = pytest.mark.skipif(not Path(SYSTEMD).exists(), reason="this machine has no systemd-sysctl")


@pytest.fixture
def machine() -> Iterator[Host]:
    with Host("nft") as host:
        host.run("sh", "-c", "rm -f /etc/sysctl.d/* /etc/sysctl.conf")
        for name in INTERFACES:
            host.run("ip", "link", "add", name, "type", "veth", "peer", "name", name.replace(".", "-") + "-peer")
        yield host


def put(host: Host, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        host.run("tee", f"/etc/sysctl.d/{name}", text=text)


def boot(host: Host, prefix: str = "/net") -> None:
    """Apply what is in /etc/sysctl.d as systemd does at boot, or for one interface as udev has it done."""
    files = host.run("sh", "-c", "ls /etc/sysctl.d/*.conf").stdout.split()
    host.run(SYSTEMD, f"--prefix={prefix}", *files)


def conf(leaf: str, members: tuple[str, ...] = MEMBERS) -> dict[str, str]:
    return {name: f"net/ipv4/conf/{name}/{leaf}" for name in members}


def test_we_read_files_as_systemd_does(machine: Host) -> None:
    """Made-up folders: any order of lines, patterns, dashes and spellings comes to what we say."""
    chance = random.Random(6)
    paths = [path for leaf in LEAVES for path in conf(leaf).values()]
    for _round in range(30):
        files = [SysctlFile(f"/etc/sysctl.d/{number}0.conf", _made_up(chance)) for number in range(1, 4)]
        write(machine, dict.fromkeys(paths, 0))
        put(machine, {file.path.rpartition("/")[2]: file.text for file in files})
        boot(machine)
        order = BootOrder(files)
        said = {path: line.value if (line := order.last_word(path)) else "0" for path in paths}
        assert read(machine, paths) == said, files


def _made_up(chance: random.Random) -> str:
    lines = []
    for _line in range(chance.randint(1, 5)):
        member = chance.choice(["all", "default", "*", "*", "eth*", "?an", "eth0", "wan", "eth0.100", "eth[0-9]*", "e*0"])
        leaf = chance.choice(LEAVES)
        key = f"net/ipv4/conf/{member}/{leaf}" if "." in member or chance.random() < 0.5 else f"net.ipv4.conf.{member}.{leaf}"
        if chance.random() < 0.2 and "*" not in member and "?" not in member:
            lines.append(f"-{key}")
        else:
            lines.append(f"{chance.choice(['', '-'])}{key}{chance.choice(['=', ' = '])}{chance.choice('12')}")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("profile", ["workstation", "server", "router"])
def test_a_boot_of_debian_13_comes_to_what_the_module_wrote(machine: Host, profile: str) -> None:
    """Its own files want loose filters on every interface; interfaces that come later are set by udev, from the same files."""
    put(machine, {"50-default.conf": DEBIAN_13, "60-eth0.conf": "net.ipv4.conf.eth0.rp_filter = 0\nnet.ipv4.conf.all.forwarding = 1\n"})
    result = hardened(machine, profile=profile)
    assert not [entry for entry in result.data["keys"] if entry["state"] == "shadowed"]
    written = _live(machine)
    # A machine that has just started: what the kernel begins with.
    write(machine, {"net/ipv4/ip_forward": 0, "net/ipv6/conf/all/forwarding": 0, **dict.fromkeys(conf("send_redirects").values(), 1),
                    **dict.fromkeys(conf("rp_filter").values(), 0), **dict.fromkeys(conf("accept_source_route").values(), 1),
                    **dict.fromkeys(conf("accept_redirects").values(), 1)})
    assert _live(machine) != written
    boot(machine)
    assert _live(machine) == written
    machine.run("ip", "link", "add", "usb7.1", "type", "veth")
    write(machine, {"net/ipv4/conf/usb7.1/rp_filter": 0})
    boot(machine, "/net/ipv4/conf/usb7.1")
    assert read(machine, ["net/ipv4/conf/usb7.1/rp_filter"]) == {"net/ipv4/conf/usb7.1/rp_filter": "2" if profile == "workstation" else "1"}


def _live(host: Host) -> dict[str, str]:
    leaves = ("rp_filter", "accept_source_route", "accept_redirects", "send_redirects", "secure_redirects", "log_martians", "forwarding")
    six = [f"net/ipv6/conf/{name}/{leaf}" for name in MEMBERS for leaf in ("accept_redirects", "accept_ra", "forwarding")]
    return read(host, [*(path for leaf in leaves for path in conf(leaf).values()), *six])


def test_a_file_of_the_distribution_alone_would_have_ended_loose(machine: Host) -> None:
    """The trap that the pattern in our file is for: all and default by themselves are not enough on Debian 13."""
    put(machine, {"50-default.conf": DEBIAN_13, "99-usual.conf": "net.ipv4.conf.all.rp_filter = 1\nnet.ipv4.conf.default.rp_filter = 1\n"})
    boot(machine)
    assert read(machine, conf("rp_filter").values())["net/ipv4/conf/eth0/rp_filter"] == "2"
    hardened(machine, settings={"net.ipv4.conf.all.rp_filter": 1})
    boot(machine)
    assert set(read(machine, conf("rp_filter").values()).values()) == {"1"}


def test_procps_takes_our_file_too(machine: Host) -> None:
    hardened(machine, profile="server", interfaces={"eth0.100": {"ipv4.rp_filter": 2}, "ppp0": {"ipv4.rp_filter": 0}})
    written = _live(machine)
    write(machine, {**dict.fromkeys(conf("rp_filter").values(), 0), **dict.fromkeys(conf("log_martians").values(), 0)})
    # It complains of keys that are not there, dash or no dash (procps 4.0.2), and goes on.
    done = machine.run("sysctl", "-p", OWN_FILE, check=False)
    assert "net.ipv4.conf.eth0/100.rp_filter = 2" in done.stdout
    assert _live(machine) == written


@pytest.mark.parametrize(("name", "text", "key", "said"), [
    ("99-zzz.conf", "net.ipv4.conf.eth0.rp_filter = 0\n", "net.ipv4.conf.all.rp_filter", "net.ipv4.conf.eth0.rp_filter = 0 (at boot)"),
    ("99-zzz.conf", "# late\nnet/ipv4/tcp_ecn = 1\n", "net.ipv4.tcp_ecn", "net.ipv4.tcp_ecn = 1 (at boot)"),
])
def test_what_shadows_us_is_named_and_does(machine: Host, name: str, text: str, key: str, said: str) -> None:
    put(machine, {name: text})
    settings = {"net.ipv4.conf.all.rp_filter": 1, "net.ipv4.tcp_ecn": 0}
    result = hardened(machine, settings=settings)
    entry = by_key(result)[key]
    line = 1 + text.startswith("#")
    assert (entry["state"], entry["shadowed_by"]) == ("shadowed", [f"/etc/sysctl.d/{name}:{line}: {said}"])
    assert result.warnings and said in result.warnings[0]
    live = read(machine, [*conf("rp_filter").values(), "net/ipv4/tcp_ecn"])
    boot(machine)
    assert read(machine, live) != live


def test_ufw_and_sysctl_conf_are_named(machine: Host) -> None:
    machine.run("mkdir", "-p", "/etc/ufw")
    machine.run("tee", "/etc/ufw/ufw.conf", text="ENABLED=yes\n")
    machine.run("tee", "/etc/ufw/sysctl.conf", text="net/ipv4/tcp_sack=1\nnet/ipv4/conf/all/accept_redirects=1\n")
    machine.run("tee", "/etc/sysctl.conf", text="net.ipv4.tcp_ecn=1\n")
    result = by_key(hardened(machine, settings={"net.ipv4.conf.all.accept_redirects": 0, "net.ipv4.tcp_ecn": 0, "net.ipv4.tcp_sack": 1}))
    assert result["net.ipv4.conf.all.accept_redirects"]["shadowed_by"] == [
        "/etc/ufw/sysctl.conf:2: net.ipv4.conf.all.accept_redirects = 1 (when ufw starts)"]
    assert result["net.ipv4.tcp_ecn"]["shadowed_by"][0].startswith("/etc/sysctl.conf:1: net.ipv4.tcp_ecn = 1 (")
    assert "shadowed_by" not in result["net.ipv4.tcp_sack"]


def test_leaving_gives_back_what_a_boot_without_us_comes_to(machine: Host) -> None:
    put(machine, {"50-default.conf": DEBIAN_13, "60-mine.conf": "net.ipv4.tcp_ecn = 1\nnet.ipv4.conf.wan.log_martians = 1\n"})
    write(machine, {"net/ipv4/ip_forward": 0})
    boot(machine)
    write(machine, {**dict.fromkeys(conf("send_redirects").values(), 1), **dict.fromkeys(conf("secure_redirects").values(), 1)})
    write(machine, {**dict.fromkeys(conf("accept_redirects").values(), 1), **dict.fromkeys(conf("log_martians", ("wan",)).values(), 1)})
    before = _live(machine), read(machine, ["net/ipv4/tcp_ecn"])
    hardened(machine, profile="router", settings={"net.ipv4.tcp_ecn": 0})
    assert (_live(machine), read(machine, ["net/ipv4/tcp_ecn"])) != before
    hardened(machine, state="absent")
    assert own_file(machine) is None
    assert (_live(machine), read(machine, ["net/ipv4/tcp_ecn"])) == before
