# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that are not as they were when the rules were persisted: another backend, no IPv6, no ip6tables, native nft rules."""
from __future__ import annotations

from collections.abc import Callable

import pytest

from .support.host import COMMANDS, FAMILIES, SHIMS, Host
from .support.persisted import OWN_COMMANDS, SECTIONS, boot, install_sets, last_load, live, loaded_alone, loader, without
from .support.save_text import policies, rules

NewHost = Callable[[], Host]
OTHER = {"nft": "legacy", "legacy": "nft"}
#: A /proc of a kernel with ipv6.disable=1.
WITHOUT_IPV6 = """
mount -t tmpfs none /proc
mkdir /proc/net
printf 'filter\\nnat\\n' > /proc/net/ip_tables_names
"""


@pytest.fixture
def ready(host: Host) -> Host:
    install_sets(host)
    return host


def becomes(host: Host, backend: str) -> None:
    """Let a host's own iptables be of another backend from now on."""
    for command in COMMANDS.values():
        for suffix in ("", "-save", "-restore"):
            host.run("sh", "-euc", f"ln -sf $(command -v {command}-{backend}{suffix}) {SHIMS}/{command}{suffix}")


def saved_by(host: Host, backend: str, family: str = "ipv4") -> str:
    return host.run(f"{COMMANDS[family]}-{backend}-save").stdout


def test_a_backend_that_changed_and_holds_nothing_is_named_and_the_recorded_one_loads(new_host: NewHost, ready: Host) -> None:
    other = OTHER[ready.backend]
    becomes(ready, other)
    done = loader(ready, "boot")
    assert done.returncode == 0
    assert f"is for the {ready.backend} backend, and iptables on this host is now {other}" in done.stderr
    assert live(ready) == loaded_alone(new_host(), SECTIONS)
    assert "palisade" not in saved_by(ready, other)
    assert loader(ready, "status").returncode == 0


HELD = {
    "a rule": "iptables-{} -A INPUT -s 192.0.2.1/32 -j ACCEPT",
    "a rule for IPv6": "ip6tables-{} -A FORWARD -j ACCEPT",
    "a policy": "iptables-{} -P FORWARD DROP",
}


@pytest.mark.parametrize("held", HELD.values(), ids=HELD)
def test_no_rules_end_up_in_both_backends(ready: Host, held: str) -> None:
    other = OTHER[ready.backend]
    becomes(ready, other)
    ready.run("sh", "-euc", held.format(other))
    done = loader(ready, "boot")
    assert done.returncode == 1
    assert f"it is for the {ready.backend} backend, and rules are in {other}" in done.stderr
    assert last_load(ready)["from"] == "closed"
    for family in FAMILIES:
        assert "palisade" not in saved_by(ready, ready.backend, family)
        assert rules(saved_by(ready, other, family), chain="palisade-INPUT") == ["-A palisade-INPUT -p tcp -m tcp --dport 1004 -j ACCEPT"]
        assert policies(saved_by(ready, other, family))["INPUT"] == "DROP"
    before = [saved_by(ready, other, family) for family in FAMILIES]
    assert loader(ready, "boot").returncode == 1
    assert [len(rules(text)) for text in before] == [len(rules(saved_by(ready, other, family))) for family in FAMILIES]
    assert loader(ready, "status").returncode == 1


def test_a_reload_with_rules_in_the_other_backend_changes_nothing(ready: Host) -> None:
    other = OTHER[ready.backend]
    boot(ready)
    ready.run(f"iptables-{other}", "-A", "INPUT", "-j", "ACCEPT")
    before = ready.snapshot(), rules(saved_by(ready, other))
    done = loader(ready, "reload")
    assert (done.returncode, "nothing was changed" in done.stderr) == (1, True)
    assert (ready.snapshot(), rules(saved_by(ready, other))) == before


