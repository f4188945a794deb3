# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The packet rig on the managed host: namespaces, links, raw frames. The only file that sends packets, and none of them can leave: a rig has no
interface that the host has."""
from __future__ import annotations

import contextlib
import ctypes
import json
import os
import pwd
import re
import select
import shutil
import signal
import socket
import struct
import sys
import time
import traceback
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._flow import FLAGS, Flow, packet_of
from ansible_collections.palisade.netfilter.plugins.module_utils._frames import (
    ETHER_TYPES,
    MARK,
    NUMBERS,
    Packet,
    frame_bytes,
    group_mac,
    mac_bytes,
    packet_bytes,
    read_packet,
    read_segment,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._host import _WHERE, Host, NotPermittedError
from ansible_collections.palisade.netfilter.plugins.module_utils._host_files import bytes_of
from ansible_collections.palisade.netfilter.plugins.module_utils._proof import Sight
from ansible_collections.palisade.netfilter.plugins.module_utils._rig import (
    QUIET,
    Rig,
    after_handshake,
    handshake_rules,
    loadable,
    rewritten_ports,
    router_batch,
    sets_to_copy,
    setting_keys,
    wire_batch,
)
from ansible_collections.palisade.netfilter.plugins.module_utils._save import Tables, parse
from ansible_collections.palisade.netfilter.plugins.module_utils._surroundings import (
    Route,
    Surroundings,
    has_policy_routing,
    parse_interfaces,
    parse_routes,
)

_CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG = 1
_ETH_P_ALL = 3
#: An EtherType for experiments: no rule and no protocol knows it.
_BARRIER = 0x88b5
_OUTGOING = 4
_SOL_PACKET, _PACKET_QDISC_BYPASS = 263, 20
_IPV6_HDRINCL = 36
_SO_ATTACH_FILTER = 26
#: A socket filter of one instruction: take nothing (BPF_RET | BPF_K, 0).
_TAKE_NOTHING = struct.pack('=HBBI', 6, 0, 0, 0)
#: The flags that no target rewrites (those of ECN may be).
_FLAGS = 0x3f
#: Seconds until a packet must have gone its way. It takes microseconds; a machine that swaps may take longer.
_PATIENCE = 10.0
#: Rigs that are there at a time.
_MOST_RIGS = 4
_WIRE_MAC = '02:00:00:00:02:01'
_COUNTERS = ('/proc/self/net/netstat', '/proc/self/net/snmp', '/proc/self/net/snmp6')
Conclude = Callable[[Flow, int, Tables, Sight], Any]


class Job(NamedTuple):
    """Flows that go, in order, through one rig."""

    rig: Rig
    flows: Sequence[Flow]


class Copied(NamedTuple):
    """What every rig gets of the host's packet filter: tables by family, ipsets as text, and shell commands that make other named objects."""

    tables: Mapping[str, Tables]
    sets: str = ''
    commands: Sequence[str] = ()


