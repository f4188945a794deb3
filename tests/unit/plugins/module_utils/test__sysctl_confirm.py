# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commit by proof of kernel settings: when it is armed, with what, and what its script does to a folder that looks like the kernel's."""
from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any, Dict, List, Mapping, Tuple

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils import _confirm_base
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._host_confirm import Armed
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_confirm import UNDO_SETTINGS, ConfirmingSettings, settings_text
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_files import OWN_FILE
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_transaction import Request, run_sysctl
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_values import conf_path
from ansible_collections.palisade.netfilter.tests.unit.support.memory_sysctl import MemorySysctl

OVER_SSH = '192.0.2.1 50000 192.0.2.2 22'
PENDING = {'state': 'pending', 'command': '/bin/sh /run/x/commit', 'seconds': 60}


class Host(MemorySysctl):
    """A kernel in memory that notes when it is armed, told and disarmed, among what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.armed: Tuple[Any, ...] = ()
        self.texts: Dict[str, str] = {}
        self.refuses = ''

    def arm(self, name: str, token: str, seconds: int, texts: Mapping[str, str]) -> Armed:
        if self.refuses:
            raise PalisadeError(self.refuses)
        self.log.append('arm')
        self.armed, self.texts = (name, token, seconds), dict(texts)
        return Armed('/run/x', '/bin/sh /run/x/commit')

    def start_waiting(self, armed: Armed, seconds: int, texts: Any = None) -> None:
        self.log.append('wait %d' % seconds)
        self.texts.update(texts)

    def disarm(self, armed: Armed) -> None:
        self.log.append('disarm')


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr(_confirm_base, 'connection_value', lambda: OVER_SSH)
    return Host()


def run(host: Host, token: str = 'token', seconds: int = 60, **options: Any) -> Dict[str, Any]:
    return run_sysctl(Request(**options), host, ConfirmingSettings(host, token, seconds))


def steps(host: Host) -> List[str]:
    """What was done, all that was written in a row as one."""
    found: List[str] = []
    for step in ['write' if '=' in line else line for line in host.log]:
        if found[-1:] != [step]:
            found.append(step)
    return found


def test_it_is_armed_ahead_of_the_first_value_and_told_behind_the_last_and_the_file_waits(host: Host) -> None:
    assert run(host, profile='server')['confirm'] == PENDING
    assert steps(host) == ['lock', 'stage %s' % OWN_FILE, 'arm', 'write', 'wait 60']
    assert host.armed == ('kernel-settings', 'token', 60)
    assert set(host.texts) == {'before.settings', 'live.settings', 'undo', 'keep', 'discard', 'connection'}
    assert host.text is None
    assert 'mv -f /etc/sysctl.d/.99-zz-palisade.conf.new /etc/sysctl.d/99-zz-palisade.conf' in host.texts['keep']
    assert host.texts['discard'] == 'rm -f /etc/sysctl.d/.99-zz-palisade.conf.new\n'


def test_what_the_kernel_moves_by_itself_is_among_what_comes_back(host: Host) -> None:
    run(host, settings={'net.ipv4.ip_forward': 1})
    assert host.texts['before.settings'].splitlines()[0] == 'net/ipv4/conf/all/forwarding 0'
    assert {'net/ipv4/conf/eth0/forwarding 0', 'net/ipv4/conf/all/accept_redirects 1'} <= set(host.texts['before.settings'].splitlines())
    live = host.texts['live.settings'].splitlines()
    assert live[:2] == ['#live', 'net/ipv4/conf/all/forwarding 1']
    assert 'net/ipv4/conf/all/accept_redirects 0' in live


def test_what_goes_is_confirmed_too(host: Host) -> None:
    run_sysctl(Request(profile='server'), host)
    host.log.clear()
    assert run(host, state='absent')['confirm'] == PENDING
    assert steps(host) == ['lock', 'stage %s' % OWN_FILE, 'arm', 'write', 'wait 60']
    assert 'rm -f /etc/sysctl.d/99-zz-palisade.conf\n' in host.texts['keep']
    assert host.texts['discard'] == ''


@pytest.mark.parametrize(('options', 'fault'), [({'runtime': False}, ''), ({}, 'readonly')])
def test_the_file_alone_needs_no_confirmation(host: Host, options: Dict[str, Any], fault: str) -> None:
    if fault:
        host.faults[''] = fault
    assert run(host, profile='server', **options)['confirm'] == {'state': 'none', 'reason': 'nothing changes'}
    assert steps(host) == ['lock', 'stage %s' % OWN_FILE, 'commit']


def test_what_changes_nothing_waits_for_nothing(host: Host) -> None:
    run_sysctl(Request(profile='server'), host)
    host.log.clear()
    assert run(host, profile='server')['confirm']['state'] == 'none'
    assert host.log == []
    assert 'confirm' not in run(host, profile='router', check_mode=True)


@pytest.mark.parametrize(('token', 'seconds', 'confirm'), [
    ('token', 0, {'state': 'off', 'reason': 'confirm_timeout is 0'}),
    ('', 60, {'state': 'unproved', 'reason': 'the controller is not going to confirm it'}),
])
def test_where_nobody_is_to_confirm_nothing_is_armed(host: Host, token: str, seconds: int, confirm: Dict[str, str]) -> None:
    assert run(host, token, seconds, profile='server')['confirm'] == confirm
    assert 'arm' not in host.log
    assert host.text is not None


def test_a_host_that_cannot_be_armed_is_not_changed(host: Host) -> None:
    host.refuses = 'confirm_timeout: the rollback cannot be armed. Nothing has changed'
    before = dict(host.values)
    with pytest.raises(PalisadeError, match='cannot be armed'):
        run(host, profile='server')
    assert (host.values, host.text) == (before, None)
    assert steps(host)[-1] == 'discard'


def test_a_run_that_puts_everything_back_is_disarmed(host: Host) -> None:
    before = dict(host.values)
    host.refusing['net/ipv4/conf/all/log_martians'] = 0
    with pytest.raises(PalisadeError, match='Nothing has changed'):
        run(host, profile='server')
    assert host.values == before
    assert steps(host)[-2:] == ['discard', 'disarm']


def test_a_run_that_cannot_put_everything_back_stays_armed(host: Host) -> None:
    host.refusing.update({'net/ipv4/conf/all/log_martians': 0, 'net/ipv4/conf/all/accept_redirects': 1})
    with pytest.raises(PalisadeError, match='Not put back: net/ipv4/conf/all/accept_redirects'):
        run(host, profile='server')
    assert 'disarm' not in host.log


def test_while_a_change_waits_this_one_is_refused_and_check_mode_warns(host: Host) -> None:
    host.waits = 'a change of ruleset web waits for its confirmation'
    with pytest.raises(PalisadeError, match=r'a change of ruleset web waits for its confirmation\. Run again then\. Nothing has changed'):
        run(host, profile='server')
    assert host.log == []
    assert run(host, profile='server', check_mode=True)['warnings'][0].startswith(host.waits)


def test_what_another_run_has_changed_before_the_lock_was_ours_counts(host: Host) -> None:
    """It made all of it so itself: nothing is left to do."""
    other = Request(profile='server')
    lock = host.lock

    def late() -> Any:
        host.lock = lock  # type: ignore[method-assign]
        run_sysctl(other, host)
        return lock()

    host.lock = late  # type: ignore[method-assign]
    assert run(host, profile='server')['changed'] is False
    assert 'arm' not in host.log


# The script

SHELLS = ('dash', 'bash', 'busybox sh')
AWKS = ('mawk', 'gawk', 'busybox awk', 'original-awk')
RP = 'net/ipv4/conf/%s/rp_filter'


class Kernel:
    """A folder of keys, and the script's own."""

    def __init__(self, folder: Path, before: Mapping[str, str], live: Mapping[str, str]) -> None:
        self.root = folder / 'proc'
        self.folder = folder / 'commit'
        self.folder.mkdir()
        self.set({**before, **live})
        (self.folder / 'before.settings').write_text(settings_text(before), encoding='ascii')
        if live:
            (self.folder / 'live.settings').write_text('#live\n' + settings_text(live), encoding='ascii')

    def set(self, values: Mapping[str, str]) -> None:
        for path, value in values.items():
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path).write_text(value + '\n', encoding='ascii')

    def values(self) -> Dict[str, str]:
        return {str(path.relative_to(self.root)): path.read_text(encoding='ascii').rstrip('\n') for path in self.root.rglob('*') if path.is_file()}

    def undo(self, *shell: str, **environment: str) -> Tuple[int, str]:
        text = 'set -u\nroot=%s/\n%s' % (self.root, UNDO_SETTINGS)
        done = subprocess.run([*(shell or ('sh',)), '-c', text], cwd=self.folder, capture_output=True, text=True, check=False,
                              env={'PATH': '/usr/sbin:/usr/bin:/sbin:/bin', 'LC_ALL': 'C', **environment})
        return done.returncode, done.stdout + done.stderr


