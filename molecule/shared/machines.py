# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machines of the scenarios as tests see them: their rules, and what a neighbour meets who connects. Holds no test."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from pathlib import Path
from typing import NamedTuple, Sequence

import testinfra
from testinfra.host import Host

INSTANCE = os.environ.get("PALISADE_INSTANCE", "local")
SERVERS = {"bullseye": "nft", "bookworm": "legacy", "trixie": "nft"}
"""The servers, each with the iptables backend that it is on."""

MACHINES = (*SERVERS, "plain")
"""What a test can have as a parameter: the servers, and the machine without systemd."""

UNIT = "palisade-firewall.service"
FAMILIES = {"ipv4": "iptables", "ipv6": "ip6tables"}

OFFERED = {22: "open", 443: "open", 8080: "silence"}
"""What a neighbour meets by port where the declared rules are in force; programs listen at all three."""

CONNECT = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
def connect(target):
    try:
        socket.create_connection(target, timeout=3).close()
    except socket.timeout:
        return "silence"
    except OSError as error:
        return "refused" if isinstance(error, ConnectionRefusedError) else str(error)
    return "open"
targets = json.loads(sys.argv[1])
print(json.dumps(list(ThreadPoolExecutor(len(targets)).map(connect, map(tuple, targets)))))
"""


def container(name: str) -> str:
    """Return what the container engine and the inventory call a machine."""
    return f"{name}-{INSTANCE}"


def machine(name: str) -> Host:
    """Return a machine of the scenario, to run commands on."""
    return testinfra.get_host(f"docker://{container(name)}")


def rules(host: Host, family: str, chain: str, table: str = "filter") -> list[str]:
    """Return a chain as the host's own iptables lists it."""
    return str(host.check_output(f"{FAMILIES[family]} -w -t {table} -S {chain}")).splitlines()


def saved(host: Host, backend: str) -> dict[str, list[str]]:
    """Return by family what a backend holds: rules in order, policies of DROP and our chains. Empty tables and counters are put aside."""
    answer = {}
    for family, command in FAMILIES.items():
        lines = str(host.check_output(f"{command}-{backend}-save")).splitlines()
        chains = sorted(line.split(" [")[0] for line in lines if re.match(r":palisade|:\S+ DROP", line))
        answer[family] = chains + [line.rstrip() for line in lines if line.startswith("-A ")]
    return answer


def address(host: Host, family: str) -> str:
    """Return the host's address on the wire between the machines; for IPv6 the one that needs no configuration, with its zone."""
    scope = "-4 addr show dev eth0 scope global" if family == "ipv4" else "-6 addr show dev eth0 scope link"
    words = host.check_output(f"ip -o {scope}").split()
    return words[3].split("/")[0] + ("%eth0" if family == "ipv6" else "")


def connect(source: Host, target: Host, *ports: int) -> dict[tuple[str, int], str]:
    """Return, by family and port, what a new connection meets: open, refused or silence. All are tried at once."""
    tried = [(family, port) for family in FAMILIES for port in ports]
    targets = json.dumps([(address(target, family), port) for family, port in tried])
    return dict(zip(tried, json.loads(source.check_output("python3 -c %s %s", CONNECT, targets))))


def met(source: Host, target: Host) -> dict[int, str]:
    """Return what new connections meet at the ports where programs listen. It has to be the same over both families."""
    answers = connect(source, target, *OFFERED)
    by_family = [{port: answers[family, port] for port in OFFERED} for family in FAMILIES]
    assert by_family[0] == by_family[1]
    return by_family[0]


def unit_state(host: Host) -> dict[str, str]:
    """Return what systemd has to say of the unit that loads the rules."""
    shown = host.check_output(f"systemctl show --property=ActiveState,UnitFileState,Result,InvocationID {UNIT}")
    return dict(line.split("=", 1) for line in shown.splitlines())


def unit_journal(host: Host) -> str:
    """Return what the unit's last start wrote to the journal."""
    return str(host.check_output(f"journalctl --sync; journalctl -q -o cat _SYSTEMD_INVOCATION_ID={unit_state(host)['InvocationID']}"))