class RigHost(Host):
    """A host that can prove flows on a copy of its rules."""

    # What the host has

    def surroundings(self) -> Surroundings:
        """Interfaces, addresses, routes and settings. Raises PalisadeError without iproute2."""
        ip = self._path('ip')
        interfaces = parse_interfaces(self._printed([ip, '-j', 'address', 'show']))
        routes = []
        for family, option in (('ipv4', '-4'), ('ipv6', '-6')):
            if self.has_family(family):
                routes += parse_routes(self._printed([ip, '-j', option, 'route', 'show', 'table', 'main']), family)
        settings = {}
        for key in setting_keys(list(interfaces)):
            with contextlib.suppress(OSError):
                settings[key] = bytes_of('/proc/sys/net/%s' % key).decode('ascii', 'replace').strip()
        policy = any(has_policy_routing(self._run([ip, '-j', option, 'rule', 'show']).output) for option in ('-4', '-6'))
        return Surroundings(interfaces, routes, {key: value for key, value in settings.items() if value}, policy)

    def route_back(self, client: str, server: str) -> Optional[Route]:
        """How the host answers a client from this address of its own, with policy routing's say; None where it has no answer."""
        family = 'ipv6' if ':' in client else 'ipv4'
        routes = parse_routes(self._run([self._path('ip'), '-j', 'route', 'get', client, 'from', server]).output, family)
        return routes[0]._replace(destination='%s/%d' % (client, 128 if family == 'ipv6' else 32), source='') if routes else None

    def _printed(self, argv: Sequence[str]) -> str:
        result = self._run(argv)
        if result.status != 0:
            # A family or a table without any route is no error worth one.
            return '' if 'table' in argv else self._complain(argv, result.errors)
        return result.output

    @staticmethod
    def _complain(argv: Sequence[str], errors: str) -> str:
        raise PalisadeError('%s failed: %s' % (' '.join(argv), errors.strip()))

    def set_contents(self, names: Any) -> str:
        """The named ipsets with their members, as `ipset restore` reads them."""
        return sets_to_copy(self._run([self._path('ipset'), 'save']).output, names) if names else ''

    def native_chains(self) -> List[str]:
        """Native nftables base chains that packets meet beside iptables' own, as 'family table chain'; empty where there is no nft."""
        command = shutil.which('nft', path=_WHERE)
        if command is None:
            return []
        found, table = [], ''
        for line in self._run([command, 'list', 'chains']).output.split('\n'):
            words = line.split()
            if words[:1] == ['table']:
                table = ' '.join(words[1:3])
            elif words[:1] == ['chain']:
                chain = words[1]
            elif words[:1] == ['type'] and 'hook' in words and not _IPTABLES_TABLE.match(table):
                found.append('%s %s' % (table, chain))
        return found

    # Proving

    def prove(self, jobs: Sequence[Job], copied: Copied, conclude: Conclude) -> List[List[List[Any]]]:
        """Send each job's complete flows, in order, through a fresh copy of the packet filter on a fresh rig.

        For each job and flow, what `conclude` made of its packets: it is called in the rig's process with the flow, the packet's number
        from 0, the counters before it and what was seen, and its results are plain data. As many rigs are there at a time as there are
        processors, up to four.
        Raises NotPermittedError where the host does not let us make namespaces, and PalisadeError for what cannot be mirrored.
        """
        processors = sorted(os.sched_getaffinity(0))[:_MOST_RIGS]
        running: List[_Child] = []
        results: List[List[List[Any]]] = []
        try:
            for number, job in enumerate(jobs):
                if len(running) == len(processors):
                    results.append(running.pop(0).result())
                bench = _Bench(self, processors[number % len(processors)], job, copied)
                running.append(_Child(lambda bench=bench: bench.run(conclude)))  # type: ignore[misc]
            while running:
                results.append(running.pop(0).result())
        finally:
            for child in running:
                child.kill()
        return results

    # What runs inside of a rig. Host's own methods, with a lock that is nobody else's.

    def rig_restore(self, family: str, text: str, lock: str) -> None:
        """Load tables into the namespace that this process is in."""
        result = self._run([self._command(family, 'restore')], text, XTABLES_LOCKFILE=lock)
        if result.status != 0:
            raise PalisadeError('%s: the copy of the rules cannot be loaded for the proof: %s' % (family, result.errors.strip()))

    def rig_save(self, family: str, lock: str) -> Tables:
        """The tables of the namespace that this process is in, with counters."""
        result = self._run([self._command(family, 'save'), '-c'], XTABLES_LOCKFILE=lock)
        if result.status != 0:
            raise PalisadeError("%s: the proof's counters cannot be read: %s" % (family, result.errors.strip()))
        return parse(result.output, family)

    def rig_batch(self, text: str, forgiving: bool = False) -> str:
        """Run lines of `ip`; what failed, where that is forgiven."""
        result = self._run([self._path('ip'), *(['-force'] if forgiving else []), '-batch', '-'], text)
        if result.status != 0 and not forgiving:
            raise PalisadeError("the proof's interfaces cannot be made: %s" % result.errors.strip())
        return result.errors

    def rig_commands(self, commands: Sequence[str]) -> None:
        """Run shell commands in the namespace that this process is in."""
        result = self._run(['/bin/sh', '-ec', '\n'.join(commands)]) if commands else None
        if result is not None and result.status != 0:
            raise PalisadeError("what the host's rules name cannot be copied for the proof: %s" % result.errors.strip())

    def rig_sets(self, text: str) -> None:
        """Make ipsets in the namespace that this process is in."""
        result = self._run([self._path('ipset'), 'restore'], text)
        if result.status != 0:
            raise PalisadeError("the host's ipsets cannot be copied for the proof: %s" % result.errors.strip())


