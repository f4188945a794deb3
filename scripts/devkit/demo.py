# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``scripts/demo``: the main job on a throwaway host, step by step, with every expectation checked; or an apply to real hosts."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Mapping, Sequence

from . import machine, venvs
from .shell import CACHE, LOGS, ROOT, SetupError, say
from .throwaway import Host, connect

PACKAGES = ["iptables", "iproute2", "util-linux", "procps"]
PLAYBOOK = Path("playbooks", "site.yml")
INVENTORY = """\
servers:
  hosts:
    demo:
      # What makes it a firewall: ssh comes with the profile, https is added.
      firewall_services:
        https: {}
      # What has to come of it: proved with packets on a copy, each time before anything changes.
      firewall_expect:
        - {source: 192.0.2.20, port: 443, verdict: accept}
        - {source: 192.0.2.20, port: 8080, verdict: drop}
      # How to get there: Ansible runs on the throwaway host itself.
      ansible_connection: local
      ansible_become: false
      ansible_python_interpreter: %s
      ansible_remote_tmp: /run/ansible
"""
GROUPS = ("workstations", "servers", "routers")
"""The groups that the playbook knows. An inventory need not have them all."""
STRICT = {
    "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_HOST_PATTERN_MISMATCH": "ignore", "ANSIBLE_INVENTORY_UNPARSED_FAILED": "true",
}
"""For real hosts: an inventory that cannot be read is an error and not a success about nothing."""

CHECKING = f"Check only: what {PLAYBOOK} would change on the hosts of the groups {', '.join(GROUPS)}. Nothing is changed."
APPLYING = f"""\
This APPLIES {PLAYBOOK} to the hosts of the groups {', '.join(GROUPS)}: modules, rules, loader and sysctls. Of each group one host goes first, and a
failure ends the run. A change that no new connection confirms is taken back by the host itself, within a minute. To see first what would
change: add --check."""
CHECK = re.compile(r"--chec?k?|-[bCDKkv]*C[bCDKkv]*")
"""As ansible-playbook takes it: shortened, or in one word with other options that have no value."""
CHECKED = "Nothing has been changed. The same without --check applies it."
APPLIED = """\
Applied, and there after a reboot. To look: ansible-playbook playbooks/status.yml; to go back to the rules from before: playbooks/rollback.yml."""
HOW_FAR = " A host that failed says which state it is in; hosts behind it were not touched."

SERVER = {"IPv4": "192.0.2.10", "IPv6": "2001:db8::10"}
CLIENT = {"IPv4": "192.0.2.20", "IPv6": "2001:db8::20"}
PREFIX = {"IPv4": 24, "IPv6": 64}
IPTABLES = {"IPv4": "iptables", "IPv6": "ip6tables"}

TRAFFIC = (("ssh", 22, True), ("https", 443, True), ("something else", 8080, False), ("ping", 0, True))
"""What the client tries: name, TCP port (0: ping), whether the declaration lets it in."""

VERDICTS = {True: "answers", False: "no answer"}

CHANGES = ("modules", "rules", "loader", "sysctls")
"""What the role changes on a new host, a task each. What it takes away again it takes in three: the loader goes with the rules."""

SETTINGS = {
    "net.ipv4.conf.eth0.rp_filter": "1", "net.ipv4.conf.eth0.accept_redirects": "0", "net.ipv4.conf.eth0.send_redirects": "0",
    "net.ipv4.conf.eth0.log_martians": "1", "net.ipv6.conf.eth0.accept_redirects": "0",
}
"""Some of the profile's sysctls, and what it wants them to be."""

FIRST_SETTINGS = {
    f"net.ipv4.conf.{member}.{key}": value for member in ("all", "default", "eth0")
    for key, value in (("rp_filter", "0"), ("accept_redirects", "1"), ("send_redirects", "1"), ("log_martians", "0"))
}
"""What a kernel starts with. A network namespace has the settings of the machine in place of that."""

