# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random kills on virtual machines: while a ruleset changes from one generation to another, something is killed, or the power is cut. All
tables of both families have to be of one generation then, what is persisted too, and the next boot has to load that. See docs/testing.md.

A ruleset of its own lives beside whatever a machine has, and what is compared is all that its tables hold. Everything that is random is
drawn from the seed; at which instruction a process dies is up to the machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Iterator, NamedTuple, Sequence

from . import vm
from .killer import fits
from .shell import ROOT, SetupError, environment

NAME = "random"
"""The ruleset's. At boot it comes behind the role's, by the alphabet, as it does where it is applied: the order of the jumps is compared, too."""

UNIT = "palisade-firewall.service"
LOADER = "/usr/local/sbin/palisade-firewall"
FOLDER = "/var/lib/palisade-kills"
"""On the machine: the killer, its orders, and both generations' files."""

LOCKOUT, PATIENCE = 8, 25
"""Seconds that a change waits for its confirmation: one that cuts its own connection; any other, which a busy machine may take long to confirm."""

SCRIPT = f"/run/palisade/{NAME}.commit/commit"
MODULE = "=/usr/bin/python3|=/usr/bin/python3 -"
RESTORE = "-restore --noflush"
CONFIRM = f"^/bin/sh {SCRIPT} confirm"
KEEP = "=sh ./keep"
UNDO = f"^/bin/sh {SCRIPT} undo|^sh {SCRIPT} undo"
ROLLBACK = f"{UNDO}|^/bin/sh {SCRIPT} watch|=sh ./undo"
LOAD = f"^/bin/sh {LOADER} boot|^/bin/sh {LOADER} reload|^/bin/sh {LOADER} finish"
"""Patterns for the command lines of those that are killed, or that say that something begins (see killer.py)."""

VICTIMS = {
    "module": ("prepare", "apply"),
    "restore": ("apply", "rollback", "reload", "boot"),
    "script": ("confirm", "persist", "rollback"),
    "loader": ("reload", "boot"),
    "power": ("apply", "confirm", "persist", "rollback", "reload", "boot"),
}
"""Who is killed, and while what happens: iptables-restore wherever it runs, the scripts of commit by proof, the loader of persisted rules."""

CELLS = tuple((victim, phase) for victim, phases in VICTIMS.items() for phase in phases)
AT_BOOT = tuple(cell for cell in CELLS if cell[1] == "boot")
OTHERS = tuple(cell for cell in CELLS if cell[1] != "boot")
FOLLOWING = (("restore", "rollback"), ("script", "rollback"))
"""What may be killed after the module was that applied: the rollback that comes of it."""


class Kill(NamedTuple):
    """One kill, as it was drawn."""

    number: int
    victim: str
    phase: str
    triggers: tuple[str, ...]
    share: float
    """When: this part of the time that the phase takes where nobody is killed."""
    target: str
    which: str
    alone: bool
    """Whether the controller dies with it."""
    command: str
    """What has the loader run, in the phase `reload`."""


@dataclass
class Tally:
    """What came of it."""

    kills: Counter[tuple[str, str]] = field(default_factory=Counter)
    misses: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def hits(self) -> int:
        return sum(self.kills.values())

    def count(self, kill: Kill, *, hit: bool) -> None:
        (self.kills if hit else self.misses)[kill.victim, kill.phase] += 1

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.kills + other.kills, self.misses + other.misses, self.failures + other.failures, max(self.seconds, other.seconds))

    def table(self) -> str:
        """Return it for people, as a table in Markdown."""
        lines = ["| killed | while | kills | misses |", "| --- | --- | --- | --- |"]
        lines += [f"| {victim} | {phase} | {self.kills[victim, phase]} | {self.misses[victim, phase]} |" for victim, phase in CELLS]
        return "\n".join([*lines, f"| **all** | | **{self.hits}** | {sum(self.misses.values())} |"])


