# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole runs of kernel_modules on a kernel in memory: what changes, what is said, what is run, and what is put back."""
from __future__ import annotations

import copy
from typing import Any, Dict, List

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._modules_plan import LOAD_FILE, MODPROBE_FILE, OUR_FILES, SOFTDEP_FILE
from ansible_collections.palisade.netfilter.plugins.module_utils._modules_run import Request, run_modules
from ansible_collections.palisade.netfilter.tests.unit.support.memory_modules import NO_MODULES, NOT_PERMITTED, MemoryModules, debian


def run(host: MemoryModules, *modules: Any, **options: Any) -> Dict[str, Any]:
    host.calls.clear()
    return run_modules(Request(modules=modules, **options), host)


def second(host: MemoryModules, *modules: Any, **options: Any) -> Dict[str, Any]:
    """Run, and insist that another run changes nothing and starts no process, and that check mode had said the same."""
    before = copy.deepcopy((host.files, host.loaded, host.shown))
    predicted = run(host, *modules, check_mode=True, **options)
    assert (host.files, host.loaded, host.shown) == before, 'check mode has changed something'
    result = run(host, *modules, **options)
    assert predicted == result
    calls = list(host.calls)
    again = run(host, *modules, **options)
    assert (again['changed'], again['diff'], host.calls) == (False, [], [])
    assert [(one['state'], one['changed']) for one in again['modules']] == [(one['state'], False) for one in result['modules']]
    host.calls = calls
    return result


def refused(host: MemoryModules, *modules: Any, **options: Any) -> str:
    """Run, and insist on an error after which all is as it was."""
    before = copy.deepcopy((host.files, host.loaded, host.shown))
    with pytest.raises(PalisadeError) as caught:
        run(host, *modules, **options)
    files = {path: text for path, text in host.files.items() if not path.startswith('?')}
    assert (files, host.loaded, host.shown) == before
    assert str(caught.value).endswith('Nothing has changed')
    return str(caught.value)


def lines(host: MemoryModules, path: str) -> List[str]:
    return [line for line in host.files.get(path, '').split('\n') if line and not line.startswith('#')]


def states(result: Dict[str, Any]) -> Dict[str, str]:
    return {one['name']: one['state'] for one in result['modules']}


# Loaded

def test_modules_are_loaded_by_one_process_and_at_boot() -> None:
    host = MemoryModules()
    result = second(host, 'xt_LOG', 'nf_conntrack_ftp', 'xt_limit')
    assert states(result) == {'xt_LOG': 'loaded', 'nf_conntrack_ftp': 'loaded', 'xt_limit': 'loaded'}
    assert host.calls == ['modprobe xt_LOG xt_limit nf_conntrack_ftp']
    assert host.loaded is not None and {'xt_LOG', 'nf_conntrack_ftp', 'xt_limit', 'nf_conntrack', 'x_tables'} <= set(host.loaded)
    assert lines(host, LOAD_FILE) == ['nf_conntrack_ftp', 'xt_LOG', 'xt_limit']
    assert set(host.files) == {LOAD_FILE}


def test_what_is_loaded_already_is_kept_for_the_next_boot() -> None:
    host = MemoryModules().put('nf_conntrack')
    result = second(host, 'nf_conntrack')
    assert (result['changed'], host.calls, states(result)) == (True, [], {'nf_conntrack': 'loaded'})
    one, = result['modules']
    assert (one['before'], one['changed']) == ('loaded', True)


def test_old_names_are_todays() -> None:
    host = MemoryModules()
    result = second(host, 'ip_conntrack', 'ipt_LOG', 'ip_conntrack_ftp', 'nf_nat_ipv4', 'ipt-TOS')
    assert list(states(result)) == ['nf_conntrack', 'xt_LOG', 'nf_conntrack_ftp', 'nf_nat', 'xt_DSCP']
    assert [one['asked'] for one in result['modules']] == ['ip_conntrack', 'ipt_LOG', 'ip_conntrack_ftp', 'nf_nat_ipv4', 'ipt-TOS']
    assert result['modules'][0]['reason'] == 'ip_conntrack is nf_conntrack today: connection tracking serves both families since 2.6.20'
    assert lines(host, LOAD_FILE) == ['nf_conntrack', 'nf_conntrack_ftp', 'nf_nat', 'xt_DSCP', 'xt_LOG']
    assert len(host.calls) == 1