_IPTABLES_TABLE = re.compile(r'ip6? (?:filter|nat|mangle|raw|security)\Z')


# The child


class _Child:
    """A process that does one piece of work, which its namespaces die with, and which dies with us."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._reader, writer = os.pipe()
        sys.stdout.flush()
        parent = os.getpid()
        self._process = os.fork()
        if self._process == 0:
            status = 1
            try:
                os.close(self._reader)
                _libc().prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
                if os.getppid() == parent:
                    with open(writer, 'wb') as out:
                        out.write(_answer(work))
                    status = 0
            finally:
                os._exit(status)
        os.close(writer)

    def result(self) -> Any:
        """Wait for the work's result, which is plain data; raises what the work raised."""
        try:
            with open(self._reader, 'rb') as source:
                text = source.read()
        finally:
            os.waitpid(self._process, 0)
        if not text:
            raise PalisadeError("the proof's process ended without an answer")
        kind, value = json.loads(text)
        if kind != 'result':
            raise (NotPermittedError if kind == 'not permitted' else PalisadeError)(value)
        return value

    def kill(self) -> None:
        """End it, whatever it does."""
        os.kill(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)
        os.close(self._reader)


def _answer(work: Callable[[], Any]) -> bytes:
    try:
        answer = ('result', work())
    except NotPermittedError as error:
        answer = ('not permitted', str(error))
    except PalisadeError as error:
        answer = ('error', str(error))
    except Exception:  # The child has nobody to raise it to.
        answer = ('error', 'the proof failed: %s' % traceback.format_exc())
    return json.dumps(answer).encode('ascii')


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _new_namespace() -> int:
    """Enter a new network namespace; a file descriptor that stands for it."""
    if _libc().unshare(_CLONE_NEWNET) != 0:
        raise NotPermittedError('no network namespace can be made here, so no packet can be sent for a proof: %s' % os.strerror(ctypes.get_errno()))
    return os.open('/proc/self/ns/net', os.O_RDONLY | os.O_CLOEXEC)


def _enter(namespace: int) -> None:
    if _libc().setns(namespace, _CLONE_NEWNET) != 0:
        raise PalisadeError('setns: %s' % os.strerror(ctypes.get_errno()))