def drawn(seed: str, cells: Sequence[tuple[str, str]]) -> Iterator[Kill]:
    """Yield kills of these kinds without end: each once before any comes again, in an order and at moments that the seed decides."""
    chance = random.Random(f"{seed} {cells}")
    number = 0
    while True:
        deck = list(cells)
        chance.shuffle(deck)
        for victim, phase in deck:
            number += 1
            yield _draw(chance, number, victim, phase)


def _draw(chance: random.Random, number: int, victim: str, phase: str) -> Kill:
    begins = {
        "prepare": (MODULE,), "apply": (RESTORE,), "confirm": (CONFIRM,), "persist": (KEEP,), "rollback": (UNDO,), "reload": (LOAD,), "boot": (LOAD,),
    }
    begin: tuple[str, ...] = begins[phase]
    target = {
        "module": MODULE, "power": "power", "loader": LOAD, "restore": "trigger",
        "script": {"confirm": CONFIRM, "persist": f"{KEEP}|{CONFIRM}", "rollback": ROLLBACK}.get(phase, ""),
    }[victim]
    command = chance.choice([f"{LOADER} reload", f"systemctl reload {UNIT}", f"systemctl restart {UNIT}"])
    which = f"{chance.random():.3f}"
    if victim == "restore":  # the first family's or the second's
        begin = (*(begin if phase != "apply" else ()), *[RESTORE] * chance.choice([1, 2]))
    if victim == "loader" and (phase == "boot" or "systemctl" in command) and chance.random() < 0.4:
        which = "all"
    return Kill(number, victim, phase, begin, chance.uniform(0, 1.1), target, which, chance.random() < 0.5, command)


def tables(generation: str, *, lockout: bool = False) -> dict[str, dict[str, object]]:
    """Return a generation of the ruleset: chains, hooks, a policy and all rules are others than the other one's. lockout: nobody gets in by ssh."""
    mark = f'-m comment --comment "generation {generation}"'
    first = generation == "A"
    ports = range(2001, 2013) if first else range(3001, 3021)
    own = "ofa" if first else "ofb"
    cut = [f"-p tcp --dport 22 {mark} -j DROP"] if lockout else []
    passing = [f"-p udp --dport {port} {mark} -j ACCEPT" for port in ports]
    return {
        "filter": {
            "INPUT": [
                f"-m conntrack --ctstate ESTABLISHED {mark} -j ACCEPT", f"-p tcp --dport 22 {mark} -j ACCEPT",
                *[f"-p tcp --dport {port} {mark} -j ACCEPT" for port in ports], f"{mark} -j {own}",
            ],
            own: [f"-p udp --dport {port} {mark} -j DROP" for port in ports],
            **({} if first else {"FORWARD": [f"{mark} -j {own}"]}),
        },
        "nat": {"PREROUTING" if first else "POSTROUTING": [f"{mark} -j {own}"], own: [f"-p tcp --dport {port} {mark} -j RETURN" for port in ports]},
        "mangle": {
            "FORWARD" if first else "INPUT": {"policy": "DROP", "rules": [f"{mark} -j marks"]} if first else [f"{mark} -j marks"],
            "marks": [f"-p tcp --dport {port} {mark} -j MARK --set-mark {number}" for number, port in enumerate(ports, 1)],
        },
        "raw": {"PREROUTING": [*cut, *passing]} if cut or not first else {"OUTPUT": passing},
    }


LOOK = rf"""
for family in ip ip6; do echo "== $family"; ${{family}}tables-save; done
echo == end
for file in /etc/palisade/*; do
  sum=torn
  [ "$(sed '$d' "$file" | sha256sum)" != "$(sed -n '$s/^# end sha256 //p' "$file")  -" ] || sum=whole
  echo "file $file $sum $(stat -c %a "$file") $(grep -o 'generation [AB]' "$file" | sort -u | tr -d '\n')"
done
echo "unit $(systemctl is-active {UNIT})"
echo "states $(cd /run/palisade && ls -d *.applying {NAME}.commit/armed {NAME}.commit/confirmed {NAME}.commit/undoing 2>/dev/null | tr '\n' ' ')"
echo "boot $(cat /proc/sys/kernel/random/boot_id)"
"""

