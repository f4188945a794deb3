# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual test machines: a kernel of their own, a wire into a network namespace of this machine, ssh. Emulated, so it works anywhere.

A machine lives until `stop`, whoever started it; what is known of it is in its folder, so that any process can go on with it. Needs root.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Callable, Sequence

from . import machine
from .shell import CACHE, INSTANCE, LOGS, ROOT, SetupError, as_root, environment, output, run

FOLDER = CACHE / "vm"
GOOD_QEMU = 10
"""Debian 12's 7.2 crashes the kernel of Debian 13 when it emulates the processor; 10.0 was never seen to."""

RELEASES = {"bookworm": 12, "trixie": 13}
"""The Debian releases, each with the last part of its machine's addresses on the wires: `192.0.2.12`, `2001:db8:2::12`."""

NEIGHBOUR = ("192.0.2.1/24", "2001:db8:2::1/64")
"""This end of a machine's first wire, `wire0`."""

SECOND_NEIGHBOUR = ("198.51.100.1/24", "2001:db8:51::1/64")
"""This end of its second one, `wire1`, which the machine leaves alone: eth1 is down and without an address there."""

PACKAGES = ["mmdebstrap", "debian-archive-keyring", "e2fsprogs", "openssh-client", "iproute2"]
COMMAND_LINE = "root=/dev/vda rw console=ttyS0 net.ifnames=0 quiet mitigations=off panic=0 systemd.show_status=no"
MEMORY = "640M"

WIRES = """
ip netns add {namespace}
ip -n {namespace} link set lo up
for wire in wire0 wire1; do
  ip -n {namespace} tuntap add $wire mode tap
  ip netns exec {namespace} sysctl -q -w net.ipv6.conf.$wire.keep_addr_on_down=1 net.ipv6.conf.$wire.accept_dad=0
  ip -n {namespace} link set $wire up
done
"""


def ensure(releases: Sequence[str], log: IO[str]) -> None:
    """Make sure of an emulator and of the disks of these releases: what is missing is made, two things at a time."""
    machine.install_packages(PACKAGES, log)
    FOLDER.mkdir(parents=True, exist_ok=True)
    wanted = [["build-vm", release, str(_image(release))] for release in releases]
    if _installed_qemu() is None:
        wanted.append(["qemu", str(FOLDER / "qemu")])
    with ThreadPoolExecutor(max_workers=2) as pool:
        for (script, *arguments), good in zip(wanted, pool.map(_made, wanted)):
            own = _log(arguments)
            log.write(own.read_text(errors="replace"))
            if not good:
                raise SetupError(f"tests/images/{script} {' '.join(arguments)} failed, see {own}")


def _made(words: Sequence[str]) -> bool:
    script, *arguments = words
    env = environment()
    with _log(arguments).open("w") as log:
        return run(as_root([str(ROOT / "tests" / "images" / script), *arguments], env), log, env=env) == 0


def _log(arguments: Sequence[str]) -> Path:
    return LOGS / f"vm-{Path(arguments[-1]).name}.log"


def _image(release: str) -> Path:
    return FOLDER / "images" / release


def _installed_qemu() -> str | None:
    """Return this machine's own qemu if it is good enough."""
    found = re.search(r"version (\d+)", output(["qemu-system-x86_64", "--version"]) or "")
    return shutil.which("qemu-system-x86_64") if found and int(found.group(1)) >= GOOD_QEMU and shutil.which("qemu-img") else None


def _qemu(program: str) -> list[str]:
    """Return the command of one of qemu's programs: this machine's, or the unpacked one with the libraries that came along."""
    if _installed_qemu() is not None:
        return [program]
    libraries = FOLDER / "qemu" / "usr" / "lib" / "x86_64-linux-gnu"
    return [str(FOLDER / "qemu/usr/lib64/ld-linux-x86-64.so.2"), "--library-path", str(libraries), str(FOLDER / "qemu/usr/bin" / program)]


def _qemu_firmware() -> list[str]:
    if _installed_qemu() is not None:
        return []
    return [word for name in ("seabios", "qemu") for word in ("-L", str(FOLDER / "qemu/usr/share" / name))]


class NoAnswerError(Exception):
    """The machine did not answer in time, or does not run."""


