# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command lines: ``test [GROUP ...]``, ``demo [INVENTORY ...]``, ``image [SUITE ...]``, ``vm ACTION``, ``kills``, ``venv``."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import IO

from . import demo, engine, groups, kills, report, venvs, vm
from .report import GroupReport, NotRun, Outcome
from .shell import CACHE, LOGS, SetupError, failed_commands, say, stop_all

LANES = 2
"""Groups that run at the same time."""

TAIL = 40
"""Lines of the log that are shown of each command that failed."""


def main() -> int:
    """Run one command."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    arguments = _arguments()
    LOGS.mkdir(parents=True, exist_ok=True)
    try:
        return {"test": _test, "demo": _demo, "image": _image, "vm": _vm, "kills": _kills, "venv": _venv}[arguments.command](arguments)
    except (SetupError, vm.NoAnswerError) as error:
        say(str(error))
        return 1


def _end(number: int, frame: object) -> None:
    """Stop as soon as what runs has ended; what was started for it (containers, dockerd) is put away on the way out."""
    stop_all()
    sys.exit(128 + number)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="devkit", description="Tests of palisade.netfilter and what they need.")
    commands = parser.add_subparsers(dest="command", required=True)
    test = commands.add_parser("test", help="run the groups of tests named, or all", prog="scripts/test")
    test.add_argument("groups", nargs="*", metavar="GROUP", choices=[[], *groups.GROUPS], help=", ".join(groups.GROUPS))
    show = commands.add_parser("demo", help="show the main job on a throwaway host, or do it on your own", prog="scripts/demo",
                               description="Show the main job on a throwaway host in this machine's namespaces. With an inventory: apply "
                                           "playbooks/site.yml to its hosts, with --diff.")
    show.add_argument("inventory", nargs="?", help="apply the playbook site to the hosts of this inventory; with --check, change nothing")
    show.add_argument("options", nargs=argparse.REMAINDER, metavar="OPTION", help="for ansible-playbook, such as --limit HOST or -K")
    image = commands.add_parser("image", help="build the images of the test machines")
    image.add_argument("suites", nargs="*", default=groups.SUITES, metavar="SUITE", help=f"a Debian release (default: {', '.join(groups.SUITES)})")
    _vm_arguments(commands.add_parser("vm", help="virtual test machines: start, stop, list, and a shell on one"))
    killing = commands.add_parser("kills", help="random kills on virtual machines, while rules change, are confirmed, taken back and loaded")
    killing.add_argument("--seed", default=time.strftime("%Y-%m-%d"), help="decides what is killed and when (default: the date)")
    killing.add_argument("--count", type=int, default=100, help="kills that have to hit, in all (default: 100)")
    killing.add_argument("--minutes", type=float, default=float("inf"), help="after which no other kill begins")
    killing.add_argument("--machines", nargs="+", default=[*vm.RELEASES], choices=[*vm.RELEASES], metavar="RELEASE",
                         help=f"Debian releases, which run side by side (default: {' '.join(vm.RELEASES)})")
    commands.add_parser("venv", help="make the virtual environment of the tools and print where it is")
    return parser.parse_args()


def _vm_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True)
    start = actions.add_parser("start", help="switch machines on with a fresh disk, and wait until they are up")
    start.add_argument("names", nargs="+", metavar="NAME", help="a Debian release, or NAME=RELEASE for another machine of it")
    start.add_argument("--parameters", default="", help="for the kernel, such as ipv6.disable=1")
    stop = actions.add_parser("stop", help="pull the plug and leave nothing behind; all machines of this checkout if none is named")
    stop.add_argument("names", nargs="*", metavar="NAME")
    shell = actions.add_parser("ssh", help="log in as root, or run a command there")
    shell.add_argument("name", metavar="NAME")
    shell.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND")
    actions.add_parser("list", help="the machines of this checkout that were started")


def _test(arguments: argparse.Namespace) -> int:
    chosen = [name for name in groups.GROUPS if not arguments.groups or name in arguments.groups]
    say(f"running {', '.join(chosen)}; logs in {LOGS.relative_to(CACHE.parent)}")
    reports = []
    with engine.ended_afterwards(), ThreadPoolExecutor(max_workers=LANES) as pool:
        for done in as_completed([pool.submit(_run_group, name) for name in chosen]):
            reports.append(done.result())
            _tell(reports[-1])
    strict = os.environ.get("CI", "").lower() in ("1", "true", "yes")
    lines, good = report.summary(reports, strict=strict)
    say("\n".join(lines))
    return 0 if good else 1


def _demo(arguments: argparse.Namespace) -> int:
    return demo.run([arguments.inventory, *arguments.options] if arguments.inventory else [])


def _run_group(name: str) -> GroupReport:
    begin = time.monotonic()
    path = LOGS / f"{name}.log"
    with path.open("w") as log:
        outcome = _outcome(name, log)
    return GroupReport(name, outcome, time.monotonic() - begin, path)


def _outcome(name: str, log: IO[str]) -> Outcome:
    try:
        return groups.GROUPS[name](log)
    except SetupError as error:
        log.write(f"{error}\n")
        return Outcome(not_run=(NotRun(name, str(error)),))
    except Exception as error:  # the other groups still have something to tell
        log.write(traceback.format_exc())
        return Outcome(failures=(f"{name}: {error!r}",))


def _tell(done: GroupReport) -> None:
    say(done.line())
    if done.outcome.failures:
        text = done.log.read_text(errors="replace")
        lines = failed_commands(text, TAIL) or text.splitlines()[-TAIL:]
        say("\n".join(f"  | {line}" for line in lines))


def _image(arguments: argparse.Namespace) -> int:
    with (LOGS / "image.log").open("w") as log, engine.ended_afterwards():
        engine.ensure(log)
        say("\n".join(groups.test_images(arguments.suites, log)))
    return 0


def _vm(arguments: argparse.Namespace) -> int:
    if os.geteuid() != 0:
        raise SetupError("virtual machines take root: their wires are network interfaces")
    return {"start": _vm_start, "stop": _vm_stop, "ssh": _vm_ssh, "list": _vm_list}[arguments.action](arguments)


def _vm_start(arguments: argparse.Namespace) -> int:
    machines = [vm.Machine(name, release or name) for name, _equals, release in (word.partition("=") for word in arguments.names)]
    with (LOGS / "vm-start.log").open("w") as log:
        vm.ensure(sorted({one.release for one in machines}), log)
    for one in machines:
        one.start(parameters=arguments.parameters)
    for one in machines:
        one.wait()
        say(f"{one.name} is up: ssh -F {one.folder / 'ssh_config'} {one.name}")
    return 0


def _vm_stop(arguments: argparse.Namespace) -> int:
    for one in [vm.Machine(name, name) for name in arguments.names] or vm.started():
        one.stop()
    return 0


def _vm_ssh(arguments: argparse.Namespace) -> int:
    argv = vm.named(arguments.name).ssh_argv(*([] if arguments.words else ["-t"]))
    os.execvp(argv[0], [*argv, *arguments.words])


def _vm_list(arguments: argparse.Namespace) -> int:
    for one in vm.started():
        say(f"{one.name}: Debian's {one.release}, {'runs' if one.pid else 'is switched off'}, console in {one.folder / 'console'}")
    return 0


def _kills(arguments: argparse.Namespace) -> int:
    if os.geteuid() != 0:
        raise SetupError("virtual machines take root: their wires are network interfaces")
    with (LOGS / "kills.log").open("w") as log:
        vm.ensure(arguments.machines, log)
        ansible = str(venvs.ansible(log) / "bin" / "ansible")
    machines = [vm.Machine(f"kills-{release}", release) for release in arguments.machines]
    share = -(-arguments.count // len(machines))

    def killed(machine: vm.Machine) -> kills.Tally:
        try:
            machine.start()
            machine.wait()
            kills.furnish(machine)
            with kills.Subject(machine, ansible, say).prepared(put_back=False) as subject:
                return kills.campaign(subject, f"{arguments.seed} {machine.release}", share, seconds=60 * arguments.minutes)
        finally:
            machine.stop()

    with ThreadPoolExecutor(len(machines)) as pool:
        tally = sum(pool.map(killed, machines), kills.Tally())
    say(f"seed {arguments.seed}, {', '.join(arguments.machines)}, {tally.seconds / 60:.0f} minutes\n\n{tally.table()}\n")
    say("\n".join(["failures:", *tally.failures]) if tally.failures else "no failure")
    return 1 if tally.failures else 0


def _venv(arguments: argparse.Namespace) -> int:
    with (LOGS / "venv.log").open("w") as log:
        say(str(venvs.tools(log)))
    return 0


sys.exit(main())