SETTLED = r"""
end=$(($(cut -d. -f1 /proc/uptime) + 90))
while [ "$(cut -d. -f1 /proc/uptime)" -lt $end ]; do
  if [ -z "$(ls -d /run/palisade/*.commit/armed /run/palisade/*.commit/undoing /run/palisade/*.commit/confirmed 2>/dev/null)" ] &&
    ! pgrep -f '[p]alisade-firewall (boot|reload|finish)|[c]ommit/commit |^/usr/bin/python3( -)?$|[-]restore --noflush' >/dev/null &&
    { [ ! -e /run/palisade/lock ] || flock -n /run/palisade/lock true; }; then break; fi
  sleep 0.3
done
"""


class Seen(NamedTuple):
    """A machine at one moment."""

    rules: dict[str, list[str]]
    """By family, table and chain: the policy of a hook, then the rules. What is empty and lets everything pass is left out."""
    files: dict[str, str]
    """By the file's name: whole or torn, its mode, its generations."""
    unit: str
    states: str
    boot: str

    @property
    def persisted(self) -> str:
        """The generation of the ruleset that the next boot loads."""
        return self.files.get(f"{NAME}.rules", "")[-1:]


def seen(text: str) -> Seen:
    """Return what LOOK has printed."""
    found: dict[str, list[str]] = {}
    facts: dict[str, str] = {}
    files: dict[str, str] = {}
    family = table = ""
    for line in text.splitlines():
        words = line.split()
        if line.startswith("== "):
            family = words[1]
        elif family == "end":
            if words[0] == "file":
                files[words[1].rpartition("/")[2]] = " ".join(words[2:])
            else:
                facts[words[0]] = " ".join(words[1:])
        elif line.startswith("*"):
            table = line[1:]
        elif line.startswith(":") and words[1] != "ACCEPT":
            found.setdefault(f"{family} {table} {words[0][1:]}", []).insert(0, words[1])
        elif line.startswith("-A "):
            found.setdefault(f"{family} {table} {words[1]}", []).append(" ".join(words[2:]))
    return Seen(found, files, facts["unit"], facts.get("states", ""), facts["boot"])


WAITS_AT_BOOT = f"""[Unit]
Description=Waits for the loader of persisted rules, to kill it
DefaultDependencies=no
After=local-fs.target
Before=palisade-firewall.service
ConditionPathExists={FOLDER}/order
[Service]
Type=forking
ExecStart=/usr/bin/python3 -ISE {FOLDER}/killer.py {FOLDER}/order behind
KillMode=none
[Install]
WantedBy=sysinit.target
"""

BACKUP = f"""
umask 077
mkdir -p /etc/palisade {FOLDER}/A {FOLDER}/B
[ ! -e /etc/modules-load.d/palisade-firewall.conf ] || cp -a /etc/modules-load.d/palisade-firewall.conf {FOLDER}/modules
"""

PUT_BACK = f"""
rm -f /etc/palisade/{NAME}.* /etc/palisade/.{NAME}.* /etc/systemd/system/palisade-kills.service /etc/systemd/system/*.wants/palisade-kills.service
[ ! -e {FOLDER}/modules ] || cp -a {FOLDER}/modules /etc/modules-load.d/palisade-firewall.conf
rm -rf {FOLDER}
sync
"""


LEGACY = "bookworm"
"""The release whose machine is on iptables' legacy backend, and is managed as root; the other's by somebody who may become root."""


def furnish(machine: vm.Machine) -> None:
    """Put onto a fresh machine what the role puts there, less the rules."""
    files = ROOT / "roles" / "firewall" / "files"
    for path, mode in ((LOADER, "755"), (f"/etc/systemd/system/{UNIT}", "644")):
        machine.check(f"printf %s {shlex.quote((files / path.rpartition('/')[2]).read_text())} >{path}; chmod {mode} {path}")
    if machine.release == LEGACY:
        machine.check("for each in iptables ip6tables; do update-alternatives --set $each /usr/sbin/$each-legacy; done")
    machine.check(f"systemctl daemon-reload; systemctl enable -q {UNIT}")


