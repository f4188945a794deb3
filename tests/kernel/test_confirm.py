# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commit by proof through the whole of Ansible over a real ssh: what no new connection confirms is put back by the host itself."""
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from .support.confirming import FOLDER, state, until
from .support.host import FAMILIES, Host
from .support.save_text import without_empty_tables
from .test_guard import CLOSED, DISCOVERY, ESTABLISHED, FINE, SSH, ask, refused, tables
from .test_over_ssh import ADDRESSES, BY_SUDO, INVENTORY, SSHD, prepare, role, ssh_client

RULESET = "palisade.netfilter.iptables_ruleset"
SECONDS = 5
OLD = tables([ESTABLISHED, SSH, DISCOVERY, "-p tcp --dport 80 -j ACCEPT"])
#: Not even the connection that Ansible has goes on.
CUT = tables([DISCOVERY], [DISCOVERY])
LOCKED_OUT = {**CLOSED, "allow_lockout": True, "confirm_timeout": SECONDS}


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    """The family that Ansible's connection is of."""
    return str(request.param)


def saved(host: Host) -> dict[str, str]:
    return {family: host.save(family) for family in FAMILIES}


def files(host: Host) -> str:
    return host.run("sh", "-c", "cat /etc/palisade/*; ls -A /etc/palisade").stdout


def apply_old(host: Host) -> tuple[dict[str, str], str]:
    """Make OLD live and persisted, and return what is there then."""
    host.apply(**OLD, persist=True)
    return saved(host), files(host)


@contextmanager
def running(inside: Sequence[str], directory: Path, family: str, options: dict[str, Any], variables: str = "",
            module: str = "iptables_ruleset") -> Iterator[subprocess.Popen[str]]:
    """Have a controller change a host's rules, or what else a module does, in the background and in a process group of its own."""
    task: dict[str, object] = {f"palisade.netfilter.{module}": options}
    command, environment = prepare(inside, directory, family, [task], variables)
    # Ansible gives its workers sessions of their own: the marker finds them all.
    environment["PALISADE_TEST"] = str(directory)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, start_new_session=True)
    try:
        yield process
    finally:
        kill_all(directory)
        process.communicate()


def kill_all(directory: Path) -> None:
    """Kill whatever of a controller is there, at once: Ansible, its workers and every ssh of theirs."""
    marker = b"PALISADE_TEST=" + str(directory).encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if marker in (process / "environ").read_bytes().split(b"\0"):
                os.kill(int(process.name), signal.SIGKILL)
        except OSError:  # it has ended
            continue


def is_live(host: Host, folder: str = FOLDER) -> Callable[[], bool]:
    """Tell whether the change is made and waits."""
    return lambda: host.run("ls", f"{folder}/applied", check=False).returncode == 0 and state(host, folder) == "armed"


def test_a_new_connection_confirms_and_without_one_everything_is_put_back(host: Host, tmp_path: Path, family: str) -> None:
    role(host)  # It brings the sudo that drops SSH_CONNECTION.
    own, client, _length = ADDRESSES[family]
    tasks: list[dict[str, object]] = [{**FINE, "persist": True}, {**FINE, "persist": True}, {**LOCKED_OUT, "persist": True}]
    with ssh_client(host, tmp_path) as inside:
        first, second, third = ask(host, inside, tmp_path, family, *tasks, variables=BY_SUDO)
        after = saved(host)
    assert (first["failed"], first["changed"]) == (False, True), first
    assert first["confirm"]["state"] == "proved", first["confirm"]
    assert first["confirm"]["connection"].startswith(f"from {client} port ")
    assert first["confirm"]["connection"].endswith(f" to {own} port 22")
    assert first["confirm"]["connection"] != first["guard"]["connection"]
    assert (second["changed"], second["confirm"]["state"]) == (False, "none"), second
    assert (third["failed"], third["changed"], third["confirm"]["state"]) == (True, False, "rolled_back"), third
    assert third["msg"].startswith("No new connection confirmed the change within 5 s"), third["msg"]
    assert third["msg"].endswith("The host has put back what it had before"), third["msg"]
    assert "-p tcp -m tcp --dport 22 -j ACCEPT" in after[family]
    assert not host.module(tables=FINE["tables"], persist=True).changed
    assert host.run("ls", "-A", "/etc/palisade").stdout.split() == ["palisade.closed", "palisade.good", "palisade.rules"]


