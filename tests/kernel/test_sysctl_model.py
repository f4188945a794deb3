# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Made-up declarations one after the other, with others writing in between: the real kernel, and the one in memory on which the unit tests stand."""
from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_transaction import Request, run_sysctl
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_values import conf_of, effective, parse_key
from ansible_collections.palisade.netfilter.tests.unit.support.memory_sysctl import MemorySysctl

from .support.host import COLLECTIONS, Host
from .support.sysctls import write

INTERFACES = ("eth0", "eth0.100", "eth0.100-peer", "eth0-peer", "lo")
STEPS = 60
LEAVES = {
    "ipv4": {"rp_filter": 2, "accept_redirects": 1, "send_redirects": 1, "accept_source_route": 1, "log_martians": 1, "forwarding": 1},
    "ipv6": {"accept_ra": 2, "accept_redirects": 1, "forwarding": 1},
}


def keys(memory: MemorySysctl) -> list[str]:
    return sorted(path for path in memory.values if conf_of(path))


def made_up(chance: random.Random) -> list[dict[str, Any]]:
    """Return steps: what somebody else writes, and what is declared then."""
    steps = []
    for _step in range(STEPS):
        before = {path: str(value) for path, value in (_setting(chance, ("all", "default", *INTERFACES)) for _line in range(chance.randint(0, 4)))}
        settings: dict[str, Any] = dict(_setting(chance, ("all", "all", "all", "default", "eth0", "eth0.100", "ppp0"))
                                        for _line in range(chance.randint(1, 7)))
        if chance.random() < 0.2:
            settings[next(iter(settings))] = None
        options: dict[str, Any] = {"state": "absent"} if chance.random() < 0.1 else {
            "settings": settings, "profile": chance.choice([None, None, "workstation", "server", "router"])}
        steps.append({"before": before, "options": options})
    return steps


def _setting(chance: random.Random, members: tuple[str, ...]) -> tuple[str, int]:
    family = chance.choice(["ipv4", "ipv4", "ipv6"])
    leaf, most = chance.choice(sorted(LEAVES[family].items()))
    return f"net/{family}/conf/{chance.choice(members)}/{leaf}", chance.randint(0, most)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_kernel_does_what_the_one_in_memory_does_and_the_declared_is_in_effect(seed: int) -> None:
    steps = made_up(random.Random(seed))
    memory = MemorySysctl(INTERFACES)
    with Host("nft") as host:
        host.run("sh", "-c", "rm -f /etc/sysctl.d/* /etc/sysctl.conf")
        for name in ("eth0", "eth0.100"):
            host.run("ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}-peer")
        # From here on every key has been set by hand, so the kernel copies no default.
        start = {path: memory.values[path] for path in keys(memory)}
        for path, value in sorted(start.items(), key=lambda item: "forwarding" not in item[0]):
            memory.write(path, value)
        write(host, dict(sorted(start.items(), key=lambda item: "forwarding" not in item[0])))
        runner = str(Path(__file__).with_name("support") / "settings_process.py")
        answers = json.loads(host.run(sys.executable, runner, str(COLLECTIONS), text=json.dumps(steps)).stdout)
    refused = 0
    for step, answer in zip(steps, answers):
        error = in_memory(memory, step)
        real = {path: answer["values"][path] for path in keys(memory)}
        assert (answer["error"], real) == (error, {path: memory.values[path] for path in keys(memory)}), step
        refused += bool(error)
        for entry in answer["result"].get("keys", []):
            for name, value in entry.get("effective", {}).items():
                assert value == on(real, entry["key"], name), (step, entry)
                assert value == entry["wanted"] or entry["state"] == "shadowed", (step, entry)
    assert 0 < refused < STEPS / 2, "too few or too many of the steps can be"


def in_memory(memory: MemorySysctl, step: dict[str, Any]) -> str:
    """Do a step to the kernel in memory and return the error or ''."""
    for path, value in step["before"].items():
        memory.write(path, value)
    try:
        run_sysctl(Request(**step["options"]), memory)
    except PalisadeError as refusal:
        return str(refusal)
    return ""


def on(values: dict[str, str], key: str, name: str) -> str:
    """Return what the kernel's own values come to on an interface."""
    conf = conf_of(parse_key(key))
    assert conf
    own, in_all = (values[f"net/{conf.family}/conf/{member}/{conf.leaf}"] for member in (name, "all"))
    return effective(conf.group, in_all, own, values[f"net/ipv4/conf/{name}/forwarding"] == "1")
