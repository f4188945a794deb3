# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text of one rule: splitting and quoting are inverses, jumps are found in every spelling, bad text is refused by name."""
from __future__ import annotations

from typing import List, Optional

import pytest
from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError
from ansible_collections.palisade.netfilter.plugins.module_utils._rule import (
    LONGEST_RULE,
    Jump,
    check_characters,
    find_jump,
    join,
    option_values,
    plain_quotes,
    quote,
    retarget,
    retarget_written,
    saved_target,
    tokenise,
)
from ansible_collections.palisade.netfilter.tests.unit.support.strategies import AWKWARD_WORDS, WORDS
from hypothesis import given
from hypothesis import strategies as st

#: Text → arguments, each line tried on iptables-restore 1.8.9.
SPLITS = [
    ('', []),
    ('  \t ', []),
    ('-j ACCEPT', ['-j', 'ACCEPT']),
    ('  -j\t \tACCEPT  ', ['-j', 'ACCEPT']),
    ('--comment "two words"', ['--comment', 'two words']),
    ('--comment ""', ['--comment', '']),
    (r'--comment "a \" b"', ['--comment', 'a " b']),
    (r'--comment "a \\"', ['--comment', 'a \\']),
    (r'--comment "\a\'"', ['--comment', "a'"]),
    ("--comment 'two words'", ['--comment', "'two", "words'"]),
    (r'--comment a\b', ['--comment', r'a\b']),
    ('--comment pre"fix"', ['--comment', 'prefix']),
    ('--comment "foo"-j ACCEPT', ['--comment', 'foo', '-j', 'ACCEPT']),
    ('--comment "foo"bar', ['--comment', 'foo', 'bar']),
    ('--comment a""b', ['--comment', 'a', 'b']),
    ('-"j" ACCEPT', ['-j', 'ACCEPT']),
    (r'"\-j" ACCEPT', ['-j', 'ACCEPT']),
    ('--comment "naïve – 防火墙"', ['--comment', 'naïve – 防火墙']),
    ('--comment naïve\u00a0wall', ['--comment', 'naïve\u00a0wall']),
]

PLAIN_AND_QUOTED = [
    ('ACCEPT', 'ACCEPT'),
    ('10.0.0.0/8', '10.0.0.0/8'),
    ('!', '!'),
    ('', '""'),
    ('two words', '"two words"'),
    ('say "hi"', r'"say \"hi\""'),
    ('back\\slash', r'"back\\slash"'),
    ("it's", '"it\'s"'),
    ('naïve', '"naïve"'),
]


def split_by_character(text: str) -> Optional[List[str]]:
    """iptables-restore's way through a line, one character after the other; None where a quote stays open."""
    words: List[str] = []
    word, in_word, quoted, escaped = '', False, False, False
    for character in text:
        if escaped:
            word, escaped = word + character, False
        elif quoted and character == '\\':
            escaped = True
        elif character == '"':
            if quoted:
                words.append(word)
                word = ''
            in_word, quoted = not quoted, not quoted
        elif character in ' \t' and not quoted:
            if in_word:
                words.append(word)
            word, in_word = '', False
        else:
            word, in_word = word + character, True
    if quoted:
        return None
    return words + [word] if in_word else words


@pytest.mark.parametrize(('text', 'tokens'), SPLITS)
def test_a_line_is_split_as_iptables_restore_splits_it(text: str, tokens: List[str]) -> None:
    assert tokenise(text) == tokens
    assert split_by_character(text) == tokens


@given(st.text(st.sampled_from('ab-"\\\' \té'), max_size=30))
def test_any_line_is_split_as_character_by_character(text: str) -> None:
    expected = split_by_character(text)
    if expected is None:
        with pytest.raises(PalisadeError):
            tokenise(text)
    else:
        assert tokenise(text) == expected


@pytest.mark.parametrize('text', ['-m comment --comment "open', '"', r'--comment "a\"', r'--comment "a" "b\\\"', '-j "'])
def test_an_open_quote_is_refused_with_the_place(text: str) -> None:
    with pytest.raises(PalisadeError, match='tables: table filter, chain INPUT, rule 3: a double quote is opened and never closed in: '):
        tokenise(text, 'tables: table filter, chain INPUT, rule 3')


@pytest.mark.parametrize(('token', 'quoted'), PLAIN_AND_QUOTED)
def test_quotes_stand_where_they_are_needed(token: str, quoted: str) -> None:
    assert quote(token) == quoted
    assert tokenise(quoted) == [token]


@given(st.lists(WORDS | AWKWARD_WORDS, max_size=6))
def test_tokenise_is_the_inverse_of_join(tokens: List[str]) -> None:
    assert tokenise(join(tokens)) == tokens