def test_the_controller_is_killed_right_after_the_change(host: Host, tmp_path: Path, family: str) -> None:
    before = apply_old(host)
    with ssh_client(host, tmp_path) as inside:
        with running(inside, tmp_path, family, {"backend": host.backend, **LOCKED_OUT, "confirm_timeout": 10, "persist": True}):
            assert until(is_live(host), 60)
            kill_all(tmp_path)
        another = host.module(tables=FINE["tables"])
        assert another.failed and "palisade waits for its confirmation" in another.message, another.data
        assert until(lambda: state(host) == "undone", 20)
        assert (saved(host), files(host)) == before
        answer, = ask(host, inside, tmp_path, family, FINE)
    assert answer["confirm"]["state"] == "proved", answer


def test_going_back_is_as_safe_as_going_forward(host: Host, tmp_path: Path, family: str) -> None:
    """The version before would shut out Ansible: it is refused, then tried and taken back. One that does not is proved and persisted."""
    host.apply(**CLOSED, persist=True)
    before = apply_old(host)
    back: dict[str, Any] = {"state": "previous"}
    with ssh_client(host, tmp_path) as inside:
        refusal, lockout = ask(host, inside, tmp_path, family, back, {**back, "allow_lockout": True, "confirm_timeout": SECONDS})
        assert (saved(host), files(host)) == before
        forward, home, same = ask(host, inside, tmp_path, family, {**FINE, "persist": True}, back, {**OLD, "persist": True})
    refused(host, [refusal], ["would be dropped by the policy DROP of INPUT, table filter"])
    assert (lockout["failed"], lockout["changed"], lockout["confirm"]["state"]) == (True, False, "rolled_back"), lockout
    assert [(answer["changed"], answer["confirm"]["state"]) for answer in (forward, home)] == [(True, "proved")] * 2, home
    assert (saved(host)[family] == before[0][family], same["changed"]) == (True, False)


def test_the_connection_is_cut_while_it_waits(host: Host, tmp_path: Path, family: str) -> None:
    """By the network with the one backend, which makes no difference to it, and with the other by the rules."""
    cut = {"nft": "the network", "legacy": "the rules"}[host.backend]
    before = apply_old(host)
    change = {**LOCKED_OUT, **CUT} if cut == "the rules" else {**FINE, "confirm_timeout": SECONDS}
    with ssh_client(host, tmp_path) as inside, running(inside, tmp_path, family, {"backend": host.backend, **change}) as process:
        assert until(is_live(host), 60)
        if cut == "the network":
            subprocess.run([*inside, "ip", "link", "set", "wire", "down"], check=True)
        assert until(lambda: state(host) == "undone", 20)
        assert (saved(host), files(host)) == before
        if cut == "the network":
            subprocess.run([*inside, "ip", "link", "set", "wire", "up"], check=True)
            at_once = ["ip", "-6", "address", "replace", "fd99::2/64", "dev", "wire", "nodad"]  # The kernel takes it away with the link.
            subprocess.run([*inside, *at_once], check=True)
        said = process.communicate(timeout=100)[0]
    assert "The host has put back what it had before" in said, said
    assert '"state": "rolled_back"' in said, said
    assert process.returncode == 2


def test_the_module_dies_and_the_host_puts_back_what_it_had_at_once(host: Host, tmp_path: Path, family: str) -> None:
    """Where nothing tracks connections yet it waits half a second for conntrack to see the running one, and is armed by then."""
    before = saved(host)
    by_name = "ansible_ssh_pipelining=false"  # Else the module has no file, by which it could be found.
    with ssh_client(host, tmp_path) as inside, running(inside, tmp_path, family, {"backend": host.backend, **FINE}, by_name) as process:
        assert until(lambda: state(host) == "armed", 60)
        victims = host.run("pgrep", "-f", "AnsiballZ_iptables_ruleset").stdout.split()
        host.run("kill", "-9", *[victim for victim in victims if in_namespace(host, victim)])
        said = process.communicate(timeout=100)[0]
    assert "The module did not come to its end" in said, said
    assert "The host has put back what it had before" in said, said
    assert [without_empty_tables(text) for text in saved(host).values()] == [without_empty_tables(text) for text in before.values()]


