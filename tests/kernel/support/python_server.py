# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An interpreter that has loaded what modules load, and runs Python programs in forks of itself, each in a host's namespaces. No test logic here.

Argument: the directory that holds ansible_collections/. Standard input: a socket of requests, see `forked.py`, which asks. It ends with its asker.
"""
from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

PACKAGE = "ansible_collections.palisade.netfilter.plugins.module_utils"
#: What the programs of the tests use. Where a program gives up root, it could not read these any more.
PROGRAMS = ("ansible.module_utils.basic", "encodings.idna", "concurrent.futures.thread", "ipaddress", "select", "subprocess", "threading")
LARGEST = 1 << 18
_CLONE_NEWNS, _CLONE_NEWNET = 0x00020000, 0x40000000


def main() -> None:
    collections = Path(sys.argv[1])
    sys.path.insert(0, str(collections))
    for name in PROGRAMS:
        importlib.import_module(name)
    for path in sorted((collections / "ansible_collections/palisade/netfilter/plugins/module_utils").glob("_*.py")):
        if path.stem != "__init__":
            importlib.import_module(f"{PACKAGE}.{path.stem}")
    # What is there by now is never looked through for garbage again, nor copied for that in a fork.
    gc.collect()
    gc.freeze()
    program = serve(socket.socket(fileno=os.dup(0)), ctypes.CDLL(None, use_errno=True))
    if program is not None:
        os._exit(ended(program))


def ended(program: Callable[[], None]) -> int:
    """Run a program and what it has left for its end, and return its exit status. To take apart all that was loaded is longer than most programs."""
    status = 0
    try:
        program()
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    for thread in threading.enumerate():
        if thread is not threading.main_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return status


def serve(requests: socket.socket, libc: ctypes.CDLL) -> Callable[[], None] | None:
    """Fork for each request. Return in the forks alone, each with the program that it is to run, and when nobody asks any more."""
    while True:
        # Who waits for a program is its own parent, and nobody waits for that one.
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        message, descriptors, _flags, _address = socket.recv_fds(requests, LARGEST, 4)
        if not message:
            return None
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            requests.close()
            return fork(json.loads(message), descriptors, libc)
        for descriptor in descriptors:
            os.close(descriptor)


def fork(request: dict[str, Any], descriptors: list[int], libc: ctypes.CDLL) -> Callable[[], None]:
    """Fork once more: here the program, and its parent, which tells the program's number and then how it ended."""
    *streams, told = descriptors
    program = os.fork()
    if program != 0:
        for descriptor in (0, 1, 2, *streams):
            os.close(descriptor)
        os.write(told, b"%d\n" % program)
        os.write(told, b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(program, 0)[1]))
        os._exit(0)
    os.close(told)
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    namespaces = [os.open(f"/proc/{request['host']}/ns/{name}", os.O_RDONLY) for name in ("net", "mnt")]
    for namespace, kind in zip(namespaces, (_CLONE_NEWNET, _CLONE_NEWNS), strict=True):
        if libc.setns(namespace, kind) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        os.close(namespace)
    return lambda: run(request["argv"])


def run(argv: list[str]) -> None:
    """Do as `python` does with these arguments: -c and a program, or a program's file, and what is for the program itself."""
    if argv[0] == "-c":
        sys.argv = ["-c", *argv[2:]]
        main_module = type(sys)("__main__")
        sys.modules["__main__"] = main_module
        exec(compile(argv[1], "<string>", "exec"), main_module.__dict__)
        return
    sys.argv = argv
    runpy.run_path(argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
