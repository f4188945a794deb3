# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role server by ansible-playbook on a throwaway host: other firewall managers, and persistence where there is no systemd.

With systemd: molecule. Here a script stands in for systemctl where the role only asks.
"""
from __future__ import annotations

from pathlib import Path

import pytest

from .support.host import FAMILIES, Host
from .support.plays import Play, message, player

LOADER = "/usr/local/sbin/palisade-firewall"
SOURCE = Path(__file__).resolve().parents[2] / "roles" / "firewall" / "files" / "palisade-firewall"
#: Units by name with their UnitFileState; one with a second name is asked for by that.
SYSTEMCTL = """#!/bin/sh
state() {{ case $1 in {states} *) echo ;; esac; }}
first=1
for unit; do
  case $unit in *.service) ;; *) continue ;; esac
  [ $first ] || echo
  first=
  name=$(case $unit in iptables.service) echo netfilter-persistent.service ;; *) echo $unit ;; esac)
  printf 'Id=%s\\nActiveState=inactive\\nUnitFileState=%s\\n' "$name" "$(state "$name")"
done
"""
ONCE = pytest.mark.parametrize("backend", ["nft"])


@pytest.fixture
def play(host: Host, tmp_path: Path) -> Play:
    """Apply the role to the host; its kernel is left alone, which test_role_kernel.py is about."""
    host.run("sh", "-c", "rm -rf /etc/rc?.d /etc/runlevels /etc/palisade")
    return player(host, tmp_path, "server", firewall_modules_state="unmanaged", firewall_sysctl_state="unmanaged")


def systemd(host: Host, **states: str) -> None:
    """Have the host say that systemd runs, with these units in these states."""
    cases = " ".join(f"{name.replace('_', '-')}.service) echo {state} ;;" for name, state in states.items())
    script = "mkdir -p /run/systemd/system; cat > /usr/local/sbin/systemctl; chmod +x /usr/local/sbin/systemctl"
    host.run("sh", "-euc", script, text=SYSTEMCTL.format(states=cases))


def write(host: Host, path: str, text: str) -> None:
    host.run("sh", "-euc", f"mkdir -p $(dirname {path}); cat > {path}", text=text)


@ONCE
@pytest.mark.parametrize("options", [[], ["--check"]])
def test_another_firewall_that_is_enabled_stops_it(host: Host, play: Play, options: list[str]) -> None:
    systemd(host, nftables="enabled", firewalld="disabled", netfilter_persistent="enabled-runtime", ufw="enabled", ferm="enabled")
    write(host, "/etc/ufw/ufw.conf", "# ENABLED=yes\nENABLED=no\n")
    write(host, "/etc/default/ferm", 'ENABLED="yes"\n')
    before = host.run("find", "/run/overlay", "-type", "f").stdout
    said = message(play(*options, changed=None))
    assert "systemctl disable --now ferm netfilter-persistent nftables`" in said, said
    assert "firewall_beside: [ferm, netfilter-persistent, nftables]`" in said, said
    assert "nftables flushes the whole ruleset when it stops" in said, said
    assert "ufw" not in said and "firewalld" not in said
    assert host.save() == ""
    assert host.run("find", "/run/overlay", "-type", "f").stdout == before


@ONCE
def test_it_goes_on_beside_those_that_are_named(host: Host, play: Play) -> None:
    systemd(host, nftables="enabled", ufw="enabled")
    write(host, "/etc/ufw/ufw.conf", "ENABLED=yes\n")
    said = message(play(changed=None, firewall_beside=["nftables"]))
    assert "(`systemctl disable --now ufw`)" in said and "firewall_beside: [nftables, ufw]`" in said, said
    play(changed=1, firewall_beside=["nftables", "ufw"], firewall_persist=False)
    assert "palisade-INPUT" in host.save()


@ONCE
@pytest.mark.parametrize("link", ["/etc/rc2.d/S01ufw", "/etc/rcS.d/S14ufw", "/etc/runlevels/boot/ufw"])
def test_without_systemd_links_say_what_is_enabled(host: Host, play: Play, link: str) -> None:
    write(host, link, "")
    write(host, "/etc/ufw/ufw.conf", "ENABLED=yes\n")
    assert "ufw has rules of its own" in message(play("--check", changed=None))
    write(host, "/etc/ufw/ufw.conf", "ENABLED=no\n")
    play("--check", changed=2)


@ONCE
def test_a_masked_unit_is_a_decision(host: Host, play: Play) -> None:
    systemd(host, palisade_firewall="masked")
    assert "palisade-firewall.service is masked" in message(play(changed=None))
    assert host.save() == ""
    play(changed=1, firewall_persist=False)


@ONCE
def test_a_manager_that_nobody_knows_is_an_error(play: Play) -> None:
    assert "did you mean 'nftables'?" in message(play(changed=None, firewall_beside=["nftable"]))


@ONCE
def test_with_state_absent_nobody_is_asked(host: Host, play: Play) -> None:
    systemd(host, nftables="enabled")
    play(changed=0, firewall_state="absent")


def test_without_systemd_the_loader_is_there_and_it_says_who_has_to_call_it(host: Host, play: Play) -> None:
    play("--check", changed=2)
    assert host.run("ls", LOADER, check=False).returncode != 0
    told = play(changed=2).stdout
    for word in (f"{LOADER} boot", "pre-up", "update-rc.d", "rc-update"):
        assert word in told
    assert host.run("stat", "-c", "%a:%u", LOADER).stdout == "755:0\n"
    assert "pre-up" in play(changed=0).stdout
    write(host, "/etc/network/interfaces", f"auto lo\niface lo inet loopback\n  pre-up {LOADER} boot || true\n")
    assert "pre-up" not in play(changed=0).stdout


def test_a_loader_that_somebody_changed_is_put_right(host: Host, play: Play) -> None:
    play(changed=2)
    for damage in (f"echo exit 0 > {LOADER}", f"chmod 4755 {LOADER}", f"chown 1 {LOADER}", f"rm {LOADER}"):
        host.run("sh", "-euc", damage)
        play(changed=1)
        assert host.run("sha256sum", LOADER).stdout.split()[0] == host.run("sha256sum", str(SOURCE)).stdout.split()[0]
        assert host.run("stat", "-c", "%a:%u", LOADER).stdout == "755:0\n"


def test_the_rules_outlive_a_reboot(host: Host, play: Play) -> None:
    services = {"https": {}, "dns": {"from": ["192.0.2.1", "192.0.2.9", "2001:db8::/32"]}}
    play(changed=2, firewall_services=services)
    applied = {family: host.save(family) for family in FAMILIES}
    for family in FAMILIES:
        host.restore("*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\nCOMMIT\n", family=family)
    host.run("rm", "-r", "/run/palisade")
    host.run(LOADER, "boot")
    assert {family: host.save(family) for family in FAMILIES} == applied
    play(changed=0, firewall_services=services)


@ONCE
def test_not_persisting_installs_nothing_and_leaves_alone_what_is_there(host: Host, play: Play) -> None:
    play(changed=1, firewall_persist=False)
    assert host.run("ls", LOADER, "/etc/palisade", check=False).stdout == ""
    play(changed=2)
    play(changed=0, firewall_persist=False)
    assert host.run("ls", "-d", LOADER, "/etc/palisade").stdout != ""


def test_state_absent_leaves_nothing(host: Host, play: Play) -> None:
    play(changed=2)
    play(changed=1, firewall_state="absent")
    assert host.run("ls", "-d", LOADER, "/etc/palisade", check=False).stdout == ""
    assert "palisade" not in host.save()
    play(changed=0, firewall_state="absent")