LOADER = "/usr/local/sbin/palisade-firewall"
SYSCTLS = "/etc/sysctl.d/99-zz-palisade.conf"
FILES = f"/etc/palisade /etc/modules-load.d/palisade.conf {SYSCTLS}"
POWER_CUT = """
rm -rf /run/palisade
for program in iptables ip6tables; do
  for table in $($program-save | sed -n 's/^[*]//p'); do
    $program-save -t $table | sed -n 's/^:\\([A-Z]*\\) [AD].*/-P \\1 ACCEPT/p' | while read -r policy; do $program -t $table $policy; done
    $program -t $table -F
    $program -t $table -X
  done
done
"""
"""Takes away what a power cut takes away: all rules, the policies of built-in chains, and what is in /run."""


def run(arguments: Sequence[str]) -> int:
    """Show the job on a throwaway host, or do it on the hosts of an inventory."""
    LOGS.mkdir(parents=True, exist_ok=True)
    if arguments:
        return _apply_to_inventory(arguments)
    begin = time.monotonic()
    say("palisade.netfilter: a server's packet filter, declared, on a throwaway host.\n"
        "It lives in namespaces of this machine, whose own firewall, /etc and /usr/local are not touched.")
    story = _Story()
    story.tell()
    return story.close(time.monotonic() - begin)


def _ansible() -> Path:
    with (LOGS / "demo.log").open("w") as log:
        machine.install_packages(PACKAGES, log)
        return venvs.ansible(log)


def _apply_to_inventory(arguments: Sequence[str]) -> int:
    """Run the playbook against real hosts, in check mode if that is among the options."""
    with (LOGS / "demo.log").open("w") as log:
        venv = venvs.ansible(log)
    options = ["-i", *arguments, "--diff"]
    checking = any(CHECK.fullmatch(option) for option in arguments[1:])
    say(CHECKING if checking else APPLYING)
    say(f"$ ansible-playbook {PLAYBOOK} {shlex.join(options)}")
    argv = [str(venv / "bin" / "ansible-playbook"), str(ROOT / PLAYBOOK), *options]
    if not _has_hosts(argv):
        say(f"It ended before it began: the inventory cannot be read, or none of its groups {', '.join(GROUPS)} has a host in it.")
        return 1
    status = subprocess.run(argv, env={**os.environ, **STRICT}, check=False).returncode
    if status != 0:
        say("It ended with an error, see above." + (" Nothing is changed by a check." if checking else HOW_FAR))
        return status
    say(CHECKED if checking else APPLIED)
    return 0


def _has_hosts(argv: Sequence[str]) -> bool:
    """Whether the playbook would run on any host at all; on none, it would end well."""
    listed = subprocess.run([*argv, "--list-hosts"], env={**os.environ, **STRICT}, stdout=subprocess.PIPE, text=True, check=False)
    return listed.returncode == 0 and re.search(r"^ +hosts \([1-9]", listed.stdout, re.MULTILINE) is not None