@pytest.mark.parametrize(('text', 'jump'), [
    ('-j ACCEPT', Jump(1, '', 'ACCEPT')),
    ('-jACCEPT', Jump(0, '-j', 'ACCEPT')),
    ('-p tcp --jump WEB --foo', Jump(3, '', 'WEB')),
    ('--jump=WEB', Jump(0, '--jump=', 'WEB')),
    ('--j WEB', Jump(1, '', 'WEB')),
    ('--ju=WEB', Jump(0, '--ju=', 'WEB')),
    ('-g WEB', Jump(1, '', 'WEB')),
    ('-gWEB', Jump(0, '-g', 'WEB')),
    ('--goto WEB', Jump(1, '', 'WEB')),
    ('--g WEB', Jump(1, '', 'WEB')),
    ('--go=WEB', Jump(0, '--go=', 'WEB')),
    ('-m comment --comment "-j DROP" -j WEB', Jump(5, '', 'WEB')),
    ('-m comment --comment -j -j WEB', Jump(5, '', 'WEB')),
    ('-m comment --comment -jDROP -j WEB', Jump(5, '', 'WEB')),
    ('-m comment --comment "x"-j WEB', Jump(5, '', 'WEB')),
    ('-m string --string "-j" --algo bm -j WEB', Jump(7, '', 'WEB')),
    ('-j LOG --log-prefix "-j DROP "', Jump(1, '', 'LOG')),
    ('-m recent --name -j --set -j WEB', Jump(6, '', 'WEB')),
    ('-p tcp -m tcp --dport 80', None),
    ('-m comment --comment "-j DROP"', None),
    ('-p tcp -j', None),
    ('-p tcp -- WEB', None),
    ('', None),
])
def test_the_jump_is_found_in_every_spelling_and_never_in_free_text(text: str, jump: Optional[Jump]) -> None:
    assert find_jump(tokenise(text)) == jump


@pytest.mark.parametrize(('rule', 'target'), [
    ('-j ACCEPT', 'ACCEPT'),
    ('-g WEB', 'WEB'),
    ('-s 10.0.0.0/8 -p tcp -m tcp --dport 80 -j WEB', 'WEB'),
    ('-m comment --comment "no -j DROP here" -j WEB', 'WEB'),
    (r'-m comment --comment "no \" -j DROP here" -j WEB', 'WEB'),
    (r'-m comment --comment "ends in \\" -j WEB', 'WEB'),
    ('-m comment --comment -j -j WEB', 'WEB'),
    ('-j LOG --log-prefix "then -j DROP "', 'LOG'),
    ('-m comment --comment "only -j DROP here"', None),
    ('-p tcp', None),
    ('', None),
])
def test_the_target_of_a_saved_rule(rule: str, target: Optional[str]) -> None:
    assert saved_target(rule) == target


NAMES = {'WEB': 'palisade-WEB', 'DROP': 'never', 'a': 'never'}


@pytest.mark.parametrize(('rule', 'renamed'), [
    ('-j WEB', '-j palisade-WEB'),
    ('-g WEB', '-g palisade-WEB'),
    ('-p tcp -j WEB', '-p tcp -j palisade-WEB'),
    ('-m comment --comment "to -j WEB" -j WEB', '-m comment --comment "to -j WEB" -j palisade-WEB'),
    (r'-m comment --comment "to \" -j WEB" -j ACCEPT', r'-m comment --comment "to \" -j WEB" -j ACCEPT'),
    ('-m comment --comment "-j WEB"', '-m comment --comment "-j WEB"'),
    ('-j WEBSITE', '-j WEBSITE'),
    ('-j ACCEPT', '-j ACCEPT'),
    ('-p tcp', '-p tcp'),
    ('-j LOG --log-prefix "-j WEB "', '-j LOG --log-prefix "-j WEB "'),
])
def test_only_the_jump_of_a_saved_rule_is_renamed(rule: str, renamed: str) -> None:
    assert retarget(rule, NAMES) == renamed


@pytest.mark.parametrize(('text', 'renamed'), [
    ('-jWEB', '-jpalisade-WEB'),
    ('--jump=WEB', '--jump=palisade-WEB'),
    ('--jump   WEB -p tcp', '--jump palisade-WEB -p tcp'),
    ('-m comment --comment "-j WEB" --goto WEB', '-m comment --comment "-j WEB" --goto palisade-WEB'),
    ('-j  ACCEPT', '-j  ACCEPT'),
    ('-m comment --comment -jWEB', '-m comment --comment -jWEB'),
])
def test_a_written_rule_is_renamed_in_its_own_spelling(text: str, renamed: str) -> None:
    assert retarget_written(text, NAMES) == renamed