def test_an_old_name_that_the_kernel_still_has_is_that_module() -> None:
    assert list(states(second(MemoryModules(), 'ipt_REJECT'))) == ['ipt_REJECT']


def test_an_alias_that_no_table_has_is_asked_of_modprobe() -> None:
    host = MemoryModules()
    host.aliases = {'nf_conntrack_2': ['nf_conntrack']}
    result = run(host, 'nf-conntrack-2')
    assert states(result) == {'nf_conntrack': 'loaded'}
    assert host.calls == ['modprobe -R nf-conntrack-2', 'modprobe nf_conntrack']
    assert result['modules'][0]['reason'] == 'nf-conntrack-2 is an alias of nf_conntrack'


def test_two_names_of_one_module_are_one() -> None:
    result = second(MemoryModules(), 'ip_conntrack', 'nf_conntrack', 'nf-conntrack')
    assert [one['asked'] for one in result['modules']] == ['ip_conntrack']


def test_two_names_of_one_module_that_differ_are_refused() -> None:
    assert refused(MemoryModules(), 'ip_conntrack', {'name': 'nf_conntrack', 'options': 'acct=1'}) == (
        'modules: nf_conntrack is in the list twice and differently (ip_conntrack and nf_conntrack). Nothing has changed')


def test_built_in_is_as_good_as_loaded() -> None:
    tree = debian('debian12')
    host = MemoryModules(type(tree)(tree.depends, frozenset({'nf_conntrack'})))
    result = second(host, 'ip_conntrack')
    assert (states(result), host.calls, result['warnings']) == ({'nf_conntrack': 'built_in'}, [], [])
    assert lines(host, LOAD_FILE) == ['nf_conntrack']


def test_an_unknown_module_is_an_error_with_a_hint() -> None:
    host = MemoryModules()
    assert refused(host, 'xt_LOG', 'nf_contrack') == 'modules: this kernel has no module nf_contrack. Is nf_conntrack meant?. Nothing has changed'
    assert refused(host, 'nosuch') == 'modules: this kernel has no module nosuch. Nothing has changed'
    assert 'xt_owner, as ipt_owner is called today' in refused(MemoryModules(debian_without('xt_owner')), 'ipt_owner')


def debian_without(*names: str) -> Any:
    tree = debian('debian12')
    return type(tree)({name: needed for name, needed in tree.depends.items() if name not in names}, tree.built_in)


def test_a_module_of_the_past_is_an_error_that_names_what_does_its_work() -> None:
    assert refused(MemoryModules(), 'ipt_ULOG') == (
        'modules: there is no ipt_ULOG any more: it is gone since 3.17: NFLOG does its work (xt_NFLOG, nfnetlink_log). Nothing has changed')


def test_loading_is_verified() -> None:
    host = MemoryModules().put('xt_limit')
    host.silent = {'xt_LOG'}
    host.files['/etc/modprobe.d/log.conf'] = 'alias xt_LOG off\n'
    assert refused(host, 'xt_limit', 'xt_LOG') == (
        "modprobe says that it has loaded xt_LOG, and the kernel does not have it. /etc/modprobe.d/log.conf has 'alias xt_LOG off'. "
        'Nothing has changed')


def test_a_failure_unloads_what_had_been_loaded_but_nothing_else() -> None:
    host = MemoryModules().put('x_tables')
    host.refused = {'xt_state'}
    assert refused(host, 'nf_conntrack_ftp', 'xt_LOG', 'xt_state') == 'modprobe xt_state failed: no. Nothing has changed'


def test_what_somebody_else_keeps_from_being_loaded_is_named_beforehand() -> None:
    host = MemoryModules()
    host.files['/etc/modprobe.d/cis.conf'] = '# CIS\ninstall nf_conntrack /bin/true\n'
    assert refused(host, 'ip_conntrack_ftp') == (
        "modules: ip_conntrack_ftp cannot be loaded: /etc/modprobe.d/cis.conf has 'install nf_conntrack /bin/true'. Nothing has changed")
    assert refused(host, 'ip_conntrack_ftp', check_mode=True)
    assert host.calls == []