class KillError(Exception):
    """A machine is not as it has to be after a kill."""


class Subject:
    """One machine that is killed on. ansible: the program of that name."""

    def __init__(self, machine: vm.Machine, ansible: str, say: Callable[[str], None] = print) -> None:
        self.machine = machine
        self.user = "root" if machine.release == LEGACY else "admin"
        self.ansible = ansible
        self.say = say
        self.live = "A"
        self.references: dict[str, dict[str, list[str]]] = {}
        self.times: dict[str, float] = {}
        self.folder = Path(tempfile.mkdtemp(prefix="kills-"))
        self.story = "before the first kill"
        self._read = 0

    @contextlib.contextmanager
    def prepared(self, *, put_back: bool = True) -> Iterator[Subject]:
        """Give it ready to be killed on. put_back: and leave the machine as it was, up, after a power cut; one without other rules boots closed."""
        try:
            self._prepare()
            yield self
        finally:
            if put_back:
                self.machine.run(PUT_BACK)
                self._cut_and_boot()
            shutil.rmtree(self.folder)

    def _prepare(self) -> None:
        """Make both generations, remember what they look like, the files that they leave, and how long each phase takes."""
        self._do(BACKUP)
        self._put(Path(__file__).with_name("killer.py").read_text(), f"{FOLDER}/killer.py")
        self._put(WAITS_AT_BOOT, "/etc/systemd/system/palisade-kills.service")
        self._do("systemctl daemon-reload; systemctl enable -q palisade-kills.service")
        (self.folder / "hosts").write_text(
            f"{self.machine.name} ansible_user={self.user} ansible_become={self.user != 'root'} ansible_python_interpreter=/usr/bin/python3 "
            f"ansible_pipelining=true ansible_control_path_dir={self.folder}/cp ansible_ssh_common_args='-F {self.machine.folder}/ssh_config'\n"
        )
        for generation in ("A", "B"):
            with self._timed(generation == "B"):
                result = self._changed(self._change(generation))
            if result not in ("proved", "none"):
                raise KillError(f"{self.machine.name}: the change to {generation}, with nobody killed, is {result}")
            self.references[generation] = self.look().rules
            self._do(f"cp -a /etc/palisade/{NAME}.rules /etc/palisade/{NAME}.good {FOLDER}/{generation}/")
            self.live = generation
        self._persist("A")
        self._do(f"systemctl start {UNIT}")
        with self._timed(True):
            self._do(f"{LOADER} reload")
        self.times["rollback"] = 1.5 * self.times["load"]
        self.say(f"{self.machine.name}: " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in sorted(self.times.items())))
        self._check(self.look())

    # What happens

    def kill(self, kill: Kill, following: Kill | None = None) -> tuple[bool, bool]:
        """Carry out one that is not at boot, another one in the rollback that may come of it, and judge what is left.

        Returns which of them have hit. Raises KillError.
        """
        before, wanted = self.live, "B" if self.live == "A" else "A"
        reported = ""
        if kill.phase == "reload":
            what, words = self._at_reload(kill, wanted)
        else:
            what, words, reported = self._at_change(kill, wanted, following)
        died = ", the controller too" if what == "hit" and kill.alone and kill.phase != "reload" else ""
        self.story = f"{kill.phase} {kill.number}: {what} {kill.victim} {words}{died}"
        if what == "power":
            self.machine.wait()
        found = self.look(settled=what != "power")
        also = self._told(following, 0) if following is not None else ("", "")
        self.story += f"; {following.phase} {following.number}: {also[0]} {following.victim} {also[1]}" if following is not None else ""
        self._check(found)
        if reported in ("proved", "rolled_back") and self.live != {"proved": wanted, "rolled_back": before}[reported]:
            raise KillError(f"{self.story}: the task said {reported}, and the rules are of generation {self.live}")
        self.say(f"{self.machine.name}: {self.story}: {before} -> {self.live}{f', {reported[:300]}' if reported else ''}")
        return what != "miss", also[0] == "hit"

    def boot(self, kill: Kill | None) -> bool:
        """Cut the power, and judge what the next boot loads: it has to be what was live. `kill` is one that happens during that boot.

        Returns whether that hit. Raises KillError.
        """
        before, what, words = self.live, "", ""
        if kill is not None:
            self._order(kill)
            self._do("sync")
        self._power_cut()
        if kill is not None:
            what, words = self._told(kill, 180)
            self.story += f"; boot {kill.number}: {what} {kill.victim} {words}"
        if what == "power":
            self._power_cut()
        self.machine.wait()
        self._check(self.look())
        if self.live != before:
            raise KillError(f"{self.story}: {before} was live, and the next boot loaded {self.live}")
        if kill is not None:
            self.say(f"{self.machine.name}: boot {kill.number}: {what} {kill.victim} {words}: {self.live}")
        return what in ("hit", "power")

    def _at_reload(self, kill: Kill, wanted: str) -> tuple[str, str]:
        self._persist(wanted)
        self._start_killer(kill)
        self.machine.run(f"setsid {kill.command} >/dev/null 2>&1 &")
        what, words = self._told(kill, 60)
        if what == "power":
            self._power_cut()
        return what, words

    def _at_change(self, kill: Kill, wanted: str, following: Kill | None) -> tuple[str, str, str]:
        self._start_killer(kill, *([following] if following is not None else []))
        process = self._change(wanted, lockout=kill.phase == "rollback")
        what, words = self._told(kill, 120, lambda: process.poll() is None)
        if what == "power":
            self._power_cut()
        if what == "power" or (kill.alone and what == "hit"):
            with contextlib.suppress(ProcessLookupError):  # it may have come to its end by itself
                os.killpg(process.pid, signal.SIGKILL)
        return what, words, self._changed(process)

    def recover(self) -> None:
        """Begin anew with generation A, whatever there is."""
        self._cut_and_boot()
        self._persist("A")
        self._do("sync")
        self._cut_and_boot()
        self._check(self.look())

    # The pieces

    def _do(self, command: str) -> str:
        """Run a command as root and return what it prints. On a busy machine a connection that is kept may be lost: then by another one."""
        try:
            return self.machine.check(command)
        except (AssertionError, vm.NoAnswerError):
            self.machine.hang_up()
            return self.machine.check(command)

    def _change(self, generation: str, *, lockout: bool = False) -> subprocess.Popen[bytes]:
        """Begin to change to a generation, by Ansible."""
        options = {
            "name": NAME, "tables": tables(generation, lockout=lockout), "persist": True, "allow_lockout": lockout,
            "confirm_timeout": LOCKOUT if lockout else PATIENCE,
        }
        shutil.rmtree(self.folder / "results", ignore_errors=True)
        argv = [self.ansible, self.machine.name, "-i", str(self.folder / "hosts"), "-t", str(self.folder / "results"),
                "-m", "palisade.netfilter.iptables_ruleset", "-a", json.dumps(options)]
        env = environment(
            ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"), ANSIBLE_COLLECTIONS_PATH=str(ROOT / ".collections"), ANSIBLE_HOME=str(self.folder / "home")
        )
        with (self.folder / "ansible.log").open("wb") as log:
            return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, cwd=ROOT, start_new_session=True)

    def _changed(self, process: subprocess.Popen[bytes]) -> str:
        """Wait for its end and return what it says of the confirmation; nothing where it died."""
        try:
            process.wait(180)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return "no end"
        try:
            result = json.loads((self.folder / "results" / self.machine.name).read_text())
        except (OSError, ValueError):
            return "" if process.returncode < 0 else (self.folder / "ansible.log").read_text(errors="replace")[-2000:]
        return str(result.get("confirm", {}).get("state") or result.get("msg"))

    def _persist(self, generation: str) -> None:
        """Have the files of a generation in their place, as a change of that generation has left them: on the disk."""
        self._do(f"cp -a {FOLDER}/{generation}/{NAME}.* /etc/palisade/ && sync")

    def _order(self, *kills: Kill) -> None:
        self._put("".join(self._words(kill) for kill in kills), f"{FOLDER}/order")
        self._read = len(self._console())

    def _words(self, kill: Kill) -> str:
        phase = {"reload": "load", "boot": "load"}.get(kill.phase, kill.phase)
        delay = kill.share * self.times["restore" if kill.victim == "restore" else phase]
        triggers = "".join(f"trigger {trigger}\n" for trigger in kill.triggers)
        return f"label {self._label(kill)}\nseconds 100\n{triggers}delay {delay:.4f}\nvictim {kill.target}\nwhich {kill.which}\n"

    def _start_killer(self, *kills: Kill) -> None:
        self._order(*kills)
        self._do(f"python3 -ISE {FOLDER}/killer.py {FOLDER}/order behind >/dev/null 2>&1 </dev/null")

    def _told(self, kill: Kill, seconds: float, goes_on: Callable[[], bool] = lambda: True) -> tuple[str, str]:
        """Wait for what the killer says on the console: hit, miss or power, and of whom. No more where nothing goes on, shortly after."""
        end, ending = time.monotonic() + seconds, False
        while True:
            found = re.search(rf"^{re.escape(self._label(kill))} (hit|miss|power) ?(.*)$", self._console()[self._read :], re.MULTILINE)
            if found:
                return found[1], found[2].strip()
            if time.monotonic() > end:
                return "miss", "nothing was said of it"
            if not ending and not goes_on():
                end, ending = min(end, time.monotonic() + 2), True
            time.sleep(0.01)

    @staticmethod
    def _label(kill: Kill) -> str:
        return f"kill-{kill.phase}-{kill.number}"

    def _console(self) -> str:
        return self.machine.console().replace("\r", "")

    def _put(self, text: str, path: str) -> None:
        self._do(f"printf %s {shlex.quote(text)} >{path}")

    def _cut_and_boot(self) -> None:
        self._power_cut()
        self.machine.wait()

    def _power_cut(self) -> None:
        self._read = len(self._console())
        self.machine.reset()
        for path in (self.folder / "cp").glob("*"):
            subprocess.run([*self.machine.ssh_argv("-o", f"ControlPath={path}", "-O", "exit")], capture_output=True, check=False)

    def look(self, *, settled: bool = False) -> Seen:
        """Return what there is now, as a new connection sees it; settled: once nothing is going on and nothing waits any more."""
        end, script = time.monotonic() + 90, (SETTLED if settled else "") + LOOK
        while True:
            argv = [*self.machine.ssh_argv("-o", "ControlPath=none"), script]
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False, timeout=200)
            if done.returncode == 0:
                return seen(done.stdout)
            if time.monotonic() > end:
                raise KillError(f"{self.story}: ssh does not get in: {done.stderr[-500:]}")

    def _check(self, found: Seen) -> None:
        """Raise KillError unless all is of one generation, which then is `live`."""
        generations = [name for name, rules in self.references.items() if found.rules == rules]
        problems = [f"{name} is {text}" for name, text in found.files.items() if not text.startswith("whole 600")]
        problems += [f"{name} is of both generations" for name, text in found.files.items() if text.count("generation") > 1]
        problems += [f"the unit is {found.unit}"] if found.unit != "active" else []
        problems += [f"left behind: {found.states}"] if found.states else []
        problems += self._differences(found) if not generations else []
        if generations and generations != [found.persisted]:
            problems.append(f"live is generation {generations}, and {found.persisted} is persisted")
        if problems:
            raise KillError(f"{self.story}: " + "; ".join(problems))
        self.live = generations[0]

    def _differences(self, found: Seen) -> list[str]:
        """Return which chains are of which generation."""
        lines = []
        for place in sorted({*found.rules, *self.references["A"], *self.references["B"]}):
            of = [name for name, rules in self.references.items() if rules.get(place) == found.rules.get(place)]
            lines.append(f"{place}: {'either' if len(of) == 2 else of[0] if of else 'of none'}")
        return lines

    @contextlib.contextmanager
    def _timed(self, wanted: bool) -> Iterator[None]:
        """Note how long everything takes that happens meanwhile, where that is wanted."""
        if not wanted:
            yield
            return
        self._read = len(self._console())
        self._do(f"setsid python3 -ISE {FOLDER}/killer.py record {FOLDER}/record >/dev/null 2>&1 </dev/null & echo $! >{FOLDER}/recorder")
        end = time.monotonic() + 30
        while "record ready" not in self._console()[self._read :] and time.monotonic() < end:
            time.sleep(0.05)
        yield
        self.times.update(_times(self._do(f"kill $(cat {FOLDER}/recorder); cat {FOLDER}/record")))