def reboot(name: str, *, power_cut: bool = False) -> None:
    """Restart a machine's container and wait until all has started: /run and the network namespace, rules with it, are new ones."""
    subprocess.run(["docker", "restart", "-t", "0" if power_cut else "30", container(name)], check=True, stdout=subprocess.DEVNULL)
    up = "systemctl is-system-running --wait | grep -E '^(running|degraded)' && ip -6 -o addr show dev eth0 scope link | grep -v tentative"
    end = time.monotonic() + 60
    while machine(name).run(up).rc != 0:
        assert time.monotonic() < end, f"{name} did not come up again: {machine(name).run('systemctl list-jobs').stdout}"
        time.sleep(0.3)


class Play(NamedTuple):
    """What a run of a playbook came to, for one host."""

    status: int
    changed: int
    output: str
    """Without line breaks that were not in the messages themselves."""


def play(name: str, *options: str, **variables: object) -> Play:
    """Run the scenario's converge playbook again, on one container and with these variables on top."""
    return play_on(container(name), *options, **variables)


def play_on(host: str, *options: str, **variables: object) -> Play:
    """Run the scenario's converge playbook again, on one host of the inventory and with these variables on top."""
    env = {**os.environ, "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_NOCOLOR": "1", "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}
    playbook = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"], "converge.yml")
    inventory = os.environ["MOLECULE_INVENTORY_FILE"]
    argv = ["ansible-playbook", "--inventory", inventory, "--limit", host, "--extra-vars", json.dumps(variables), *options]
    done = subprocess.run([*argv, str(playbook)], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    recap = re.search(rf"^{host} .* changed=(\d+)", done.stdout, re.MULTILINE)
    assert recap, done.stdout
    return Play(done.returncode, int(recap.group(1)), done.stdout)


# Real traffic, by molecule/shared/traffic.py on the machines

TRAFFIC = "python3 /usr/local/lib/traffic.py"
OPEN, REFUSED, SILENCE, FORBIDDEN = "open", "refused", "silence", "forbidden"


class Visit(NamedTuple):
    """A connection to be made, or a datagram to be sent, from one of the visitor's addresses."""

    to: str
    port: int
    source: str = ""
    protocol: str = "tcp"
    seconds: float = 2
    """How long silence has to last."""
    source_port: int = 0
    flags: int = 0
    """Of a bare segment, see `segments`."""


class Met(NamedTuple):
    """What a visitor met."""

    how: str
    """Open, refused, silence, forbidden (by the visitor's own rules), or an error's text."""
    seen: str = ""
    """The address that the server saw it come from, if the server is one of ours."""
    port: int = 0
    """The port that the server was asked at."""


def visit(source: Host, *visits: Visit) -> list[Met]:
    """Make these visits at once and return what each met."""
    return one_after_the_other(source, visits)


def one_after_the_other(source: Host, *groups: Sequence[Visit]) -> list[Met]:
    """Make one group of visits after the other, those of a group at once, and return what each visit met."""
    argument = json.dumps([[attempt._asdict() for attempt in group] for group in groups])
    answers = json.loads(source.check_output(f"{TRAFFIC} meet %s", argument))
    return [Met(answer["how"], answer["seen"].get("source", ""), answer["seen"].get("port", 0)) for answer in answers]


def how(source: Host, *visits: Visit) -> list[str]:
    """Make these visits at once and return how each went."""
    return [met.how for met in visit(source, *visits)]


def segments(source: Host, *visits: Visit) -> list[str]:
    """Send bare TCP segments, each with source address, source port and flags. Return the flags of each answer, or silence."""
    return list(json.loads(source.check_output(f"{TRAFFIC} segment %s", json.dumps([[attempt._asdict() for attempt in visits]]))))


def fetched(source: Host, server: str, own: str, mode: str) -> str:
    """Fetch a file by FTP and return its text, or what went wrong. The server opens the data connection if the mode is active."""
    return str(source.check_output(f"{TRAFFIC} ftp %s %s %s", server, own, mode)).strip()


class Talk:
    """One connection that lasts: what is said is said again by the server. Use it as a context manager."""

    def __init__(self, source: str, server: str, port: int) -> None:
        argv = ["docker", "exec", "--interactive", container(source), *TRAFFIC.split(), "talk", server, str(port)]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Talk:
        return self

    def __exit__(self, *_ended: object) -> None:
        self._process.communicate(timeout=10)

    def say(self, word: str) -> str:
        """Say a word and return the answer; nothing if there is no connection (any more)."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(word + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return ""
        return self._process.stdout.readline().strip()
