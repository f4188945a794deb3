# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is compared with what. Each case runs ours and the other in turn, in one go, the first of a pair changing every round."""
from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median

from ansible_collections.palisade.netfilter.tests.kernel.support.host import Host

from . import confirming, rulesets
from . import settings as sysctls
from .report import Result, progress, timed
from .tasks import Bench, Seconds

LOOP = """\
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.iptables:
        chain: INPUT
        protocol: tcp
        source: "10.0.{{{{ item }}}}.0/24"
        destination_port: "{{{{ 1000 + item }}}}"
        jump: ACCEPT
      loop: "{{{{ range({count}) | list }}}}"
"""
ONE_TASK = """\
- hosts: all
  gather_facts: false
  tasks:
    - palisade.netfilter.iptables_ruleset:
        families: [ipv4]
        tables:
          filter:
            INPUT: {rules}
"""
GROWTH = 6.0
PEAK = 150.0


def alternate(title: str, rounds: int, ours: Callable[[], Seconds], theirs: Callable[[], Seconds]) -> tuple[list[Seconds], list[Seconds]]:
    """Measure two things in turn."""
    samples: tuple[list[Seconds], list[Seconds]] = ([], [])
    for number in range(rounds):
        progress(f"  {title}: round {number + 1} of {rounds}")
        pair = [(samples[0], ours), (samples[1], theirs)]
        for times, measure in pair if number % 2 == 0 else reversed(pair):
            times.append(measure())
    return samples


def _file(bench: Bench, count: int, *, typed: bool = False, kind: str = "") -> Path:
    """A rule file: as saved, as typed, `reversed`, or with one rule `inserted` at the top."""
    rules = rulesets.rules(count, rulesets.TYPED if typed else rulesets.SAVED)
    if kind == "reversed":
        rules.reverse()
    elif kind == "inserted":
        rules.insert(0, "-s 192.0.2.1/32 -j DROP")
    return bench.write(f"{count}{'-typed' if typed else ''}{'-' + kind if kind else ''}.rules", rulesets.content(rules))


def unchanged(bench: Bench, backend: str, rounds: int) -> Iterator[Result]:
    """10,000 rules that are there already, against iptables_state with the same file."""
    yield _unchanged(bench, backend, rounds, typed=False)
    yield _unchanged(bench, backend, rounds, typed=True)


def _unchanged(bench: Bench, backend: str, rounds: int, *, typed: bool) -> Result:
    title = f"{backend}: 10,000 rules, unchanged" + (", other spelling" if typed else "")
    source = _file(bench, 10_000, typed=typed)
    with bench.hosts(backend, 2) as (own, other):
        bench.apply(own, source)
        bench.restore(other, source)
        ours, theirs = alternate(title, rounds, lambda: bench.apply(own, source, changed=False),
                                 lambda: bench.restore(other, source, changed=False))
    return timed(title, ours, "iptables_state", theirs, at_most=None if typed else 0.6)


def first(bench: Bench, backend: str, rounds: int) -> Iterator[Result]:
    """10,000 rules put on an empty host, against iptables_state with the same file."""
    title = f"{backend}: 10,000 rules, first apply"
    source = _file(bench, 10_000)
    with bench.hosts(backend, 2 * rounds) as hosts:
        ours, theirs = alternate(title, rounds, lambda: bench.apply(hosts.pop(), source), lambda: bench.restore(hosts.pop(), source))
    yield timed(title, ours, "iptables_state", theirs, at_most=1.2)


def ping(bench: Bench, backend: str, rounds: int) -> Iterator[Result]:
    """1,000 rules that are there already, against a module that does nothing."""
    yield _ping(bench, backend, rounds, rig=False)
    yield _ping(bench, backend, rounds, rig=True)