def _times(record: str) -> dict[str, float]:
    """Return how long each phase took, from what the killer has written down."""
    running: dict[str, tuple[float, str]] = {}
    spans: dict[str, list[tuple[float, float]]] = {}
    for line in record.splitlines():
        when, pid, kind, *words = line.split(" ")
        command = " ".join(words)
        if kind == "exec":
            running[pid] = (float(when), command)
        elif pid in running:
            begin, command = running.pop(pid)
            for name, pattern in (("module", MODULE), ("restore", RESTORE), ("confirm", CONFIRM), ("keep", KEEP), ("load", LOAD)):
                if fits(pattern, command):
                    spans.setdefault(name, []).append((begin, float(when)))
    times = {name: max(end - begin for begin, end in found) for name, found in spans.items()}
    if "module" in spans and "restore" in spans:
        first = min(begin for begin, _end in spans["restore"])
        # The last one is the module; before it may come one that only asks.
        times["prepare"] = first - max(begin for begin, _end in spans["module"] if begin < first)
        times["apply"] = max(end for _begin, end in spans["module"]) - first
    if "keep" in spans and "confirm" in spans:
        times["persist"] = spans["confirm"][-1][1] - spans["keep"][0][0]
    return times


PROBLEMS = (KillError, vm.NoAnswerError, SetupError, AssertionError, subprocess.SubprocessError, OSError)