def test_a_foreign_blacklist_does_not_stop_us_but_the_next_boot() -> None:
    host = MemoryModules()
    host.files['/usr/lib/modprobe.d/quiet.conf'] = 'blacklist nf-conntrack-ftp\n'
    assert second(host, 'nf_conntrack_ftp')['warnings'] == [
        "nf_conntrack_ftp will not be loaded at boot: /usr/lib/modprobe.d/quiet.conf has 'blacklist nf_conntrack_ftp'"]


def test_without_persist_nothing_is_written() -> None:
    host = MemoryModules()
    host.files[LOAD_FILE] = 'xt_set\n'
    assert second(host, 'xt_LOG', persist=False)['changed']
    assert lines(host, LOAD_FILE) == ['xt_set']
    result = second(host, {'name': 'xt_LOG', 'persist': False}, 'xt_limit')
    assert (lines(host, LOAD_FILE), states(result)) == (['xt_limit'], {'xt_LOG': 'loaded', 'xt_limit': 'loaded'})


def test_a_module_that_leaves_the_list_leaves_the_files_and_stays_loaded() -> None:
    host = MemoryModules()
    run(host, 'xt_LOG', {'name': 'sctp', 'state': 'blocked'})
    result = second(host, 'xt_limit')
    assert set(host.files) == {LOAD_FILE}
    assert (lines(host, LOAD_FILE), 'xt_LOG' in (host.loaded or ())) == (['xt_limit'], True)
    assert [part['before_header'] for part in result['diff']] == [SOFTDEP_FILE, MODPROBE_FILE, LOAD_FILE, 'kernel modules (live)']


# Unloaded and blocked

def test_a_module_is_unloaded_alone() -> None:
    host = MemoryModules().put('nf_conntrack_ftp')
    result = second(host, {'name': 'ip_conntrack_ftp', 'state': 'unloaded'})
    assert (states(result), host.calls) == ({'nf_conntrack_ftp': 'unloaded'}, ['rmmod nf_conntrack_ftp'])
    assert 'nf_conntrack' in (host.loaded or ())
    assert host.files == {}


def test_holders_are_unloaded_first() -> None:
    host = MemoryModules().put('nf_nat_ftp')
    second(host, *[{'name': name, 'state': 'unloaded'} for name in ('nf_conntrack', 'nf_nat', 'nf_conntrack_ftp', 'nf_nat_ftp')])
    assert host.calls == ['rmmod nf_nat_ftp nf_conntrack_ftp nf_nat nf_conntrack']


@pytest.mark.parametrize('state', ['unloaded', 'blocked'])
def test_a_module_in_use_is_refused_with_its_holders(state: str) -> None:
    host = MemoryModules().put('nf_conntrack_ftp', 'xt_state')
    assert refused(host, {'name': 'nf_conntrack', 'state': state}, 'xt_LOG') == (
        'modules: nf_conntrack cannot be unloaded: it is in use by nf_conntrack_ftp, xt_state. Nothing has changed')
    host.uses['nf_conntrack'] = 2
    assert 'in use by nf_conntrack_ftp, xt_state, 2 others (rules, sockets or interfaces)' in refused(host, {'name': 'nf_conntrack', 'state': state})
    assert 'in use by xt_state, 2 others' in refused(host, *[{'name': name, 'state': state} for name in ('nf_conntrack', 'nf_conntrack_ftp')])
    host.permanent = {'xt_state'}
    assert 'the kernel keeps it until the next boot' in refused(host, {'name': 'xt_state', 'state': state})
    assert host.calls == []


def test_what_is_loaded_cannot_need_what_is_not() -> None:
    host = MemoryModules()
    for state in ('unloaded', 'blocked'):
        assert refused(host, 'nf_conntrack_ftp', {'name': 'ip_conntrack', 'state': state}) == (
            'modules: nf_conntrack_ftp is to be loaded and needs ip_conntrack, which is to be %s. Nothing has changed' % state)