def in_namespace(host: Host, process: str) -> bool:
    """Tell whether a process is one of the host's."""
    return host.run("readlink", f"/proc/{process}/ns/net", check=False).stdout == host.run("readlink", "/proc/self/ns/net").stdout


def test_a_multiplexer_of_the_users_own_is_not_taken_for_a_new_connection(host: Host, tmp_path: Path, family: str) -> None:
    path = {"nft": "-S", "legacy": "-o ControlPath"}[host.backend]
    own = f"ansible_ssh_extra_args='{path}={tmp_path}/mine -o ControlMaster=auto -o ControlPersist=60'".replace("-S=", "-S ")
    with ssh_client(host, tmp_path) as inside:
        fine, = ask(host, inside, tmp_path, family, FINE, variables=own, first=f"test -S {tmp_path}/mine")
    assert fine["confirm"]["state"] == "proved", fine
    assert fine["confirm"]["connection"] != fine["guard"]["connection"]


def test_by_way_of_a_jump_host(host: Host, tmp_path: Path, family: str) -> None:
    """The way to the jump host may be an old one; from there to the host it is new."""
    with ssh_client(host, tmp_path) as inside:
        jump = tmp_path / "jump_config"
        jump.write_text(SSHD.format(directory=tmp_path).replace("Port 22", "Port 2222\nListenAddress 127.0.0.1").replace("sshd.pid", "jump.pid"))
        subprocess.run([*inside, "ip", "link", "set", "lo", "up"], check=True)
        # Where the host's files are, for /run/sshd, and the controller's network is.
        host.run("nsenter", inside[1], "--net", "/usr/sbin/sshd", "-f", str(jump), "-E", str(tmp_path / "jump.log"))
        try:
            way = f"ssh -i {tmp_path}/user -p 2222 -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ControlMaster=auto"
            way += f" -o ControlPath={tmp_path}/jump.mux -o ControlPersist=60 -W [%h]:%p root@127.0.0.1"
            variables = f"ansible_ssh_extra_args='-o ProxyCommand=\"{way}\"'"
            fine, = ask(host, inside, tmp_path, family, FINE, variables=variables)
        finally:
            os.kill(int((tmp_path / "jump.pid").read_text()), signal.SIGTERM)
    assert fine["confirm"]["state"] == "proved", fine
    assert fine["confirm"]["connection"] != fine["guard"]["connection"]


def test_a_host_that_wants_a_person_to_log_in_is_unproved_and_says_so(host: Host, tmp_path: Path, family: str) -> None:
    """As with a second factor: the connection that somebody opened goes on, a new one gets as far as the host's sshd."""
    with ssh_client(host, tmp_path) as inside:
        fine, = ask(host, inside, tmp_path, family, FINE, first=f": > {tmp_path}/user.pub")
    assert (fine["failed"], fine["confirm"]["state"]) == (False, "unproved"), fine
    assert "which refused to let it log in by itself" in fine["confirm"]["reason"]
    assert state(host) == "kept"


@pytest.mark.parametrize("connection", ["local", "community.general.chroot"])
def test_a_connection_that_no_rule_can_cut_is_not_proved_and_says_so(host: Host, tmp_path: Path, connection: str) -> None:
    changed, same = ask(host, host.through(), tmp_path, "ipv4", CLOSED, CLOSED, variables=f"ansible_connection={connection}", address="/")
    assert changed["confirm"] == {
        "state": "unproved", "reason": f"a connection of type {connection.rpartition('.')[2]} has no network path that a rule could cut"}
    assert "confirm" not in same
    assert host.run("ls", FOLDER, check=False).returncode != 0