class _Bench:
    """One rig while it lives, in a child. The wire's namespace holds the other ends of links; the router's holds all else."""

    def __init__(self, host: RigHost, processor: int, job: Job, copied: Copied) -> None:
        self.host = host
        self.processor = processor
        self.rig = job.rig
        self.flows = job.flows
        self.copied = copied
        self.tables = copied.tables
        self.lock = ''
        self.counted: Dict[str, Tables] = {}
        self.wires: Dict[str, socket.socket] = {}
        self.listeners: Dict[str, socket.socket] = {}
        self.muted: Dict[Tuple[str, str, int], socket.socket] = {}

    def run(self, conclude: Conclude) -> List[List[Any]]:
        """Set up, send, look."""
        flows = self.flows
        # On one processor, what is sent first arrives first.
        os.sched_setaffinity(0, {self.processor})
        # A lock of the rig's own, which is gone with this process: namespaces do not share rules, so they need not wait for each other.
        self.lock = '/proc/%d/fd/%d' % (os.getpid(), os.memfd_create('lock'))
        self._make_links()
        families = sorted({flow.family for flow in flows})
        if self.copied.sets:
            self.host.rig_sets(self.copied.sets)
        self.host.rig_commands(self.copied.commands)
        self._open_router_sockets(flows)
        for family in families:
            tables = self.tables[family]
            established = [flow for flow in flows if flow.family == family and flow.state == 'established']
            if established:
                self.host.rig_restore(family, handshake_rules(tables, family), self.lock)
                for flow in established:
                    self._shake_hands(flow)
            text = (after_handshake(tables) if established else '') + loadable(tables)
            if text:
                self.host.rig_restore(family, text, self.lock)
            self.counted[family] = self.host.rig_save(family, self.lock)
            _check_copy(family, tables, self.counted[family])
        return [self._send_all(flow, conclude) for flow in flows]

    # Setting up

    def _make_links(self) -> None:
        wire = _new_namespace()
        _write('ipv6/conf/default/disable_ipv6', '1')
        router = _new_namespace()
        for key, value in QUIET:
            _write(key, value)
        _enter(wire)
        self.host.rig_batch(wire_batch(self.rig, '/proc/%d/fd/%d' % (os.getpid(), router)))
        for name, link in self.rig.links.items():
            self.wires[name] = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self.wires[name].bind((link.peer, 0))
            # Straight to the other end: the link's queue starts a little after the link.
            self.wires[name].setsockopt(_SOL_PACKET, _PACKET_QDISC_BYPASS, 1)
        _enter(router)
        failed = self.host.rig_batch(router_batch(self.rig), forgiving=True)
        missing = [name for name in self.rig.links if not os.path.exists('/proc/sys/net/ipv4/conf/%s' % name)]
        if missing:
            raise PalisadeError("the proof's interface %s cannot be made: %s" % (missing[0], failed.strip()))
        for key, value in self.rig.settings:
            _write(key, value)

    def _open_router_sockets(self, flows: Sequence[Flow]) -> None:
        self.observer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        self.observer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        for flow in flows:
            if flow.protocol + flow.family not in self.listeners:
                kind = socket.AF_INET6 if flow.family == 'ipv6' else socket.AF_INET
                listener = socket.socket(kind, socket.SOCK_RAW, NUMBERS[flow.protocol])
                listener.setblocking(False)
                if flow.family == 'ipv6':
                    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
                self.listeners[flow.protocol + flow.family] = listener
            ports = {flow.source_port} if flow.hook == 'output' else {flow.port, *rewritten_ports(self.tables[flow.family])}
            for port in ports if flow.protocol in ('tcp', 'udp') else ():
                self._mute(flow, port)
            if flow.hook == 'input' and group_mac(flow.destination):
                _join(self.listeners[flow.protocol + flow.family], flow)

    def _mute(self, flow: Flow, port: int) -> None:
        """Keep the kernel from saying that nobody listens at a port, which would end the connection that a sequence or a handshake plays."""
        key = flow.family, flow.protocol, port
        if key in self.muted:
            return
        silent = socket.socket(socket.AF_INET6 if flow.family == 'ipv6' else socket.AF_INET,
                               socket.SOCK_STREAM if flow.protocol == 'tcp' else socket.SOCK_DGRAM)
        if flow.family == 'ipv6':
            silent.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        instruction = ctypes.create_string_buffer(_TAKE_NOTHING)
        silent.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack('HP', 1, ctypes.addressof(instruction)))
        silent.bind(('', port))
        if flow.protocol == 'tcp':
            silent.listen(1)
        self.muted[key] = silent

    # Sending

    def _send_all(self, flow: Flow, conclude: Conclude) -> List[Any]:
        # In real time: the kernel's timers are what a knock or a rate limit waits for.
        time.sleep(flow.wait)
        return [self._send_one(flow, number, conclude) for number in range(flow.times)]

    def _send_one(self, flow: Flow, number: int, conclude: Conclude) -> Any:
        listener = self.listeners[flow.protocol + flow.family]
        self._drain(listener)
        before = _kernel_counters()
        packet = packet_of(flow, number)
        refused = self._send(flow, packet)
        seen = self._wait(flow)
        arrived, interface = self._came_out(flow, packet, seen)
        after = _kernel_counters()
        counted = self.counted[flow.family]
        self.counted[flow.family] = self.host.rig_save(flow.family, self.lock)
        kernel = {key: value - before.get(key, 0) for key, value in after.items() if value != before.get(key, 0)}
        return conclude(flow, number, counted, Sight(self.tables[flow.family], self.counted[flow.family], arrived, interface, kernel, refused))

    def _send(self, flow: Flow, packet: Packet) -> str:
        """Send a packet to where the flow starts; why the kernel would not take it, if it said so."""
        try:
            if flow.hook == 'output':
                _send_as(flow, packet)
            elif flow.in_interface == 'lo':
                self.observer.sendto(frame_bytes(packet, '00:00:00:00:00:00', '00:00:00:00:00:00'), ('lo', 0))
            else:
                self._frame_in(flow.in_interface, packet, flow.source_mac)
        except PermissionError:
            return ''  # A rule of OUTPUT dropped it.
        except OSError as error:
            return os.strerror(error.errno or 0)
        return ''

    def _frame_in(self, interface: str, packet: Packet, source_mac: str = '') -> None:
        target = group_mac(packet.destination) or self.rig.links[interface].mac
        self.wires[interface].send(frame_bytes(packet, source_mac or _WIRE_MAC, target))

    def _wait(self, flow: Flow) -> List[Tuple[str, bytes]]:
        """Frames that left the router, up to a frame of our own that was sent behind the packet: then it has gone all its way."""
        name = flow.in_interface if flow.in_interface in self.wires else 'lo'
        barrier = mac_bytes('ff:ff:ff:ff:ff:ff') + mac_bytes(_WIRE_MAC) + struct.pack('!HI', _BARRIER, MARK) + b'\0' * 46
        if name == 'lo':
            self.observer.sendto(barrier, ('lo', 0))
        else:
            self.wires[name].send(barrier)
        seen: List[Tuple[str, bytes]] = []
        while select.select([self.observer], [], [], _PATIENCE)[0]:
            data, address = self.observer.recvfrom(65535)
            if address[1] == _BARRIER and address[2] != _OUTGOING:
                return seen
            if address[2] == _OUTGOING:
                seen.append((address[0], data))
        raise PalisadeError('%s: the machine is too busy for a proof: a packet did not arrive within %d s' % (flow.text(), _PATIENCE))

    def _drain(self, listener: socket.socket) -> None:
        for one in (self.observer, listener):
            with contextlib.suppress(BlockingIOError):
                while True:
                    one.recv(65535, socket.MSG_DONTWAIT)

    def _came_out(self, flow: Flow, sent: Packet, seen: Sequence[Tuple[str, bytes]]) -> Tuple[Optional[Packet], str]:
        """A packet as it came out, and where: at the host itself behind every hook of its input (''), or by an interface."""
        arrived = None if flow.hook == 'output' else self._delivered(flow, sent)
        return (arrived, '') if arrived is not None else _outgoing(flow, sent, seen)

    def _delivered(self, flow: Flow, sent: Packet) -> Optional[Packet]:
        with contextlib.suppress(BlockingIOError):
            while True:
                data, extra, _flags, address = self.listeners[flow.protocol + flow.family].recvmsg(65535, 1024)
                if flow.family == 'ipv4':
                    packet = read_packet(data)
                else:
                    info = next((value for level, kind, value in extra if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO)), b'')
                    source = socket.inet_pton(socket.AF_INET6, address[0].partition('%')[0])
                    packet = read_segment('ipv6', source, info[:16], NUMBERS[flow.protocol], data) if len(info) >= 16 else None
                if packet is not None and _is_same(packet, sent):
                    return packet
        return None

    # Handshakes

    def _shake_hands(self, flow: Flow) -> None:
        """Make conntrack see both directions of the flow's connection."""
        first = packet_of(flow, 0)._replace(flags=FLAGS['SYN'], sequence=MARK, acknowledge=0)
        self._drain(self.listeners[flow.protocol + flow.family])
        self._send(flow, first)
        seen = self._wait(flow)
        arrived, interface = self._came_out(flow, first, seen)
        if arrived is None:
            raise PalisadeError('%s: no connection could be established for the proof, though no rule was in its way: the kernel itself dropped '
                                'the packet (route, rp_filter or forwarding)' % flow.text())
        self._answer(flow, arrived, interface)
        if flow.protocol == 'tcp':
            self._send(flow, first._replace(flags=FLAGS['ACK'], sequence=MARK + 1, acknowledge=MARK + 1))
            self._wait(flow)

    def _answer(self, flow: Flow, packet: Packet, interface: str) -> None:
        """Send the other side's answer to a packet that came out at an interface, or at the host itself."""
        reply = packet._replace(source=packet.destination, destination=packet.source, source_port=packet.port, port=packet.source_port)
        if flow.protocol == 'tcp':
            reply = reply._replace(flags=FLAGS['SYN'] | FLAGS['ACK'], sequence=MARK, acknowledge=MARK + 1)
        elif flow.protocol in ('icmp', 'ipv6-icmp'):
            reply = reply._replace(source_port=packet.source_port, port=packet.port, icmp_type=(0, 0) if flow.protocol == 'icmp' else (129, 0))
        with contextlib.suppress(PermissionError):
            if not interface:
                _send_as(flow._replace(uid=''), reply)
            elif interface == 'lo':
                self.observer.sendto(frame_bytes(reply, '00:00:00:00:00:00', '00:00:00:00:00:00'), ('lo', 0))
            else:
                self._frame_in(interface, reply)
        self._wait(flow._replace(in_interface=interface))