def test_a_blocked_module_is_unloaded_and_modprobe_refuses_it() -> None:
    host = MemoryModules().put('nf_conntrack_ftp')
    result = second(host, {'name': 'ip_conntrack_ftp', 'state': 'blocked'}, {'name': 'sctp', 'state': 'blocked'})
    assert states(result) == {'nf_conntrack_ftp': 'blocked', 'sctp': 'blocked'}
    assert [one['before'] for one in result['modules']] == ['loaded', 'unloaded']
    assert host.calls == ['rmmod nf_conntrack_ftp', 'modprobe -D nf_conntrack_ftp sctp']
    assert lines(host, MODPROBE_FILE) == ['install nf_conntrack_ftp /bin/false', 'install sctp /bin/false']
    assert LOAD_FILE not in host.files


def test_a_module_with_soft_dependencies_is_blocked_too() -> None:
    """modprobe passes over its install line otherwise."""
    host = MemoryModules()
    host.soft = {'xt_LOG'}
    second(host, {'name': 'ipt_LOG', 'state': 'blocked'})
    assert lines(host, SOFTDEP_FILE) == ['softdep xt_LOG pre:']
    with pytest.raises(PalisadeError):
        host.load(['xt_LOG'])
    host.files.pop(SOFTDEP_FILE)
    host.load(['xt_LOG'])


def test_a_block_that_does_not_hold_is_put_back() -> None:
    host = MemoryModules().put('nf_conntrack_ftp')
    host.soft = {'nf_conntrack_ftp'}
    host.files['/etc/modprobe.d/00-a.conf'] = 'softdep nf_conntrack_ftp pre: xt_LOG\n'
    host.not_blocked = lambda names: list(names)  # type: ignore[method-assign]
    assert refused(host, {'name': 'nf_conntrack_ftp', 'state': 'blocked'}) == (
        'modprobe would load nf_conntrack_ftp in spite of its block in /etc/modprobe.d/palisade.conf. Nothing has changed')


def test_an_install_line_ahead_of_ours_is_named() -> None:
    host = MemoryModules()
    host.files['/etc/modprobe.d/dist.conf'] = 'install sct? /sbin/modprobe --ignore-install sctp\n'
    assert refused(host, {'name': 'sctp', 'state': 'blocked'}) == (
        "modules: sctp cannot be blocked: /etc/modprobe.d/dist.conf has 'install sct? /sbin/modprobe --ignore-install sctp', "
        'which comes before /etc/modprobe.d/palisade.conf. Nothing has changed')
    host.files['/etc/modprobe.d/z.conf'] = host.files.pop('/etc/modprobe.d/dist.conf')
    assert states(second(host, {'name': 'sctp', 'state': 'blocked'})) == {'sctp': 'blocked'}


def test_what_somebody_else_blocks_may_be_blocked_by_us_too() -> None:
    host = MemoryModules()
    host.files['/etc/modprobe.d/cis.conf'] = 'install sctp /bin/true\n'
    result = second(host, {'name': 'sctp', 'state': 'blocked'})
    assert (result['modules'][0]['before'], result['changed']) == ('blocked', True)


def test_a_module_that_was_blocked_by_us_can_be_loaded_again() -> None:
    host = MemoryModules()
    run(host, {'name': 'nf_conntrack', 'state': 'blocked'})
    result = second(host, 'nf_conntrack_ftp')
    assert states(result) == {'nf_conntrack_ftp': 'loaded'}
    run(host, {'name': 'sctp', 'state': 'blocked'})
    one, = second(host, 'sctp')['modules']
    assert (one['before'], one['state']) == ('blocked', 'loaded')


def test_what_cannot_be_blocked_is_said() -> None:
    tree = debian('debian12')
    host = MemoryModules(type(tree)(tree.depends, frozenset({'nf_conntrack'})))
    result = second(host, {'name': 'nf_conntrack', 'state': 'blocked'})
    assert states(result) == {'nf_conntrack': 'built_in'}
    assert result['warnings'] == ['nf_conntrack cannot be unloaded or blocked: built into the kernel']