def test_many_hosts_each_by_itself(new_host: Callable[[], Host], backend: str, tmp_path: Path) -> None:
    """Two are fine and one would be locked out; that one alone fails, in a block whose rescue knows why. Side by side, or two and then one."""
    several: dict[str, dict[str, object]] = {"nft": {"strategy": "free"}, "legacy": {"serial": 2}}
    hosts = [new_host() for _number in range(3)]
    options = {"backend": backend, "tables": "{{ locked if inventory_hostname == 'host1' else fine }}", "allow_lockout": True,
               "confirm_timeout": "{{ 5 if inventory_hostname == 'host1' else 60 }}"}
    tasks = [
        {"block": [{RULESET: options, "register": "said"}],
         "rescue": [{"ansible.builtin.debug": {"msg": "rescued {{ inventory_hostname }}: {{ said.confirm.state }}"}}]},
        {"ansible.builtin.debug": {"msg": "{{ inventory_hostname }} is {{ said.confirm.state }}"}},
    ]
    variables = {"fine": FINE["tables"], "locked": CLOSED["tables"]}
    done = play_on(hosts, tmp_path, {"tasks": tasks, "vars": variables, **several[backend]})
    live = [host.save() for host in hosts]
    assert done.returncode == 0, done.stdout + done.stderr
    for words in ("host0 is proved", "host1 is rolled_back", "host2 is proved", "rescued host1: rolled_back"):
        assert words in done.stdout, done.stdout
    assert [":INPUT DROP" in text for text in live] == [True, False, True]


def test_fifty_good_changes_in_a_row_and_none_is_taken_back(new_host: Callable[[], Host], backend: str, tmp_path: Path) -> None:
    """Of two hosts, each at its own pace, on a machine that has a process to run for each of its processors all the while."""
    number = {"nft": 25, "legacy": 3}[backend]
    hosts = [new_host(), new_host()]
    rules = [ESTABLISHED, SSH, DISCOVERY, "-p tcp --dport {{ 8000 + item }} -j ACCEPT"]
    change: dict[str, object] = {
        RULESET: {"backend": backend, "tables": tables(rules)["tables"]}, "register": "said", "loop": list(range(number)),
        "failed_when": "said is failed or not said.changed or said.confirm.state != 'proved'",
    }
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _each in range(os.cpu_count() or 1)]
    try:
        done = play_on(hosts, tmp_path, {"tasks": [change], "strategy": "free"}, seconds=900)
    finally:
        for process in busy:
            process.kill()
            process.wait()
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    assert done.stdout.count("changed: [host") == 2 * number
    assert [f"--dport {7999 + number} -j ACCEPT" in host.save() for host in hosts] == [True, True]


def play_on(hosts: Sequence[Host], folder: Path, play: dict[str, object], seconds: int = 120) -> subprocess.CompletedProcess[str]:
    """Run a play against several hosts over ssh, from a controller of which none of them is the network's other end."""
    relay = folder / "relay.py"
    relay.write_text(RELAY)
    lines = []
    with ExitStack() as stack:
        for number, host in enumerate(hosts):
            own = folder / str(number)
            own.mkdir()
            inside = stack.enter_context(ssh_client(host, own))
            way = f"{' '.join(inside)} {sys.executable} {relay} %h %p"
            line = INVENTORY.format(address=ADDRESSES["ipv4"][0], directory=own, python=sys.executable).strip()
            lines.append(f"host{number}{line[4:]} ansible_ssh_extra_args='-o ProxyCommand=\"{way}\"' ansible_control_path={own}/mux")
        (folder / "inventory").write_text("\n".join(lines))
        (folder / "play.yml").write_text(json.dumps([{"hosts": "all", "gather_facts": False, **play}]))
        command, environment = prepare([], folder / "0", "ipv4", [])
        command[command.index("timeout") + 1] = str(seconds)
        command[command.index("-i") + 1:] = [str(folder / "inventory"), str(folder / "play.yml")]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


RELAY = """
import os, select, socket, sys
wire = socket.create_connection((sys.argv[1], int(sys.argv[2])), 15)
while True:
    for ready in select.select([0, wire], [], [])[0]:
        data = os.read(0, 65536) if ready == 0 else wire.recv(65536)
        if not data:
            sys.exit()
        wire.sendall(data) if ready == 0 else os.write(1, data)
"""