BEFORE = {'net/ipv4/ip_dynaddr': '0', 'net/ipv4/tcp_wmem': '4096 16384 4194304', 'net/ipv4/ip_local_reserved_ports': '',
          RP % 'all': '0', RP % 'default': '0', RP % 'eth0': '2', RP % 'eth0.100': '0'}
LIVE = {**BEFORE, 'net/ipv4/ip_dynaddr': '2', 'net/ipv4/tcp_wmem': '1 2 3', 'net/ipv4/ip_local_reserved_ports': '80',
        RP % 'all': '1', RP % 'default': '1', RP % 'eth0': '1'}


@pytest.mark.parametrize('shell', SHELLS)
@pytest.mark.parametrize('awk', AWKS)
def test_all_values_come_back_whatever_the_shell_and_awk(tmp_path: Path, shell: str, awk: str) -> None:
    programs = [shell.split()[0], awk.split()[0]]
    if not all(shutil.which(program) for program in programs):
        pytest.skip('no %s here' % ' or no '.join(programs))
    kernel = Kernel(tmp_path, BEFORE, LIVE)
    (tmp_path / 'bin').mkdir()
    (tmp_path / 'bin' / 'awk').write_text('#!/bin/sh\nexec %s "$@"\n' % awk, encoding='ascii')
    (tmp_path / 'bin' / 'awk').chmod(0o755)
    assert kernel.undo(*shell.split(), PATH='%s:/usr/sbin:/usr/bin:/sbin:/bin' % (tmp_path / 'bin')) == (0, '')
    assert kernel.values() == BEFORE


