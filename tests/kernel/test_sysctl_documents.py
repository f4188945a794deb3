# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The source documents' kernel settings: their own commands in one namespace, ours in another; and the page that lists how the profiles differ."""
from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_values import conf_of, effective, parse_key

from .support.host import COLLECTIONS, Host
from .support.sysctls import hardened, read, write

SCRIPTS = Path(__file__).with_name("data") / "settings"
PAGE = (COLLECTIONS.parent / "docs" / "kernel.md").read_text(encoding="utf-8")
PROFILE = {"000": "workstation", "002_personal": "workstation", "002_router": "router"}
#: Where a document's own commands do not come to what it says, and our settings do: interface and key, there and ours.
NOT_REACHED = {"002_personal": {(name, "net.ipv4.conf.*.send_redirects"): ("1", "0") for name in ("eth0", "eth1")}}
#: What a kernel starts with.
BEGINNING = {
    "ip_forward": 0, "icmp_echo_ignore_broadcasts": 1, "tcp_syncookies": 1, "ip_dynaddr": 0, "tcp_ecn": 2,
    **{f"conf/{name}/{leaf}": 0 for name in ("all", "default") for leaf in ("rp_filter", "log_martians")},
    **{f"conf/{name}/{leaf}": 1 for name in ("all", "default") for leaf in ("accept_redirects", "secure_redirects", "send_redirects")},
    "conf/all/accept_source_route": 0, "conf/default/accept_source_route": 1,
}


def settings(document: str) -> dict[str, Any]:
    """The settings that the page has for a document."""
    block = re.search(rf"```yaml\n# document {document}\n(.*?)```", PAGE, re.DOTALL)
    assert block, "docs/kernel.md does not have them"
    return dict(yaml.safe_load(block.group(1)))


@pytest.fixture
def hosts() -> Iterator[list[Host]]:
    """Three hosts as kernels start them, each with an interface that has an address, and one that has none."""
    with ExitStack() as stack:
        made = [stack.enter_context(Host("nft")) for _number in range(3)]
        for host in made:
            write(host, {f"net/ipv4/{key}": value for key, value in BEGINNING.items()})
            for name in ("eth0", "eth1"):
                host.run("ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}-peer")
            host.run("ip", "address", "add", "192.0.2.1/24", "dev", "eth0")
            assert in_effect(host, ["net.ipv4.conf.all.send_redirects"], "eth0") == {"net.ipv4.conf.*.send_redirects": "1"}
        yield made


def in_effect(host: Host, keys: list[str], interface: str) -> dict[str, str]:
    """What keys come to on an interface; those of `conf` are called by their pattern."""
    confs = {key: conf_of(parse_key(key)) for key in keys}
    paths = [f"net/ipv4/conf/{name}/{conf.leaf}" for conf in confs.values() if conf for name in ("all", interface)]
    forwarding = f"net/ipv4/conf/{interface}/forwarding"
    values = read(host, [*map(parse_key, keys), *paths, forwarding])
    found = {}
    for key, conf in confs.items():
        if conf is None or conf.leaf == "forwarding":
            found[key] = values[parse_key(key)]
            continue
        in_all, own = (values[f"net/ipv4/conf/{name}/{conf.leaf}"] for name in ("all", interface))
        found[f"net.ipv4.conf.*.{conf.leaf}"] = effective(conf.group, in_all, own, values[forwarding] == "1")
    return found


@pytest.mark.parametrize("document", PROFILE)
def test_a_documents_values_are_reproduced_by_settings(hosts: list[Host], document: str) -> None:
    theirs, ours, _spare = hosts
    script = (SCRIPTS / f"{document}.txt").read_text(encoding="utf-8")
    theirs.run("sh", "-eu", text=script)
    hardened(ours, settings=settings(document))
    keys = list(settings(document))
    assert len(keys) == script.count("/proc/sys/") + script.count("sysctl -qw")
    paths = [parse_key(key) for key in keys]
    assert read(ours, paths) == read(theirs, paths) == {parse_key(key): str(value) for key, value in settings(document).items()}
    for host in (theirs, ours):
        host.run("ip", "link", "add", "later0", "type", "veth")
    otherwise = {}
    for interface in ("eth0", "eth1", "later0"):
        mine, there = in_effect(ours, keys, interface), in_effect(theirs, keys, interface)
        otherwise.update({(interface, key): (value, mine[key]) for key, value in there.items() if value != mine[key]})
    assert otherwise == NOT_REACHED.get(document, {})


def listed() -> dict[tuple[str, str], tuple[str, str]]:
    """The page's table of differences: document and key, and what is there and what is ours."""
    table = PAGE.partition("| document | key | there | ours | why |\n")[2]
    rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in table.splitlines()[1:] if line.startswith("|")]
    assert all(len(row) == 5 and len(row[4]) > 20 for row in rows), "a row without a reason"
    return {(row[0], row[1]): (row[2], row[3]) for row in rows}


def test_the_page_lists_every_difference_to_the_profiles_and_no_other(hosts: list[Host]) -> None:
    theirs = hosts
    found = {}
    for (document, profile), host in zip(PROFILE.items(), theirs):
        host.run("sh", "-eu", text=(SCRIPTS / f"{document}.txt").read_text(encoding="utf-8"))
        there = in_effect(host, list(settings(document)), "eth0")
        hardened(host, profile=profile, persist=False)
        ours = in_effect(host, list(settings(document)), "eth0")
        for key, value in there.items():
            mine = "left" if key in ("net.ipv4.ip_dynaddr", "net.ipv4.tcp_ecn") else ours[key]
            if mine != value:
                found[document, key] = (value, mine)
    assert listed() == found
