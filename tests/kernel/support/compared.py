# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A document's rules and ours on two throwaway hosts that have the same interfaces, and what each makes of the same grid of flows."""
from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from .documents import FOLDER, Document
from .grid import Case, share_rigs
from .host import COLLECTIONS, SHIMS, Host

JUDGE = __file__.replace("compared.py", "judge_process.py")
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


def run_script(host: Host, document: Document) -> list[str]:
    """Run the document's transcript; the kernel modules that it asked for."""
    stand_in = f'#!/bin/sh\necho "$@" >> {SHIMS}/modules\n'
    host.run("sh", "-euc", f"cat > {SHIMS}/modprobe; chmod +x {SHIMS}/modprobe; : > {SHIMS}/modules", text=stand_in)
    variables = [f"{name}={value}" for name, value in document.environment.items()]
    host.run("env", *variables, "sh", "-eu", str(FOLDER / f"{document.script}.sh"))
    return host.run("cat", f"{SHIMS}/modules").stdout.split()


def judged(host: Host, document: Document, cases: Sequence[Case]) -> list[list[Any]]:
    """For each case, what became of its packets."""
    return finish_judging(start_judging(host, document, cases), document, cases)


def start_judging(host: Host, document: Document, cases: Sequence[Case]) -> subprocess.Popen[str]:
    process = host.start(sys.executable, JUDGE, str(COLLECTIONS), host.backend)
    assert process.stdin is not None
    rigs = [[flow for number in rig for flow in cases[number].flows] for rig in share_rigs(cases, LEAST_RIGS, document.remembered)]
    process.stdin.write(json.dumps(rigs))
    process.stdin.close()
    process.stdin = None
    return process


def finish_judging(process: subprocess.Popen[str], document: Document, cases: Sequence[Case]) -> list[list[Any]]:
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors[-3000:]
    found: dict[int, list[Any]] = {}
    for rig, results in zip(share_rigs(cases, LEAST_RIGS, document.remembered), json.loads(output), strict=True):
        rest = iter(results)
        for number in rig:
            found[number] = [_fate(packets) for packets in (next(rest) for _flow in cases[number].flows)]
    return [found[number] for number in range(len(cases))]


def _fate(packets: Sequence[dict[str, Any]]) -> Any:
    """What became of a packet: its verdict, and how it was rewritten. Of one that was sent often: the first verdicts, and whether any was dropped."""
    if len(packets) > 2 * SURE:
        return [*(packet["verdict"] for packet in packets[:SURE]), "some dropped" if any(packet["verdict"] == "drop" for packet in packets) else "none dropped"]
    if len(packets) > 1:
        return [packet["verdict"] for packet in packets]
    (packet,) = packets
    rewritten = [f"{key[10:]} {packet[key]}" for key in ("rewritten_source", "rewritten_destination") if key in packet]
    by = [f"by {packet['out_interface']}"] if rewritten and "out_interface" in packet else []
    return ", ".join([packet["verdict"], *rewritten, *by])