def test_tabs_and_blanks_are_alike(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path, BEFORE, LIVE)
    kernel.set({'net/ipv4/tcp_wmem': '4096\t16384\t4194304'})
    assert kernel.undo() == (0, '')
    assert kernel.values()['net/ipv4/tcp_wmem'] == '4096\t16384\t4194304', 'it was written though it had its value'


def test_an_interface_that_has_gone_is_no_problem(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path, BEFORE, LIVE)
    shutil.rmtree((kernel.root / (RP % 'eth0')).parent)
    assert kernel.undo() == (0, '')
    assert kernel.values() == {path: value for path, value in BEFORE.items() if '/eth0/' not in path}


def test_what_only_another_has_changed_stays_and_what_the_change_has_moved_does_not(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path, BEFORE, LIVE)
    kernel.set({RP % 'eth0.100': '2', RP % 'eth0': '0'})
    assert kernel.undo() == (0, '')
    assert kernel.values() == {**BEFORE, RP % 'eth0.100': '2'}


def test_of_a_change_that_was_not_finished_everything_comes_back(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path, BEFORE, {})
    kernel.set({RP % 'eth0': '1', RP % 'all': '1'})
    assert kernel.undo() == (0, '')
    assert kernel.values() == BEFORE


def test_an_interface_that_came_meanwhile_takes_the_former_default(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path, BEFORE, LIVE)
    kernel.set({RP % 'wg0': '1', RP % 'tun0': '2'})
    assert kernel.undo() == (0, '')
    assert kernel.values() == {**BEFORE, RP % 'wg0': '0', RP % 'tun0': '2'}


def test_what_it_has_moved_itself_before_it_was_killed_is_not_taken_for_the_work_of_another(tmp_path: Path) -> None:
    """Forwarding, once written, moves accept_redirects, which was what it is to be before and behind the change."""
    redirects = conf_path('ipv4', 'all', 'accept_redirects')
    before = {conf_path('ipv4', 'all', 'forwarding'): '0', redirects: '0'}
    kernel = Kernel(tmp_path, before, {**before, conf_path('ipv4', 'all', 'forwarding'): '1'})
    kernel.undo()
    kernel.set({redirects: '1'})
    assert kernel.undo() == (0, '')
    assert kernel.values() == before


def test_what_does_not_take_its_value_is_said_and_holds_up_nothing(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path, BEFORE, LIVE)
    key = kernel.root / (RP % 'all')
    key.unlink()
    key.symlink_to('/proc/version')  # It can be read, and takes nothing.
    assert kernel.undo() == (1, 'net/ipv4/conf/all/rp_filter does not take 0 again\n')
    key.unlink()
    assert kernel.values() == {path: value for path, value in BEFORE.items() if path != RP % 'all'}


def test_keys_are_written_down_in_the_order_in_which_they_stay() -> None:
    text = settings_text({RP % 'eth0': '1', RP % 'all': '0', conf_path('ipv4', 'all', 'forwarding'): '1', 'net/ipv4/tcp_wmem': '1 2\n3'})
    assert text == 'net/ipv4/conf/all/forwarding 1\nnet/ipv4/tcp_wmem 1 2 3\nnet/ipv4/conf/all/rp_filter 0\nnet/ipv4/conf/eth0/rp_filter 1\n'