def test_what_the_kernel_does_not_have_is_blocked_for_the_day_that_it_does() -> None:
    host = MemoryModules(debian_without('sctp', 'dccp'))
    result = second_with_alias_question(host, {'name': 'sctp', 'state': 'blocked'}, {'name': 'nf_contrack', 'state': 'unloaded'})
    assert states(result) == {'sctp': 'missing', 'nf_contrack': 'missing'}
    assert lines(host, MODPROBE_FILE) == ['install sctp /bin/false']
    assert result['warnings'] == ['this kernel has no module nf_contrack. Is nf_conntrack meant?']


def second_with_alias_question(host: MemoryModules, *modules: Any) -> Dict[str, Any]:
    result = run(host, *modules)
    assert not run(host, *modules)['changed']
    assert all(call.startswith('modprobe -R') for call in host.calls)
    return result


def test_what_is_loaded_at_boot_by_somebody_else_is_said() -> None:
    host = MemoryModules()
    host.files['/usr/lib/modules-load.d/net.conf'] = '; comment\nsctp\n'
    assert second(host, {'name': 'sctp', 'state': 'blocked'})['warnings'] == [
        'sctp is to be blocked, and /usr/lib/modules-load.d/net.conf asks for it at boot']


# Options

CONNTRACK = {'name': 'nf_conntrack', 'options': {'hashsize': 16384}}


def test_options_are_given_when_the_module_is_loaded_and_before_another_one_pulls_it_in() -> None:
    host = MemoryModules()
    host.shown = {'nf_conntrack': {'hashsize': '512', 'acct': 'N'}}
    host.free = {('nf_conntrack', 'hashsize')}
    result = second(host, 'nf_conntrack_ftp', CONNTRACK)
    assert host.calls == ['modprobe nf_conntrack hashsize=16384', 'modprobe nf_conntrack_ftp']
    assert lines(host, MODPROBE_FILE) == ['options nf_conntrack hashsize=16384']
    assert result['modules'][1]['options'] == {'hashsize': {'before': None, 'after': '16384'}}


def test_a_parameter_of_a_loaded_module_is_written() -> None:
    host = MemoryModules().put('nf_conntrack')
    host.shown = {'nf_conntrack': {'hashsize': '4096', 'acct': 'N'}}
    host.free = {('nf_conntrack', 'hashsize')}
    result = second(host, CONNTRACK)
    assert host.calls == ['write nf_conntrack hashsize=16384']
    assert result['modules'][0]['options'] == {'hashsize': {'before': '4096', 'after': '16384'}}
    assert not result['modules'][0]['reload_needed']
    assert result['diff'][-1]['after'] == 'nf_conntrack: hashsize=16384\n'


def test_a_parameter_that_cannot_be_written_needs_a_reload() -> None:
    host = MemoryModules().put('nf_conntrack')
    host.shown = {'nf_conntrack': {'hashsize': '4096', 'acct': 'N'}}
    one, = second(host, {'name': 'nf_conntrack', 'options': 'acct=1'})['modules']
    assert (one['reload_needed'], one['options'], one['state']) == (True, {'acct': {'before': 'N', 'after': 'N'}}, 'loaded')
    assert one['reason'] == 'acct is N and cannot be written while it is loaded'


def test_a_parameter_that_is_not_shown_holds_from_the_next_time() -> None:
    host = MemoryModules().put('nf_conntrack_ftp')
    host.known = {'nf_conntrack_ftp': {'ports', 'loose'}}
    one, = second(host, {'name': 'nf_conntrack_ftp', 'options': {'ports': [21, 2121]}})['modules']
    assert one['options'] == {'ports': {'before': None, 'after': None}}
    assert 'cannot be read back' in one['reason']
    assert lines(host, MODPROBE_FILE) == ['options nf_conntrack_ftp ports=21,2121']


