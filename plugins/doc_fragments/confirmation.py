# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation that the modules share whose changes wait for a confirmation."""
from __future__ import annotations


class ModuleDocFragment:
    """The options of commit by proof."""

    DOCUMENTATION = r"""
options:
  confirm_timeout:
    description:
      - How long a change of what is live waits for its confirmation, in seconds, from 5 to 3600; 0 for none.
      - Before anything changes, the host is made to put back by itself what it had. Then the change goes live, and a new connection is opened,
        without any multiplexer and seen by its other source port to be new. Only that confirms the change. If it does not come, because the change
        cuts it off, the network is down or the controller is gone, the host puts back what it had, and the task fails and says so.
      - What is read at boot changes only after the confirmation. A restart in between brings what was persisted before.
      - While one change waits, another one of the same host is refused, be it of rules or of kernel settings.
      - Where a new connection proves nothing (local, Docker and the like) or cannot log in by itself, C(confirm.state) is V(unproved) and a
        message says why.
      - Where ssh shares a connection of your own (C(ControlPath) in your configuration or arguments), a new one is tried before the change. If none
        comes through, nothing changes.
    type: int
    default: 60
  confirm_id:
    description:
      - The word by which a task's own action confirms its run. The action sets it, whatever a task says; do not use it.
    type: str
    default: ''
notes:
  - While a change waits for its confirmation the host needs C(awk) and C(sed), no Python. With systemd it waits in a transient timer, elsewhere in a
    process of its own session; nothing of C(at) or C(cron) is needed.
"""