def _is_same(packet: Packet, sent: Packet) -> bool:
    """Whether a packet is the one that was sent, nat aside. A reset that answers it may have its numbers, and has other flags."""
    if packet.protocol != sent.protocol or packet.sequence != sent.sequence:
        return False
    if sent.protocol == 'tcp':
        return packet.flags & _FLAGS == sent.flags & _FLAGS
    return sent.protocol == 'udp' or packet.icmp_type == sent.icmp_type


def _outgoing(flow: Flow, sent: Packet, seen: Sequence[Tuple[str, bytes]]) -> Tuple[Optional[Packet], str]:
    """A packet among frames that left, and by which interface."""
    for interface, frame in seen:
        if interface == 'lo' and flow.in_interface == 'lo':
            continue  # That is how it came in.
        if struct.unpack('!H', frame[12:14])[0] == ETHER_TYPES[sent.family]:
            packet = read_packet(frame[14:])
            if packet is not None and _is_same(packet, sent):
                return packet, interface
    return None, ''


def _send_as(flow: Flow, packet: Packet) -> None:
    """Send a packet as the host itself, from a socket that belongs to the flow's user."""
    libc = _libc()
    entry = _user(flow.uid)
    if entry:
        libc.setfsgid(entry[1])
        libc.setfsuid(entry[0])
    try:
        if flow.family == 'ipv4':
            sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
            target: Any = (packet.destination, 0)
        else:
            sender = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
            sender.setsockopt(socket.IPPROTO_IPV6, _IPV6_HDRINCL, 1)
            scope = socket.if_nametoindex(flow.out_interface) if flow.out_interface and packet.destination.startswith(('fe80:', 'ff')) else 0
            target = (packet.destination, 0, 0, scope)
    finally:
        if entry:
            libc.setfsuid(0)
            libc.setfsgid(0)
    with sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sender.sendto(packet_bytes(packet), target)