def _ping(bench: Bench, backend: str, rounds: int, *, rig: bool) -> Result:
    title = f"{backend}: 1,000 rules, unchanged" + (", with the packet rig" if rig else "")
    source = _file(bench, 1_000)
    with bench.hosts(backend, 1) as (host,):
        if rig:
            # Whoever has come in over ssh gets the module with the rig, by connection local too. Nothing changes, so nothing is proved.
            host.environment["SSH_CONNECTION"] = "192.0.2.9 40022 192.0.2.10 22"
        bench.apply(host, source)
        ours, theirs = alternate(title, 2 * rounds, lambda: bench.apply(host, source, changed=False),
                                 lambda: bench.module(host, "ansible.builtin.ping"))
    return timed(title, ours, "ping", theirs, at_most=None if rig else 1.15)


def loop(bench: Bench, backend: str, rounds: int) -> Iterator[Result]:
    """100 rules put on an empty host by one task, against ansible.builtin.iptables in a loop."""
    title = f"{backend}: 100 rules, first apply"
    ours_file = bench.write("one-task.yml", ONE_TASK.format(rules=json.dumps(
        [f"-p tcp -s 10.0.{number}.0/24 --dport {1_000 + number} -j ACCEPT" for number in range(100)])))
    loop_file = bench.write("loop.yml", LOOP.format(count=100))
    rounds = min(rounds, 3)
    with bench.hosts(backend, 2 * rounds) as hosts:
        ours, theirs = alternate(title, rounds, lambda: bench.playbook(hosts.pop(), ours_file, changed=1),
                                 lambda: bench.playbook(hosts.pop(), loop_file, changed=1))
    yield timed(title, ours, "loop of iptables", theirs, at_least=20)


def growth(bench: Bench, backend: str, rounds: int) -> Iterator[Result]:
    """The same jobs at 50,000 and at 10,000 rules: first apply, unchanged, one rule inserted at the top, the chain reversed."""
    rounds = min(rounds, 3)
    jobs = ("first apply", "unchanged", "one rule inserted", "reversed")
    times: dict[tuple[str, int], list[Seconds]] = {(job, size): [] for job in jobs for size in (10_000, 50_000)}
    for number in range(rounds):
        progress(f"  {backend}: growth: round {number + 1} of {rounds}")
        with bench.hosts(backend, 2) as hosts:
            pairs = list(zip((10_000, 50_000), hosts))
            for job in jobs:
                for size, host in pairs if number % 2 == 0 else reversed(pairs):
                    kind = {"one rule inserted": "inserted"}.get(job, job)
                    source = _file(bench, size, kind=kind if kind in ("inserted", "reversed") else "")
                    times[job, size].append(bench.apply(host, source, changed=job != "unchanged"))
    for job in jobs:
        yield timed(f"{backend}: 50,000 rules, {job}", times[job, 50_000], "10,000 rules", times[job, 10_000], at_most=GROWTH)
    yield timed(f"{backend}: 10,000 rules, reversed", times["reversed", 10_000], "first apply", times["first apply", 10_000],
                at_most=GROWTH)


def memory(bench: Bench, backend: str, _rounds: int) -> Iterator[Result]:
    """The peak memory of the module's own process at 50,000 rules."""
    saved, typed, back = _file(bench, 50_000), _file(bench, 50_000, typed=True), _file(bench, 50_000, kind="reversed")
    with bench.hosts(backend, 1) as (host,):
        for job, source, changed in (("first apply", saved, True), ("unchanged", saved, False),
                                     ("unchanged, other spelling", typed, False), ("reversed", back, True)):
            title = f"{backend}: 50,000 rules, {job}: peak memory"
            progress(f"  {title}")
            yield Result(title, "MiB", [bench.peak_memory(host, source, changed=changed)], at_most=PEAK)


def proofs(bench: Bench, backend: str, rounds: int) -> Iterator[Result]:
    """What a proof by packets costs over 1,000 rules, against one iptables-restore of the same rules. Every answer is checked."""
    samples: dict[str, list[float]] = {}
    text, flows = rulesets.content(rulesets.rules(1_000)), rulesets.flows(1_000)
    for number in range(min(rounds, 3)):
        progress(f"  {backend}: proofs: round {number + 1} of {min(rounds, 3)}")
        with bench.hosts(backend, 1) as (host,):
            for job, seconds in bench.proofs(host, text, flows).items():
                samples.setdefault(job, []).append(seconds)
    for job, words in (("one", "a rig and one packet"), ("further", "a further packet on a rig"), ("together", "1,000 flows on one rig"),
                       ("apart", "1,000 flows, a rig for each")):
        yield Result(f"{backend}: 1,000 rules: {words}", "s", samples[job], "one iptables-restore", samples["restore"])


