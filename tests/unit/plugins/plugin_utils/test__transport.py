# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kinds of connections: what may be cut, and what never."""
from __future__ import annotations

from unittest.mock import Mock

import pytest
from ansible_collections.palisade.netfilter.plugins.plugin_utils import _transport
from ansible_collections.palisade.netfilter.plugins.plugin_utils._transport import kind_of, may_be_cut


@pytest.mark.parametrize(('transport', 'kind'), [('ssh', 'ssh'), ('community.docker.docker', 'docker'), ('ansible.netcommon.libssh', 'libssh')])
def test_a_kind_is_the_last_word(transport: str, kind: str) -> None:
    assert kind_of(Mock(transport=transport)) == kind


@pytest.mark.parametrize(('kind', 'over_ssh', 'cut'), [
    ('ssh', False, True), ('unheard_of', False, True), ('docker', True, False), ('local', False, False), ('local', True, True),
])
def test_what_may_be_cut(monkeypatch: pytest.MonkeyPatch, kind: str, over_ssh: bool, cut: bool) -> None:
    monkeypatch.setattr(_transport, 'over_network', lambda: over_ssh)
    assert may_be_cut(kind) is cut