@dataclass(frozen=True)
class Machine:
    """One virtual machine. Every method finds it by its name; nothing is held in this object."""

    name: str
    release: str

    @property
    def folder(self) -> Path:
        return FOLDER / "run" / self.name

    @property
    def namespace(self) -> str:
        """The network namespace at the other end of its wires, where its neighbour lives."""
        return f"palisade-{INSTANCE}-{self.name}"

    @property
    def address(self) -> str:
        return f"192.0.2.{RELEASES[self.release]}"

    @property
    def address6(self) -> str:
        return f"2001:db8:2::{RELEASES[self.release]}"

    # Its life

    def start(self, *, parameters: str = "") -> None:
        """Switch it on with a fresh disk, and with these parameters behind the kernel's own. Does not wait for it."""
        self.stop()
        self.folder.mkdir(parents=True)
        _call([*_qemu("qemu-img"), "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(_image(self.release) / "disk.img"), str(self._disk)])
        (self.folder / "release").write_text(self.release)
        (self.folder / "ssh_config").write_text(self._ssh_config())
        _call(["sh", "-euc", WIRES.format(namespace=self.namespace)])
        self.in_namespace("sh", "-euc", "".join(
            f"ip address add {address} dev {wire} nodad\n"
            for wire, addresses in (("wire0", NEIGHBOUR), ("wire1", SECOND_NEIGHBOUR)) for address in addresses
        ))
        self.power_on(parameters=parameters)

    def power_on(self, *, parameters: str = "") -> None:
        """Switch it on with the disk that it had."""
        image = _image(self.release)
        argv = [
            *_qemu("qemu-system-x86_64"), *_qemu_firmware(), "-name", self.namespace, "-nodefaults", "-no-user-config", "-display", "none",
            "-accel", "tcg", "-cpu", "max", "-m", MEMORY, "-daemonize", "-pidfile", "pid",
            "-kernel", str(image / "vmlinuz"), "-initrd", str(image / "initrd"), "-append", f"{COMMAND_LINE} {parameters}".strip(),
            "-drive", f"file={self._disk},format=qcow2,cache=unsafe,if=none,id=disk", "-device", "virtio-blk-pci,drive=disk",
            "-device", "virtio-rng-pci", "-chardev", "file,id=console,path=console,append=on", "-serial", "chardev:console",
            "-qmp", "unix:qmp,server=on,wait=off",
        ]
        for number in (0, 1):
            mac = f"52:54:00:00:0{number}:{RELEASES[self.release]}"
            argv += ["-netdev", f"tap,id=wire{number},ifname=wire{number},script=no,downscript=no"]
            argv += ["-device", f"virtio-net-pci,netdev=wire{number},mac={mac},romfile="]
        with (self.folder / "qemu.log").open("a") as log:
            status = run(["ip", "netns", "exec", self.namespace, *argv], log, cwd=self.folder)
        if status != 0:
            raise NoAnswerError(f"{self.name}: qemu did not start, see {self.folder / 'qemu.log'}")

    def power_off(self) -> None:
        """Pull the plug. The disk stays."""
        pid = self.pid
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            _until(lambda: self.pid is None, 10, f"{self.name}: qemu does not end")

    def stop(self) -> None:
        """Pull the plug and leave nothing behind."""
        self.power_off()
        self.hang_up()
        if Path("/run/netns", self.namespace).exists():
            _call(["ip", "netns", "del", self.namespace])
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def pid(self) -> int | None:
        """The process id of its qemu, if that runs."""
        try:
            pid = int((self.folder / "pid").read_text())
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        return pid if self.namespace.encode() in words else None

    @property
    def _disk(self) -> Path:
        return self.folder / "disk.qcow2"

    # What is done to it from outside

    def reset(self) -> None:
        """Press the reset button: no program on the machine gets to do anything more, what it had not yet written is lost."""
        self.hang_up()
        self.qmp("system_reset")

    def cut(self) -> None:
        """Cut its first wire, as nobody on it would notice at once: nothing goes through, and no carrier is lost."""
        self.in_namespace("ip", "link", "set", "wire0", "down")

    def mend(self) -> None:
        """Mend the wire."""
        self.in_namespace("ip", "link", "set", "wire0", "up")

    def qmp(self, command: str, **arguments: object) -> Any:
        """Give qemu an order (see qemu's QMP reference) and return its answer."""
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(60)
                connection.connect(f"/proc/self/fd/{folder}/qmp")  # the folder's own name may be too long for an address
                with connection.makefile("rw") as talk:
                    talk.readline()
                    _order(talk, "qmp_capabilities", {})
                    return _order(talk, command, arguments)
        except OSError as error:
            raise NoAnswerError(f"{self.name}: qemu does not answer: {error}") from error
        finally:
            os.close(folder)

    def console(self) -> str:
        """Return all that the kernel has written to the serial console."""
        return (self.folder / "console").read_text(errors="replace")

    def in_namespace(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command as the machine's neighbour does: at the other end of its wires."""
        return _call(["ip", "netns", "exec", self.namespace, *command], check=check)

    # What is done on it

    def ssh_argv(self, *options: str, user: str = "root") -> list[str]:
        """Return an ssh command for it, less the command to run there."""
        return ["ssh", "-F", str(self.folder / "ssh_config"), "-l", user, *options, self.name]

    def run(self, command: str, *, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a shell command as root, over one connection that is kept, and return how it went."""
        keep = ["-o", "ControlMaster=auto", "-o", "ControlPersist=yes", "-o", f"ControlPath={self._kept}"]
        return self._ssh([*self.ssh_argv(*keep), command], seconds)

    def check(self, command: str, *, seconds: float = 60) -> str:
        """Run a shell command as root and return what it prints; fail if it does."""
        done = self.run(command, seconds=seconds)
        assert done.returncode == 0, f"{self.name}: {command}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def answers(self, seconds: float = 5) -> bool:
        """Tell whether a new ssh connection gets in."""
        with contextlib.suppress(NoAnswerError):
            return self._ssh([*self.ssh_argv("-o", "ControlPath=none", "-o", f"ConnectTimeout={round(seconds)}"), "true"], seconds).returncode == 0
        return False

    def hang_up(self) -> None:
        """End the connection that is kept."""
        if Path(self._kept).exists():
            _call([*self.ssh_argv("-o", f"ControlPath={self._kept}", "-O", "exit")], check=False)

    def boot_id(self) -> str:
        """Return what tells this boot from the others."""
        return self.check("cat /proc/sys/kernel/random/boot_id")

    def wait(self, seconds: float = 180, *, other_than: str = "") -> None:
        """Wait until it is up, with another boot id than the one given, and all that it starts is started."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(NoAnswerError):
                argv = self.ssh_argv("-o", "ControlPath=none", "-o", f"ProxyCommand={self._dial(end - time.monotonic())}")
                done = self._ssh([*argv, "cat /proc/sys/kernel/random/boot_id; systemctl is-system-running --wait"], end - time.monotonic())
                if len(done.stdout.split()) == 2 and done.stdout.split()[0] != other_than:
                    return
                time.sleep(0.3)
        raise NoAnswerError(f"{self.name} is not up after {seconds:.0f} s; its console ends with:\n{self.console()[-2000:]}")

    def reboot(self, *, seconds: float = 180) -> None:
        """Have it reboot in an orderly way, and wait until it is up again."""
        before = self.boot_id()
        self.run("systemctl reboot")
        self.hang_up()
        self.wait(seconds, other_than=before)

    def _ssh(self, argv: Sequence[str], seconds: float) -> subprocess.CompletedProcess[str]:
        try:
            return _call(argv, check=False, seconds=seconds)
        except subprocess.TimeoutExpired as error:
            raise NoAnswerError(f"{self.name}: no end after {seconds:.0f} s: {argv[-1]}") from error

    @property
    def _kept(self) -> str:
        return f"/run/{self.namespace}"

    def _dial(self, seconds: float) -> str:
        return f"{sys.executable} -ISE {Path(__file__).with_name('dial.py')} {self.namespace} %h %p {seconds:.0f}"

    def _ssh_config(self) -> str:
        image = _image(self.release)
        return "".join(f"{line}\n" for line in (
            "Host *", f"HostName {self.address}", "User root", f"IdentityFile {image / 'key'}", "IdentitiesOnly yes", "BatchMode yes",
            f"UserKnownHostsFile {image / 'known_hosts'}", "StrictHostKeyChecking yes", "LogLevel ERROR", "ConnectTimeout 20",
            "ServerAliveInterval 10", f"ProxyCommand {self._dial(20)}", "ProxyUseFdpass yes",
        ))


def named(name: str) -> Machine:
    """Return the machine of this name that was started, by whomever."""
    try:
        return Machine(name, (FOLDER / "run" / name / "release").read_text())
    except OSError:
        raise SetupError(f"there is no virtual machine {name}") from None


def started() -> list[Machine]:
    """Return the machines of this checkout that were started."""
    return [named(path.parent.name) for path in sorted(FOLDER.glob("run/*/release"))]


def _call(argv: Sequence[str], *, check: bool = True, seconds: float = 60) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        list(argv), stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", env=environment(), check=False, timeout=seconds
    )
    if check and done.returncode != 0:
        raise SetupError(f"{' '.join(argv)[:300]}: {done.stderr.strip()}")
    return done


def _order(talk: IO[str], command: str, arguments: dict[str, object]) -> Any:
    talk.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
    talk.flush()
    for line in talk:
        answer = json.loads(line)
        if "error" in answer:
            raise SetupError(f"qemu: {command}: {answer['error']['desc']}")
        if "return" in answer:
            return answer["return"]
    raise NoAnswerError(f"qemu ended at {command}")


def _until(holds: Callable[[], bool], seconds: float, otherwise: str) -> None:
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise NoAnswerError(otherwise)
        time.sleep(0.05)