def settings(bench: Bench, backend: str, rounds: int) -> Iterator[Result]:
    """40 kernel settings by one task, and by ansible.posix.sysctl in a loop; first apply, again, and what is in effect then."""
    ours_file = bench.write("settings.yml", sysctls.playbook(sysctls.OURS))
    loop_file = bench.write("settings-loop.yml", sysctls.playbook(sysctls.LOOP))
    rounds = min(rounds, 3)
    wrong: tuple[list[float], list[float]] = ([], [])
    with bench.hosts(backend, 2 * rounds) as hosts:
        for host in hosts:
            sysctls.prepare(host)
        fresh = list(hosts)
        for title, changed, at_least in ((f"{len(sysctls.SETTINGS)} settings, first apply", 1, 10), ("the same, unchanged", 0, None)):
            own, others = iter(fresh[:rounds]), iter(fresh[rounds:])
            ours, theirs = alternate(title, rounds, partial(_next, bench, own, ours_file, changed), partial(_next, bench, others, loop_file, changed))
            yield timed(title, ours, "loop of sysctl", theirs, at_least=at_least)
        for host, counts in zip(fresh, [wrong[0]] * rounds + [wrong[1]] * rounds):
            counts.append(sysctls.not_in_effect(host))
    yield Result(f"{len(sysctls.SETTINGS)} settings: not in effect on an interface", "keys", wrong[0], "loop of sysctl", wrong[1], at_most=0)


def _next(bench: Bench, hosts: Iterator[Host], path: Path, changed: int) -> Seconds:
    return bench.playbook(next(hosts), path, changed=changed)


def confirm(bench: Bench, _backend: str, rounds: int) -> Iterator[Result]:
    """A change over ssh that a new connection confirms, and the same without; both against what is asked of the host's sshd."""
    ports = itertools.cycle((8080, 8081))
    with confirming.container(bench.folder) as host:
        host.task("ansible.builtin.ping")
        host.rules(next(ports), 0)
        confirmed, plain = alternate("one rule changed", rounds, lambda: host.rules(next(ports), 60), lambda: host.rules(next(ports), 0))
        yield timed("one rule changed over ssh, confirmed", confirmed, "confirm_timeout: 0", plain)
        commands = [host.command() for _number in range(rounds)]
        more = [median(one.wall for one in confirmed) - median(one.wall for one in plain)]
        yield Result("what the confirmation adds", "s", more, "a new connection, one command", [one.wall for one in commands], at_most=2)
        port = next(ports)
        host.rules(port, 60)
        same, pings = alternate("nothing changed", rounds, lambda: host.rules(port, 60, changed=False), lambda: host.rules(port, 0, changed=False))
        yield timed("nothing changed, confirm_timeout: 60", same, "confirm_timeout: 0", pings, at_most=1.1)
        asked = {}
        for job, seconds in (("confirmed", 60), ("off", 0)):
            with host.watched() as asked[job]:
                host.rules(next(ports), seconds)
        with host.watched() as asked["ping"]:
            host.task("ansible.builtin.ping")
    for what in ("connections", "commands"):
        numbers = {job: getattr(found[0], what) for job, found in asked.items()}
        yield Result(f"a change confirmed: {what} more than without", what, [numbers["confirmed"] - numbers["off"]], at_most=1)
        yield Result(f"a change with confirm_timeout: 0: {what} more than a ping", what, [numbers["off"] - numbers["ping"]], at_most=0)


CASES: dict[str, Callable[[Bench, str, int], Iterator[Result]]] = {
    "unchanged": unchanged,
    "first": first,
    "ping": ping,
    "loop": loop,
    "growth": growth,
    "memory": memory,
    "proofs": proofs,
    "settings": settings,
    "confirm": confirm,
}
BOTH_BACKENDS = ("growth", "memory", "proofs")
