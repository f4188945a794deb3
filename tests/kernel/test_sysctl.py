# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""sysctl_hardening on a real kernel: every `conf` key of every profile on every interface, dotted ones and later ones too."""
from __future__ import annotations

from collections.abc import Iterator

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_declared import declare
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_profiles import PROFILES
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_values import conf_of, effective

from .support.host import Host
from .support.sysctls import OWN_FILE, by_key, harden, hardened, own_file, read, refused, write

INTERFACES = ("lo", "eth0", "eth0.100", "tun0")
LATER = "eth7.4"
#: What distributions and people leave behind; where a host begins is nothing that a result may depend on.
BEGINNINGS = {
    "as the kernel starts": {},
    "as Debian 13 starts": {
        **{f"net/ipv4/conf/{name}/rp_filter": 2 for name in ("default", *INTERFACES)},
        **{f"net/ipv4/conf/{name}/accept_source_route": 0 for name in ("default", *INTERFACES)},
    },
    "everything open": {
        "net/ipv4/ip_forward": 0,
        **{
            f"net/ipv4/conf/{name}/{leaf}": 1 for name in ("all", "default", *INTERFACES)
            for leaf in ("accept_redirects", "accept_source_route", "secure_redirects", "send_redirects")
        },
        **{f"net/ipv4/conf/{name}/rp_filter": 0 for name in ("all", "default", *INTERFACES)},
        **{f"net/ipv6/conf/{name}/{leaf}": 1 for name in ("all", "default", *INTERFACES) for leaf in ("accept_redirects", "accept_source_route")},
    },
}


@pytest.fixture
def machine() -> Iterator[Host]:
    """A host with three interfaces, one of them with a dot in its name."""
    with Host("nft") as host:
        for name in INTERFACES[1:]:
            host.run("ip", "link", "add", name, "type", "veth", "peer", "name", name.replace(".", "-") + "-peer")
        yield host


def in_effect(host: Host, groups: set[tuple[str, str]], members: tuple[str, ...]) -> dict[tuple[str, str, str], str]:
    """What the kernel's own values come to, by family, leaf and interface."""
    keys = {f"net/{family}/conf/{name}/{leaf}" for family, leaf in groups | {("ipv4", "forwarding")} for name in ("all", *members)}
    values = read(host, sorted(keys))
    return {
        (family, leaf, name): effective((family, leaf), values[f"net/{family}/conf/all/{leaf}"], values[f"net/{family}/conf/{name}/{leaf}"],
                                        values[f"net/ipv4/conf/{name}/forwarding"] == "1")
        for family, leaf in groups for name in members
    }


@pytest.mark.parametrize("beginning", BEGINNINGS)
@pytest.mark.parametrize("profile", PROFILES)
def test_every_conf_key_of_a_profile_is_in_effect_everywhere_and_on_an_interface_that_comes_later(
    machine: Host, profile: str, beginning: str
) -> None:
    write(machine, BEGINNINGS[beginning])
    result = hardened(machine, profile=profile)
    machine.run("ip", "link", "add", LATER, "type", "veth")
    wanted = {conf.group: item.value for path, item in declare(profile, "none", {}, {}).items.items() if (conf := conf_of(path))}
    members = (*INTERFACES, LATER)
    assert in_effect(machine, set(wanted), members) == {(*group, name): value for group, value in wanted.items() for name in members}
    assert len(wanted) >= 10
    assert {entry["state"] for entry in result.data["keys"]} <= {"ok", "changed", "missing"}
    assert [key for key, entry in by_key(result).items() if entry["state"] == "missing"] == ["net.core.bpf_jit_harden"], "it is not in namespaces"
    # The later one brings its values along: nothing is left to do.
    assert not harden(machine, profile=profile).changed


def test_check_mode_tells_what_the_run_does(machine: Host) -> None:
    check = harden(machine, check_mode=True, profile="server")
    assert own_file(machine) is None
    done = harden(machine, profile="server")
    assert (check.changed, check.data["keys"], check.data["diff"]) == (True, done.data["keys"], done.data["diff"])
    assert machine.run("stat", "-c", "%a %U", OWN_FILE).stdout == "644 root\n"


def test_bad_values_change_nothing(machine: Host) -> None:
    paths = ["net/ipv4/conf/all/rp_filter", "net/ipv4/tcp_ecn"]
    for settings, words in (
        ({"net.ipv4.conf.all.rp_filter": 3, "net.ipv4.tcp_ecn": 0}, "rp_filter: 3 is out of range: it takes 0 to 2"),
        ({"net.ipv4.tcp_ecn": 0, "net.ipv4.tcp_synccookies": 1}, "Is net.ipv4.tcp_syncookies meant?"),
        ({"net.ipv4.tcp_ecn": 0, "net.ipv4.route.flush": 1}, "net.ipv4.route.flush can only be written"),
        ({"net.ipv4.tcp_ecn": 0, "net.ipv4.neigh": 1}, "does not name a key"),
        ({"net.ipv4.tcp_ecn": 0, "net.ipv4.tcp_available_congestion_control": "bbr"}, "the kernel only shows it"),
        # Only the kernel knows that this one is wrong: it refuses, behind the other key, which gets its value back.
        ({"net.ipv4.tcp_ecn": 0, "net.ipv4.tcp_fastopen_key": "nonsense"}, "tcp_fastopen_key: the kernel refuses nonsense: Invalid argument"),
    ):
        assert words in refused(machine, paths, settings=settings)