def test_without_the_recorded_backend_the_host_is_closed_through_the_other(ready: Host) -> None:
    other = OTHER[ready.backend]
    becomes(ready, other)
    without(ready, f"ip*tables-{ready.backend}*")
    done = loader(ready, "boot")
    assert done.returncode == 1
    assert f"the commands of the {ready.backend} backend are not on this host" in done.stderr
    assert last_load(ready)["from"] == "closed"
    assert rules(saved_by(ready, other), chain="palisade-INPUT") == ["-A palisade-INPUT -p tcp -m tcp --dport 1004 -j ACCEPT"]


def test_plain_commands_of_the_recorded_backend_will_do(new_host: NewHost, ready: Host) -> None:
    """As on hosts that have nothing but iptables-restore, whose backend only --version tells."""
    multi = ready.run("readlink", "-f", f"/usr/sbin/iptables-{ready.backend}").stdout.strip()
    ready.run("sh", "-euc", f"{OWN_COMMANDS}cp {multi} {SHIMS}/multi; rm /usr/sbin/ip*tables-nft* /usr/sbin/ip*tables-legacy*; "
              f"for one in {SHIMS}/ip*; do ln -sf multi $one; done")
    boot(ready)
    alone = loaded_alone(new_host(), SECTIONS)
    for family, command in COMMANDS.items():
        text = ready.run(f"{command}-save").stdout
        assert rules(text) == [line for line in alone[family]["filter"] if line.startswith("-A")]


def test_without_ip6tables_ipv4_is_loaded_and_the_rest_is_said(ready: Host) -> None:
    boot(ready)
    whole = ready.save()
    ready.iptables("-F")
    without(ready, "ip6tables*", "nft")
    done = loader(ready, "boot")
    assert done.returncode == 1
    assert "ipv6 could not be closed, it is NOT FILTERED" in done.stderr
    assert ready.save() == whole
    assert last_load(ready)["result"] == "failed"
    shown = loader(ready, "status")
    assert shown.returncode == 1
    assert "ipv6: not filtered" in shown.stdout
    again = loader(ready, "reload")
    assert (again.returncode, "its live rules are left as they are" in again.stderr) == (1, True)


def test_a_kernel_without_ipv6_is_no_failure(ready: Host) -> None:
    ready.run("sh", "-euc", WITHOUT_IPV6)
    done = loader(ready, "boot")
    assert done.returncode == 0, done.stderr
    assert "no ipv6: skipped" in done.stderr
    assert policies(ready.save())["INPUT"] == "DROP"
    shown = loader(ready, "status")
    assert shown.returncode == 0, shown.stdout
    assert "ipv6: this kernel has none" in shown.stdout


def test_a_kernel_without_ipv6_is_closed_without_it(ready: Host) -> None:
    ready.run("sh", "-euc", f"{WITHOUT_IPV6}rm /etc/palisade/*")
    done = loader(ready, "boot")
    assert done.returncode == 1
    assert "ipv6" not in done.stderr
    assert policies(ready.save())["FORWARD"] == "DROP"


@pytest.mark.parametrize("backend", ["nft"])
@pytest.mark.parametrize("how", ["boot", "reload"])
def test_native_nft_rules_are_never_deleted(ready: Host, how: str) -> None:
    ready.run("nft", "add table ip filter; add chain ip filter own; add rule ip filter own ct state new tcp dport vmap { 22 : accept }")
    before = ready.run("nft", "list", "ruleset").stdout
    done = loader(ready, how)
    assert done.returncode == 1
    assert "native nftables rules" in done.stderr
    assert "ct state new tcp dport vmap { 22 : accept }" in ready.run("nft", "list", "ruleset").stdout
    if how == "reload":
        assert ready.run("nft", "list", "ruleset").stdout == before
    else:
        assert policies(ready.save("ipv6"))["INPUT"] == "DROP"
        assert "policy drop" in ready.run("nft", "list", "chain", "ip", "filter", "INPUT").stdout
