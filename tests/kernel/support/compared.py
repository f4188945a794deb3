# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A document's rules and ours on two throwaway hosts that have the same interfaces, and what each makes of the same grid of flows."""
from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .documents import FOLDER, Document
from .grid import Case, share_rigs
from .host import COLLECTIONS, SHIMS, Host

JUDGE = str(Path(__file__).with_name("judge_process.py"))
LEAST_RIGS = 2
#: Of packets that meet a rate, these are not a matter of time.
SURE = 5


def build(host: Host, document: Document) -> None:
    """Give a host the document's interfaces."""
    six = document.family == "ipv6"
    length = 64 if six else 24
    lines = []
    for name, address in document.own.items():
        if name != "lo":
            # Its other end has no address, so that no rig copies it.
            lines += [f"link add {name} type veth peer name {name}-end", f"link set {name}-end up",
                      f"address add {address}/{length} dev {name}{' nodad' if six else ''}", f"link set {name} up"]
    first = next(iter(document.own))
    lines.append(f"route add default via {document.via} dev {first}")
    host.run("ip", "-batch", "-", text="\n".join(lines) + "\n")


def run_script(host: Host, document: Document) -> None:
    """Run the document's transcript. This machine's kernel gets no modules by it."""
    host.run("ln", "-s", "/bin/true", f"{SHIMS}/modprobe")
    variables = [f"{name}={value}" for name, value in document.environment.items()]
    host.run("env", *variables, "sh", "-eu", str(FOLDER / f"{document.script}.sh"))


def judged(host: Host, document: Document, cases: Sequence[Case]) -> list[list[Any]]:
    """For each case, what became of its packets."""
    rigs = share_rigs(cases, LEAST_RIGS, document.remembered)
    flows = [[flow for number in rig for flow in cases[number].flows] for rig in rigs]
    done = host.run(sys.executable, JUDGE, str(COLLECTIONS), host.backend, text=json.dumps(flows))
    found: dict[int, list[Any]] = {}
    for rig, results in zip(rigs, json.loads(done.stdout), strict=True):
        rest = iter(results)
        for number in rig:
            found[number] = [_fate(next(rest)) for _flow in cases[number].flows]
    return [found[number] for number in range(len(cases))]


def _fate(packets: Sequence[dict[str, Any]]) -> Any:
    """What became of a packet: its verdict, and how it was rewritten. Of one that was sent often: the first verdicts, and whether any was dropped."""
    if len(packets) > 2 * SURE:
        dropped = any(packet["verdict"] == "drop" for packet in packets)
        return [*(packet["verdict"] for packet in packets[:SURE]), "some dropped" if dropped else "none dropped"]
    if len(packets) > 1:
        return [packet["verdict"] for packet in packets]
    (packet,) = packets
    rewritten = [f"{key[10:]} {packet[key]}" for key in ("rewritten_source", "rewritten_destination") if key in packet]
    by = [f"by {packet['out_interface']}"] if rewritten and "out_interface" in packet else []
    return ", ".join([packet["verdict"], *rewritten, *by])
