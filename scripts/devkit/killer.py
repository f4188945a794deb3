# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kills one process of a test machine at a moment that was drawn before. Runs there, started by kills.py: killer.py ORDER [behind], or record FILE

It hears of every program that starts from the kernel's process events, so it neither looks about all the time, which would slow down what it waits
for, nor comes too late. What it has done goes to the serial console, which no rule and no power cut can take away.
`behind` has it end as soon as it listens, with a child that goes on. ORDER is a file of lines:

    label   what the reports begin with. Each such line begins another kill, for when the one before has hit
    seconds for how long to wait
    trigger a pattern for a command line; several such lines are waited for one after the other
    delay   seconds from the last trigger to the kill
    victim  `trigger` (the process that the last one has found), `power` (nobody: whoever reads the console cuts it), or a pattern
    which   of several victims: from 0 (the first) to 1 (the last), or `all`

A pattern is texts with `|` between them, one of which the command line has to be (`=TEXT`), to begin with (`^TEXT`) or to have in it.

Nothing is imported that is not built into Python, whose start takes long enough on an emulated processor.
"""

from __future__ import annotations

import _socket
import _struct
import posix
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    Event = tuple[int, int, int]
    Order = dict[str, list[str]]

CONSOLE = "/dev/ttyS0"
CONNECTOR, EVENTS, LISTEN = 11, 1, 1
EXEC, EXIT = 2, 0x80000000
KILLED = 9


def listen() -> _socket.socket:
    """Return a socket on which the kernel tells of processes."""
    events = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_DGRAM, CONNECTOR)
    events.setsockopt(_socket.SOL_SOCKET, 33, 1 << 22)  # SO_RCVBUFFORCE
    events.bind((0, EVENTS))
    message = _struct.pack("=IIIIHHI", EVENTS, 1, 0, 0, 4, 0, LISTEN)
    events.send(_struct.pack("=IHHII", 16 + len(message), 3, 0, 0, 0) + message)
    return events


def following(events: _socket.socket, end: float) -> Event | None:
    """Return the next start or end of a process, (kind, pid, status), or None when the time is over."""
    while True:
        left = end - time.monotonic()
        if left <= 0:
            return None
        events.settimeout(left)
        try:
            data = events.recv(4096)
        except TimeoutError:
            return None
        kind, = _struct.unpack_from("=I", data, 36)
        pid, tgid = _struct.unpack_from("=II", data, 52)
        if pid == tgid and kind in (EXEC, EXIT):
            return kind, pid, _struct.unpack_from("=I", data, 60)[0] if kind == EXIT else 0


def words_of(pid: int) -> str:
    """Return a process's command line, '' if it has ended."""
    try:
        file = posix.open("/proc/%d/cmdline" % pid, posix.O_RDONLY)
        try:
            return " ".join(posix.read(file, 4096).decode("utf-8", "replace").replace("\0", " ").split())
        finally:
            posix.close(file)
    except OSError:
        return ""


def say(*words: str) -> None:
    line = (" ".join(words) + "\n").encode()
    console = posix.open(CONSOLE, posix.O_WRONLY | posix.O_NOCTTY)
    posix.write(console, b"\n" + line)
    posix.close(console)


def fits(pattern: str, line: str) -> bool:
    """Tell whether a command line is as a pattern says."""
    texts = pattern.split("|")
    return f"={line}" in texts or any(line.startswith(text[1:]) if text[0] == "^" else text in line for text in texts)


def processes(pattern: str) -> list[int]:
    """Return the processes, in the order in which they were started, whose command lines match."""
    pids = sorted(int(name) for name in posix.listdir("/proc") if name.isdigit())
    return [pid for pid in pids if pid != posix.getpid() and fits(pattern, words_of(pid))]


def kill(events: _socket.socket, order: Order) -> bool:
    """Carry an order out, and tell whether somebody was killed."""
    end = time.monotonic() + float(order["seconds"][0])
    label, victim = order["label"][0], order["victim"][0]
    pid = 0
    for trigger in order["trigger"]:
        pid = started(events, end, trigger)
        if not pid:
            say(label, "miss", "nothing was started that looks like", trigger)
            return False
    time.sleep(float(order["delay"][0]))
    if victim == "power":
        say(label, "power")
        return False
    pids = [pid] if victim == "trigger" else processes(victim)
    if order["which"][0] != "all":
        pids = pids[int(float(order["which"][0]) * len(pids)) :][:1]
    lines = {pid: words_of(pid) for pid in pids}
    for pid in pids:
        try:  # noqa: SIM105 - contextlib is not there at once
            posix.kill(pid, 9)
        except OSError:  # it has ended
            pass
    hit = [lines[pid] for pid in died(events, time.monotonic() + 5, set(pids))]
    say(label, "hit" if hit else "miss", " + ".join(hit) or "it had ended already")
    return bool(hit)


def started(events: _socket.socket, end: float, pattern: str) -> int:
    """Return the next process that starts with such a command line; 0 if none does in time."""
    while True:
        event = following(events, end)
        if event is None:
            return 0
        kind, pid, _status = event
        if kind == EXEC and pid != posix.getpid() and fits(pattern, words_of(pid)):
            return pid


def died(events: _socket.socket, end: float, waiting: set[int]) -> list[int]:
    """Return which of these processes came to their end by our signal."""
    found = []
    while waiting:
        event = following(events, end)
        if event is None:
            break
        kind, pid, status = event
        if kind == EXIT and pid in waiting:
            waiting.discard(pid)
            found += [pid] if status & 0x7F == KILLED else []
    return found


def record(path: str) -> None:
    """Write down when programs start and end, until somebody ends us."""
    events = listen()
    file = posix.open(path, posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC, 0o600)
    say("record", "ready")
    while True:
        event = following(events, time.monotonic() + 3600)
        kind, pid, _status = event or (0, 0, 0)
        line = words_of(pid) if kind == EXEC else ""
        posix.write(file, ("%.3f %d %s %s\n" % (time.monotonic(), pid, "exec" if kind == EXEC else "exit", line)).encode())


def main() -> None:
    if sys.argv[1] == "record":
        record(sys.argv[2])
    file = posix.open(sys.argv[1], posix.O_RDONLY)
    text = posix.read(file, 65536).decode()
    posix.close(file)
    orders: list[Order] = []
    for line in text.splitlines():
        name, _space, value = line.partition(" ")
        if name == "label":
            orders.append({})
        orders[-1].setdefault(name, []).append(value)
    # Once, and also where the power goes in a moment.
    posix.unlink(sys.argv[1])
    folder = posix.open(sys.argv[1].rpartition("/")[0], posix.O_RDONLY)
    posix.fsync(folder)
    posix.close(folder)
    events = listen()
    say(orders[0]["label"][0], "ready")
    if "behind" in sys.argv[2:] and posix.fork():
        return
    for order in orders:
        if not kill(events, order):
            break


if __name__ == "__main__":
    main()