def _user(name: str) -> Optional[Tuple[int, int]]:
    if not name:
        return None
    try:
        entry = pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
    except KeyError:
        if name.isdigit():
            return int(name), int(name)
        raise PalisadeError('uid: %s is no user of this host' % name) from None
    return entry.pw_uid, entry.pw_gid


def _join(listener: socket.socket, flow: Flow) -> None:
    """Let the router take a multicast packet, as a host does where a program listens."""
    index = socket.if_nametoindex(flow.in_interface)
    with contextlib.suppress(OSError):
        if flow.family == 'ipv4':
            group = socket.inet_aton(flow.destination) + struct.pack('=4si', b'\0\0\0\0', index)
            listener.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
        else:
            group = socket.inet_pton(socket.AF_INET6, flow.destination) + struct.pack('=i', index)
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)


def _check_copy(family: str, tables: Mapping[str, Any], copy: Mapping[str, Any]) -> None:
    """The copy must have a rule for each of ours, or numbers would be of other rules."""
    for table, chains in tables.items():
        for chain, data in chains.items():
            there = copy.get(table, {}).get(chain)
            if (len(there.rules) if there else 0) != len(data.rules):
                raise PalisadeError('%s: table %s, chain %s: the copy for the proof has other rules than the original' % (family, table, chain))


def _write(key: str, value: str) -> None:
    """Write a sysctl of the namespace that this process is in; what this kernel does not have is left out."""
    with contextlib.suppress(FileNotFoundError):
        try:
            with open('/proc/sys/net/%s' % key, 'w', encoding='ascii') as file:
                file.write(value)
        except OSError as error:
            raise PalisadeError('/proc/sys/net/%s cannot be set for the proof: %s' % (key, error)) from None


def _kernel_counters() -> Dict[str, int]:
    """What the kernel counts of packets it drops by itself, by name."""
    found: Dict[str, int] = {}
    for path in _COUNTERS:
        lines = bytes_of(path).decode('ascii', 'replace').split('\n') if os.path.exists(path) else []
        if path.endswith('snmp6'):
            found.update({words[0]: int(words[1]) for words in map(str.split, lines) if len(words) == 2})
            continue
        for names, values in zip(lines[::2], lines[1::2]):
            found.update({name: int(value) for name, value in list(zip(names.split(), values.split()))[1:]})
    return found