@pytest.mark.parametrize('loaded', [True, False])
def test_an_unknown_parameter_is_refused(loaded: bool) -> None:
    host = MemoryModules().put('nf_conntrack') if loaded else MemoryModules()
    host.known = {'nf_conntrack': {'acct'}}
    host.shown = {'nf_conntrack': {'hashsize': '4096'}}
    assert refused(host, {'name': 'nf_conntrack', 'options': 'hashsze=1'}) == (
        'modules: nf_conntrack has no parameter hashsze (it has: acct, hashsize). Nothing has changed')


def test_a_hidden_parameter_is_given_to_what_is_loaded() -> None:
    host = MemoryModules()
    host.known = {'nf_conntrack_ftp': {'ports', 'loose'}}
    one, = run(host, {'name': 'nf_conntrack_ftp', 'options': 'ports=2121'})['modules']
    assert host.calls == ['modprobe nf_conntrack_ftp ports=2121', 'modinfo nf_conntrack_ftp']
    assert one['state'] == 'loaded'


def test_what_a_fresh_module_makes_of_an_option_is_said() -> None:
    host = MemoryModules()
    host.shown = {'nf_conntrack': {'expect_hashsize': '5'}}
    host.made = lambda value: '8'
    result = run(host, {'name': 'nf_conntrack', 'options': 'expect_hashsize=7'})
    assert result['warnings'] == ['nf_conntrack was loaded with expect_hashsize=7, and the kernel shows 8']
    assert result['modules'][0]['options'] == {'expect_hashsize': {'before': None, 'after': '8'}}
    one, = run(host, {'name': 'nf_conntrack', 'options': 'expect_hashsize=7'})['modules']
    assert (one['changed'], one['reload_needed']) == (False, True)


