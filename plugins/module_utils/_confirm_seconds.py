# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option confirm_timeout. A file of its own: a run that confirms nothing shall not carry what does."""
from __future__ import annotations

from ansible_collections.palisade.netfilter.plugins.module_utils._errors import PalisadeError

#: Seconds that a change may wait for its confirmation. A new connection has to fit in, and somebody is to sit and wait.
SHORTEST, LONGEST = 5, 3_600


def check_seconds(seconds: int) -> None:
    """Raise PalisadeError for a confirm_timeout that nobody can mean."""
    if seconds and not SHORTEST <= seconds <= LONGEST:
        raise PalisadeError('confirm_timeout: %d: from %d to %d seconds, or 0 for no rollback' % (seconds, SHORTEST, LONGEST))
