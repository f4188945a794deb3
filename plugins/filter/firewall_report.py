# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter that makes one line a host of what `palisade-firewall status` has said there. It touches no host."""

from __future__ import annotations

import re
from typing import Any, Callable, Iterable, Mapping

STATUS = "__firewall_status"
"""The variable in which the playbook status keeps what a host has said."""

SAME = "live as persisted"

_PERSISTED = re.compile(r"since ([^,]+),")
_LOAD = re.compile(r"(\S+) by (\S+), from (\S+) .*: (\S+)")


def firewall_report(hosts: Iterable[str], hostvars: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """One line for each host, `HOST: good; …` or `HOST: NOT GOOD; …`, in the order of the hosts."""
    return [f"{host}: {_line(_status_of(hostvars, host))}" for host in hosts]


def _status_of(hostvars: Mapping[str, Mapping[str, Any]], host: str) -> Any:
    return hostvars[host][STATUS] if host in hostvars and STATUS in hostvars[host] else None


def _line(status: Any) -> str:
    if status is None or status.get("unreachable") or "stdout" not in status:
        return "NOT GOOD; it could not be asked"
    if status.get("rc") not in (0, 1, 3):
        return "NOT GOOD; " + " ".join(f"{status['stdout']} {status.get('stderr', '')}".split())
    lines = str(status["stdout"]).splitlines()
    unit = next((line.partition(": ")[2].strip() for line in lines if line.startswith("unit ")), "")
    good = status["rc"] == 0 and unit in ("", "enabled, active")
    parts = [part for block in _blocks(lines) for part in block]
    parts += [line.partition(",")[0] for line in lines if " is CLOSED through nft" in line]
    return "; ".join(["good" if good else "NOT GOOD", *parts, f"unit {unit}" if unit else "no systemd"])


def _blocks(lines: Iterable[str]) -> list[list[str]]:
    """What is told of each ruleset, and of the kernel's settings, if a change of those is told of."""
    blocks: list[list[str]] = []
    for line in lines:
        if line.startswith("nothing is persisted"):
            blocks.append(["nothing is persisted"])
        elif line.startswith(("ruleset ", "kernel settings")):
            blocks.append([] if line == "ruleset palisade" else [line])
        elif blocks and line.startswith("  ") and line[2] != " ":
            blocks[-1] += _told(line[2:12].strip(), line[12:].strip())
    return [_live_once(block) for block in blocks]


def _live_once(block: list[str]) -> list[str]:
    """Both families are the same as persisted, or those are named that are not."""
    families = [part for part in block if part.startswith("ipv")]
    first = block.index(SAME) if SAME in block and not families else -1
    return [part for place, part in enumerate(block) if part != SAME or place == first]


def _told(what: str, text: str) -> list[str]:
    if what == "persisted":
        found = _PERSISTED.match(text)
        return [f"persisted since {found.group(1)}" if found else f"persisted rules {text}"]
    if what == "live":
        family, _colon, state = text.partition(": ")
        return [SAME] if state == "same as persisted" else [f"{family} {state}" if family.startswith("ipv") else text]
    if what == "last load":
        load = _LOAD.match(text)
        return [f"last load {load.group(1)} by {load.group(2)} from {load.group(3)}: {load.group(4)}" if load else f"last load {text}"]
    if what == "change":
        # Up to the way of taking it back, which is for a person on the host.
        return ["change: " + text.partition(". To take it back")[0].partition("; to have it")[0]]
    return [] if what == "last good" else [text]


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"firewall_report": firewall_report}