def test_what_the_kernel_rounds_up_is_no_drift() -> None:
    host = MemoryModules().put('nf_conntrack')
    host.shown = {'nf_conntrack': {'hashsize': '4096'}}
    host.free = {('nf_conntrack', 'hashsize')}
    host.made = lambda value: str(-(-int(value) // 512) * 512)
    second(host, {'name': 'nf_conntrack', 'options': 'hashsize=10000'})
    assert host.shown['nf_conntrack']['hashsize'] == '10240'


def test_what_the_kernel_makes_something_else_of_is_put_back() -> None:
    host = MemoryModules().put('nf_conntrack')
    host.shown = {'nf_conntrack': {'hashsize': '4096', 'expect_hashsize': '256'}}
    host.free = {('nf_conntrack', 'hashsize'), ('nf_conntrack', 'expect_hashsize')}
    host.made = lambda value: '4096' if value == '4096' else '256' if value == '256' else '7'
    assert refused(host, CONNTRACK) == 'of hashsize=16384 for nf_conntrack the kernel has made 7: declare that. Nothing has changed'


def test_options_behind_ours_are_said() -> None:
    host = MemoryModules().put('nf_conntrack')
    host.shown = {'nf_conntrack': {'hashsize': '16384'}}
    host.files['/etc/modprobe.d/tuning.conf'] = 'options nf_conntrack acct=1 hashsize=1024\n'
    assert second(host, CONNTRACK)['warnings'] == [
        "hashsize of nf_conntrack is set behind us: /etc/modprobe.d/tuning.conf has 'options nf_conntrack acct=1 hashsize=1024'"]


def test_options_of_what_is_built_in_say_where_they_have_to_go() -> None:
    host = MemoryModules.without_modules()
    host.in_sys = {'nf_conntrack'}
    host.shown = {'nf_conntrack': {'hashsize': '4096'}}
    host.free = {('nf_conntrack', 'hashsize')}
    one, = second(host, CONNTRACK)['modules']
    assert (one['state'], host.calls) == ('built_in', ['write nf_conntrack hashsize=16384'])
    assert one['reason'] == "it is built in: at boot it takes options from the kernel's command line alone (nf_conntrack.hashsize=16384)"


# Where nothing can be done

def test_a_kernel_without_modules_takes_the_files_and_is_told() -> None:
    host = MemoryModules.without_modules()
    host.in_sys = {'nf_conntrack'}
    host.in_configuration = ({'xt_LOG'}, {'sctp'})
    result = second(host, 'ip_conntrack', 'ipt_LOG', 'xt_limit', {'name': 'sctp', 'state': 'blocked'}, 'ip_conntrack_sip')
    assert states(result) == {'nf_conntrack': 'built_in', 'xt_LOG': 'built_in', 'xt_limit': 'unmanageable', 'sctp': 'missing',
                              'nf_conntrack_sip': 'unmanageable'}
    assert result['warnings'] == ['xt_limit, ip_conntrack_sip cannot be managed on this host: ' + NO_MODULES]
    assert lines(host, LOAD_FILE) == ['nf_conntrack', 'nf_conntrack_sip', 'xt_LOG', 'xt_limit']
    assert lines(host, MODPROBE_FILE) == ['install sctp /bin/false']
    assert host.calls == []


def test_a_container_sees_what_its_host_has_loaded_and_can_do_no_more() -> None:
    host = MemoryModules().put('nf_conntrack')
    host.the_tree, host.the_obstacle = None, NOT_PERMITTED
    result = second(host, 'nf_conntrack', 'xt_LOG', {'name': 'nf_conntrack', 'state': 'loaded'}, {'name': 'sctp', 'state': 'blocked'})
    assert states(result) == {'nf_conntrack': 'loaded', 'xt_LOG': 'unmanageable', 'sctp': 'unmanageable'}
    result = second(host, {'name': 'nf_conntrack', 'state': 'unloaded'})
    assert (states(result), host.calls) == ({'nf_conntrack': 'unmanageable'}, [])
    assert result['modules'][0]['reason'] == 'it cannot be unloaded: ' + NOT_PERMITTED


def test_with_its_hosts_files_but_not_its_rights_a_container_can_do_nothing_either() -> None:
    host = MemoryModules()
    host.the_obstacle = NOT_PERMITTED
    result = second(host, 'xt_LOG', {'name': 'sctp', 'state': 'blocked'}, {'name': 'dccp', 'state': 'unloaded'})
    assert states(result) == {'xt_LOG': 'unmanageable', 'sctp': 'unmanageable', 'dccp': 'unloaded'}
    assert host.loaded == {}


def test_needs_of_others_that_cannot_be_met_are_no_warning() -> None:
    host = MemoryModules.without_modules()
    result = second(host, profile='server', helpers=['ftp'], tables=['nat'])
    assert set(states(result).values()) == {'unmanageable'}
    assert result['warnings'] == []


# Profiles, helpers, legacy tables

def test_a_profile_brings_its_modules_and_the_list_overrides_them() -> None:
    host = MemoryModules()
    one, = second(host, profile='server')['modules']
    assert (one['name'], one['state']) == ('nf_conntrack', 'loaded')
    assert 'net.netfilter.nf_conntrack_*' in one['reason']
    result = second(host, {'name': 'ip_conntrack', 'persist': False}, profile='server')
    assert (states(result), host.files) == ({'nf_conntrack': 'loaded'}, {})
    assert 'net.netfilter' in result['modules'][0]['reason']
    result = second(host, {'name': 'nf_conntrack', 'state': 'unloaded'}, profile='server')
    assert states(result) == {'nf_conntrack': 'unloaded'}


def test_helpers_bring_their_other_half_where_addresses_are_rewritten() -> None:
    assert list(states(second(MemoryModules(), helpers=['ftp', 'RAS', 'Q.931', 'sane']))) == [
        'nf_conntrack_ftp', 'nf_conntrack_h323', 'nf_conntrack_sane']
    assert list(states(second(MemoryModules(), helpers=['ftp', 'snmp'], tables=['filter', 'nat']))) == [
        'nf_conntrack_ftp', 'nf_nat_ftp', 'nf_conntrack_snmp', 'nf_nat_snmp_basic']


@pytest.mark.parametrize(('backend', 'found', 'families', 'names'), [
    ('auto', 'legacy', ('ipv4', 'ipv6'), ['ip_tables', 'iptable_filter', 'iptable_nat', 'ip6_tables', 'ip6table_filter', 'ip6table_nat']),
    ('auto', 'nft', ('ipv4', 'ipv6'), []),
    ('auto', '', ('ipv4', 'ipv6'), []),
    ('legacy', 'nft', ('ipv6',), ['ip6_tables', 'ip6table_filter', 'ip6table_nat']),
    ('nft', 'legacy', ('ipv4',), []),
])
def test_tables_of_the_legacy_backend_are_loaded_at_boot(backend: str, found: str, families: Any, names: List[str]) -> None:
    host = MemoryModules()
    host.the_backend = found
    assert list(states(second(host, tables=['filter', 'nat'], families=families, backend=backend))) == names
    assert lines(host, LOAD_FILE) == sorted(names)


def test_a_need_that_the_kernel_does_not_have_is_reported_and_left_out_of_the_files() -> None:
    host = MemoryModules(debian_without('nf_nat_ftp'))
    host.aliases = {}
    result = run(host, helpers=['ftp'], tables=['nat'])
    assert states(result) == {'nf_conntrack_ftp': 'loaded', 'nf_nat_ftp': 'missing'}
    assert lines(host, LOAD_FILE) == ['nf_conntrack_ftp']


# Absent, and files

def test_absent_takes_the_files_and_unloads_nothing() -> None:
    host = MemoryModules()
    run(host, 'xt_LOG', 'nf_conntrack', {'name': 'sctp', 'state': 'blocked'})
    assert set(host.files) == set(OUR_FILES)
    host.files['/etc/modprobe.d/other.conf'] = 'x'
    result = second(host, state='absent')
    assert (set(host.files), 'xt_LOG' in (host.loaded or ())) == ({'/etc/modprobe.d/other.conf'}, True)
    assert result['warnings'] == ['state: absent takes the files away and unloads nothing: what was loaded is so until the next boot']
    assert run(host, state='absent')['warnings'] == []


@pytest.mark.parametrize('read_only', ['/etc', '/etc/modprobe.d', '/etc/modules-load.d'])
def test_a_place_that_cannot_be_written_is_met_before_anything_changes(read_only: str) -> None:
    host = MemoryModules().put('nf_conntrack_ftp')
    host.read_only = read_only
    message = refused(host, 'xt_LOG', {'name': 'nf_conntrack_ftp', 'state': 'blocked'})
    assert 'is read-only' in message
    assert host.calls == []


@pytest.mark.parametrize('path', OUR_FILES)
def test_a_file_that_fails_halfway_puts_everything_back(path: str) -> None:
    host = MemoryModules().put('nf_conntrack_ftp')
    host.shown = {'nf_conntrack': {'hashsize': '4096'}}
    host.free = {('nf_conntrack', 'hashsize')}
    host.files[MODPROBE_FILE] = 'options x y=1\n'
    failures = [path]

    def fail(at: str) -> None:
        if at in failures:
            failures.remove(at)
            raise PalisadeError('%s cannot be changed: no' % at)

    host.at_commit = fail
    assert refused(host, 'xt_LOG', CONNTRACK, {'name': 'nf_conntrack_ftp', 'state': 'blocked'}) == (
        '%s cannot be changed: no. Nothing has changed' % path)


def test_what_cannot_be_put_back_is_said() -> None:
    host = MemoryModules()
    host.silent = {'xt_LOG'}

    def fail(names: Any) -> None:
        raise PalisadeError('rmmod failed')

    host.unload = fail  # type: ignore[method-assign]
    with pytest.raises(PalisadeError, match=r'does not have it\. Not everything could be put back: rmmod failed'):
        run(host, 'xt_limit', 'xt_LOG')


def test_a_module_that_cannot_be_unloaded_again_is_said() -> None:
    """As sctp, which holds itself."""
    host = MemoryModules()
    host.known, host.uses = {'sctp': {'no_checksums'}}, {'sctp': 2}
    with pytest.raises(PalisadeError) as caught:
        run(host, {'name': 'sctp', 'options': 'no_checksms=1'})
    assert str(caught.value) == (
        'modules: sctp has no parameter no_checksms (it has: no_checksums). Not everything could be put back: '
        'ip6_udp_tunnel, libcrc32c, sctp, udp_tunnel cannot be unloaded again')