def campaign(subject: Subject, seed: str, count: int, *, seconds: float = float("inf")) -> Tally:
    """Kill until `count` kills have hit, or so much time is over and one has. What misses does not count.

    After each kill comes a power cut and a boot, which has a kill of its own. A machine that is not as it has to be is a failure, and begins anew.
    """
    tally, begin = Tally(), time.monotonic()
    kills, rollbacks, boots = (drawn(seed, cells) for cells in (OTHERS, FOLLOWING, AT_BOOT))
    while tally.hits < count and (time.monotonic() - begin < seconds or not tally.hits):
        doing = [next(kills)]
        try:
            following = next(rollbacks) if (doing[0].victim, doing[0].phase) == ("module", "apply") else None
            hit, also = subject.kill(doing[0], following)
            tally.count(doing[0], hit=hit)
            if following is not None and (also or hit):
                tally.count(following, hit=also)
            if not hit or doing[0].victim == "power":  # that was a boot
                continue
            doing = [next(boots)] if tally.hits < count else []
            hit = subject.boot(doing[0] if doing else None)
            if doing:
                tally.count(doing[0], hit=hit)
        except PROBLEMS as error:
            if doing:
                tally.count(doing[0], hit=True)
            tally.failures.append(f"{subject.machine.name}: {error}")
            subject.say(f"{subject.machine.name}: FAILED: {doing}: {error}")
            try:
                subject.recover()
            except PROBLEMS as worse:
                tally.failures.append(f"{subject.machine.name}: cannot go on: {worse}")
                break
    tally.seconds = time.monotonic() - begin
    return tally