class _Story:
    """The steps in order, and what did not come out as it should."""

    def __init__(self) -> None:
        self.steps = 0
        self.expectations = 0
        self.disappointments: list[str] = []
        self.families = [family for family in SERVER if family == "IPv4" or Path("/proc/net/if_inet6").exists()]

    def tell(self) -> None:
        self.step("Set up (the first time takes a minute; log in .cache/logs/demo.log)")
        self.venv = _ansible()
        self.inventory = CACHE / "demo" / "inventory.yml"
        self.inventory.parent.mkdir(exist_ok=True)
        self.inventory.write_text(INVENTORY % sys.executable)
        with ExitStack() as stack:
            self.server, self.client = (stack.enter_context(Host(self._variables())) for number in range(2))
            addresses = [[f"{place[family]}/{PREFIX[family]}" for family in self.families] for place in (SERVER, CLIENT)]
            connect(self.server, addresses[0], self.client, addresses[1])
            stack.enter_context(self.server.listening(*(port for _name, port, _passes in TRAFFIC if port)))
            say(f"  a server ({', '.join(SERVER[family] for family in self.families)}) with listeners, a client at the other end of a cable\n"
                f"  its inventory, {self.inventory.relative_to(ROOT)}:")
            say("".join(f"    {line}\n" for line in self.inventory.read_text().splitlines()).rstrip("\n"))
            self._on_the_host()

    def _variables(self) -> dict[str, str]:
        path = os.pathsep.join([str(self.venv / "bin"), os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
        return {
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_DISPLAY_OK_HOSTS": "false", "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "false",
            "ANSIBLE_HOME": "/run/ansible", "ANSIBLE_HOST_PATTERN_MISMATCH": "ignore", "HOME": "/run", "PATH": path, "SSH_CONNECTION": "",
        }

    def _on_the_host(self) -> None:
        self.server.set(FIRST_SETTINGS)
        before = self.probe()
        untouched, settings = self.rules(), self.settings()
        self.step("What would change? Check mode, with a diff: the rules of each family, the files that they are loaded from at boot, "
                  "and what it means for traffic")
        foreseen = _diff(self.play("--check", "--diff", changed=len(CHANGES)))
        self.expect("check mode has changed nothing", self.rules() == untouched and not self.installed())
        self.step("And if it would do something else than you expect? Ask for port 8080, which nothing lets in")
        self.refused("-e", json.dumps({"firewall_expect": [{"source": CLIENT["IPv4"], "port": 8080, "verdict": "accept"}]}))
        self.expect("nothing has changed", self.rules() == untouched and not self.installed())
        self.step("Apply it")
        done = _diff(self.play("--diff", changed=len(CHANGES), hidden=foreseen))
        self.expect(f"what it did is what check mode foresaw, the {len(done)} lines of diff above", done == foreseen != [])
        self.step("Does it hold? New connections from the client, before and after")
        after = self.probe()
        self.table(before, after, ("before", "after"))
        self.step("The live rules of INPUT, as iptables lists them")
        applied = self.rules()
        for family in self.families:
            say(f"  {family}")
            self.server.show("sh", "-c", "{0} -S INPUT; {0} -S palisade-INPUT".format(IPTABLES[family]))
        self.step("The kernel around the rules: what is in effect")
        self.kernel(settings, self.settings())
        self.step("Once more: a declared state that is there already is left alone")
        self.play("--diff", changed=0)
        self.expect("the second run has changed nothing", self.rules() == applied)
        self._reboot(untouched, applied, settings)
        self.step("And away with it: state absent, as if it had never been there")
        self.play("-e", "firewall_state=absent", changed=len(CHANGES) - 1)
        self.expect("the rules are what they were at first", self.rules() == untouched)
        self.expect("the kernel's settings are what they were at first", self.settings() == settings)
        self.expect("all files of ours are gone", not self.installed())
        self.expect("everything answers again", set(self.probe()) == {"answers"})

    def _reboot(self, untouched: Sequence[str], applied: Sequence[str], settings: Mapping[str, str]) -> None:
        self.step("A reboot")
        say("  A throwaway host cannot be switched off. What a power cut takes away is taken away by hand instead: all rules, all policies,\n"
            "  /run/palisade, the sysctls. It has no systemd either, so we call the loader and sysctl ourselves; elsewhere units do so before\n"
            "  the network is up.")
        self.server.run("sh", "-euc", POWER_CUT)
        self.server.set(settings)
        self.expect("the rules are gone", self.rules() == untouched)
        gone = self.probe()
        say(f"  # {LOADER} boot")
        status, _text = self.server.show(LOADER, "boot")
        self.expect("the loader has loaded them", status == 0)
        self.expect("the rules are what they were before the reboot", self.rules() == applied)
        say(f"  # sysctl -e -p {SYSCTLS}")
        self.server.run("sysctl", "-e", "-q", "-p", SYSCTLS)
        self.expect("the kernel's settings are as declared", self.settings().items() <= SETTINGS.items())
        self.table(gone, self.probe(), ("without", "loaded"))
        say(f"  # {LOADER} status")
        status, _text = self.server.show(LOADER, "status")
        self.expect("status says that live and persisted rules are the same", status == 0)
        self.play(changed=0)

    def installed(self) -> bool:
        """Whether any of our files is on the host."""
        return self.server.run("sh", "-c", f"ls -d {FILES} {LOADER} 2>/dev/null || true") != ""

    def step(self, title: str) -> None:
        self.steps += 1
        say(f"\n{self.steps}. {title}")

    def expect(self, what: str, good: bool) -> None:
        self.expectations += 1
        say(f"  {'ok' if good else 'NOT SO'}: {what}")
        if not good:
            self.disappointments.append(what)

    def play(self, *options: str, changed: int, hidden: Sequence[str] = ()) -> str:
        """Run the playbook, show what it says but for the lines `hidden`, and expect so many changes."""
        say(f"  $ ansible-playbook -i {self.inventory.relative_to(ROOT)} {' '.join([str(PLAYBOOK), *options])}")
        program = str(self.venv / "bin" / "ansible-playbook")
        argv = [program, "-i", str(self.inventory), str(ROOT / PLAYBOOK), *options]
        status, text = self.server.show(*argv, hidden=hidden)
        if status != 0:
            raise SetupError("  The playbook failed, see above: the demo ends here.")
        found = re.search(r"^demo +: ok=\d+ +changed=(\d+) +unreachable=0 +failed=0 ", text, re.MULTILINE)
        self.expect(f"changed={changed}", found is not None and int(found.group(1)) == changed)
        return text

    def refused(self, *options: str) -> None:
        """Run the playbook, show what it says, and expect that it stops at a wrong verdict."""
        say(f"  $ ansible-playbook -i {self.inventory.relative_to(ROOT)} {' '.join([str(PLAYBOOK), *map(shlex.quote, options)])}")
        argv = [str(self.venv / "bin" / "ansible-playbook"), "-i", str(self.inventory), str(ROOT / PLAYBOOK), *options]
        status, text = self.server.show(*argv)
        self.expect("the run has stopped at a packet", status != 0 and "verdict accept was expected and drop was found" in text)

    def probe(self) -> list[str]:
        """Try all of TRAFFIC in all families; IPv6 has to find its neighbour anew, which a wrong filter would prevent."""
        for host in (self.server, self.client):
            host.run("ip", "neighbour", "flush", "all")
        return self.client.probe([(SERVER[family], port) for _name, port, _passes in TRAFFIC for family in self.families])

    def table(self, before: Sequence[str], after: Sequence[str], titles: tuple[str, str]) -> None:
        rows = [(name + (f" (tcp {port})" if port else ""), family, passes) for name, port, passes in TRAFFIC for family in self.families]
        say(f"  {'':<26}{'':<6}{titles[0]:<12}{titles[1]:<12}declared")
        for (name, family, passes), first, second in zip(rows, before, after):
            good = first == "answers" and second == VERDICTS[passes]
            say(f"  {name:<26}{family:<6}{first:<12}{second:<12}{'let in' if passes else 'dropped'}{'' if good else '   NOT SO'}")
            self.expectations += 1
            if not good:
                self.disappointments.append(f"{name} over {family}: {first} {titles[0]}, {second} {titles[1]}")

    def settings(self) -> dict[str, str]:
        """Those of SETTINGS that this machine's kernel has, and their values."""
        names = [name for name in SETTINGS if self.families != ["IPv4"] or "ipv6" not in name]
        return dict(zip(names, self.server.run("sysctl", "-n", *names).split()))

    def kernel(self, before: Mapping[str, str], after: Mapping[str, str]) -> None:
        say(f"  {'':<40}{'before':<12}{'after':<12}declared")
        for name, value in after.items():
            good = value == SETTINGS[name]
            say(f"  {name:<40}{before[name]:<12}{value:<12}{SETTINGS[name]}{'' if good else '   NOT SO'}")
            self.expectations += 1
            if not good:
                self.disappointments.append(f"{name}: {value}")

    def rules(self) -> list[str]:
        """All rules and policies of the table filter, without counters."""
        return [self.server.run(IPTABLES[family], "-S") for family in self.families]

    def close(self, seconds: float) -> int:
        if self.disappointments:
            say("\nNot as it should be:\n" + "\n".join(f"  {what}" for what in self.disappointments))
            return 1
        say(f"\nAll {self.expectations} expectations met, in {seconds:.0f} seconds. The throwaway host is gone.\n"
            "Next, what would change on hosts of your own (changes nothing): ./scripts/demo INVENTORY --check")
        return 0


def _diff(text: str) -> list[str]:
    """The lines of a playbook's output that are a diff."""
    return [line for line in text.splitlines() if line.startswith(("-", "+", "@@", "!", "# what changes"))]