@given(comment=WORDS | AWKWARD_WORDS, target=st.sampled_from(['WEB', 'SSH']))
def test_renaming_a_jump_there_and_back_changes_nothing(comment: str, target: str) -> None:
    rule = '%s -j %s' % (join(['-m', 'comment', '--comment', comment]), target)
    there = retarget(rule, {'WEB': 'p-WEB', 'SSH': 'p-SSH'})
    assert saved_target(there) == 'p-' + target
    assert tokenise(there)[:4] == ['-m', 'comment', '--comment', comment]
    assert retarget(there, {'p-WEB': 'WEB', 'p-SSH': 'SSH'}) == rule


@pytest.mark.parametrize(('rule', 'plain'), [
    ('-m comment --comment "word" -j ACCEPT', '-m comment --comment word -j ACCEPT'),
    ('-m comment --comment "a.b"', '-m comment --comment a.b'),
    ('-m comment --comment "two words" -j ACCEPT', '-m comment --comment "two words" -j ACCEPT'),
    (r'-m comment --comment "a \"b\" c"', r'-m comment --comment "a \"b\" c"'),
    ('-m comment --comment ""', '-m comment --comment ""'),
    ('-j ACCEPT', '-j ACCEPT'),
])
def test_quotes_around_plain_words_are_put_aside(rule: str, plain: str) -> None:
    assert plain_quotes(rule) == plain


@given(st.lists(WORDS | AWKWARD_WORDS, min_size=1, max_size=5))
def test_putting_quotes_aside_keeps_the_arguments(tokens: List[str]) -> None:
    rule = ' '.join(['-x'] + ['"%s"' % token.replace('\\', '\\\\').replace('"', '\\"') for token in tokens])
    assert tokenise(plain_quotes(rule)) == ['-x'] + tokens


@pytest.mark.parametrize(('text', 'values'), [
    ('-m set --match-set a src --match-set b dst', {'--match-set': ['a', 'b']}),
    ('--match-set=a', {'--match-set': ['a']}),
    ('-o eth0', {'-o': ['eth0']}),
    ('-oeth0', {'-o': ['eth0']}),
    ('-i eth0 -p tcp', {}),
    ('-s10.0.0.1 --dport=80 - -p tcp', {}),
    ('-o', {}),
    ('-m comment --comment "-only for ssh" -o eth0', {'-o': ['eth0']}),
    ('-m comment --comment -o -j ACCEPT', {}),
])
def test_values_of_options_attached_or_not(text: str, values: object) -> None:
    assert option_values(tokenise(text), {'--match-set': 1, '-o': 1}) == values


@pytest.mark.parametrize('text', [
    '-j ACCEPT', '-j\tACCEPT', '-m comment --comment "naïve – 防火墙"', '', "-m comment --comment it's",
    '-m comment --comment "a\u00a0b"', 'x' * (LONGEST_RULE - 1), '-m comment --comment "a"\t-j ACCEPT',
])
def test_printable_text_passes(text: str) -> None:
    check_characters(text, 'rule')


@pytest.mark.parametrize(('text', 'named'), [
    ('-j ACCEPT\n-j DROP', r"'\n'"),
    ('-j ACCEPT\r', r"'\r'"),
    ('-j ACCEPT\0', r"'\x00'"),
    ('-m comment --comment "a\tb"', r"'\t'"),
    ('-j ACCEPT\x0b', r"'\x0b'"),
    ('-j ACCEPT\x1b[2J', r"'\x1b'"),
    ('-j ACCEPT\x7f', r"'\x7f'"),
    ('-j ACCEPT\x85', r"'\x85'"),
    ('-j ACCEPT\u2028', r"'\u2028'"),
])
def test_control_characters_are_refused_and_shown_as_escapes(text: str, named: str) -> None:
    with pytest.raises(PalisadeError) as caught:
        check_characters(text, 'tables: table nat, chain OUTPUT, rule 1')
    message = str(caught.value)
    assert message.startswith('tables: table nat, chain OUTPUT, rule 1: control character %s in ' % named)
    assert message.isprintable()


@pytest.mark.parametrize('text', ['x' * LONGEST_RULE, 'é' * (LONGEST_RULE // 2), '防' * (LONGEST_RULE // 3 + 1)])
def test_a_rule_longer_than_the_buffer_of_iptables_restore_is_refused(text: str) -> None:
    with pytest.raises(PalisadeError, match='content: line 7: the rule is longer than 10000 bytes'):
        check_characters(text, 'content: line 7')
