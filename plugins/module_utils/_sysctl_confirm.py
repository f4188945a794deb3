# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commit by proof of kernel settings, on the host: before a change of them, what puts the old values back by itself."""
from __future__ import annotations

import shlex
from typing import Mapping, Sequence

from ansible_collections.palisade.netfilter.plugins.module_utils._confirm_base import Waiting, discard_script, keep_script
from ansible_collections.palisade.netfilter.plugins.module_utils._host_base import SETTINGS
from ansible_collections.palisade.netfilter.plugins.module_utils._host_files import FileChange, FilePlan
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_model import in_writing_order
from ansible_collections.palisade.netfilter.plugins.module_utils._sysctl_values import PREFIX

#: undo of settings, called in its folder by the script of _confirm_script.py; set in front: root, where the kernel shows them. Reads
#: before.settings and, once the change was live, live.settings: lines of a key's path and its value, in the order in which what is written stays.
UNDO_SETTINGS = r"""
read_key='
function read_key(path,    line, status, there) {
  value = ""
  while ((status = (getline line < (root path))) > 0) {
    there = 1
    value = value " " line
  }
  close(root path)
  gsub(/[ \t]+/, " ", value)
  sub(/^ /, "", value)
  sub(/ $/, "", value)
  return there || status == 0
}
'

# What each key is to have. One that the change did not move, and that has another value now, has it of somebody else, and keeps it: also when
# forwarding, which the kernel spreads, goes over it. An interface that has come meanwhile, and has taken our default, takes the former one.
compose() {
  for family in ipv4 ipv6; do
    for folder in "${root}net/$family/conf"/*; do
      printf '#interface %s %s\n' "$family" "${folder##*/}"
    done
  done | cat before.settings live.settings - 2>/dev/null | awk -v root="$root" "$read_key"'
    /^#interface / { interfaces[$2] = interfaces[$2] " " $3; next }
    /^#live$/ { live = 1; next }
    {
      path = $1
      sub(/^[^ ]+ ?/, "")
      if (live) { after[path] = $0; next }
      before[path] = $0
      order[++count] = path
    }
    END {
      for (i = 1; i <= count; i++) {
        path = order[i]
        wanted = before[path]
        if ((path in after) && after[path] == wanted && read_key(path)) wanted = value
        print path " " wanted
        n = split(path, part, "/")
        if (n != 5 || part[3] != "conf" || part[4] != "default" || !(path in after) || after[path] == before[path]) continue
        m = split(interfaces[part[2]], names, " ")
        for (j = 1; j <= m; j++) {
          other = "net/" part[2] "/conf/" names[j] "/" part[5]
          if (!(other in before) && read_key(other) && value == after[path]) print other " " before[path]
        }
      }
      print "#composed"
    }'
}

# Those that do not have it. A key that is not there any more went with its interface.
differing() {
  printf '%s\n' "$wanted" | awk -v root="$root" "$read_key"'
    $0 == "#composed" { print; next }
    {
      path = $1
      sub(/^[^ ]+ ?/, "")
      if (read_key(path) && value != $0) print path " " $0
    }'
}

# Composed once: what this script has moved by then, before somebody killed it, would look like the work of another.
wanted=$(cat wanted 2>/dev/null)
case $wanted in
  *'#composed') ;;
  *)
    wanted=$(compose)
    case $wanted in *'#composed') ;; *) echo 'kernel settings: awk fails'; exit 1 ;; esac
    # On a full disk it has to do without.
    (printf '%s\n' "$wanted" >wanted.new && mv wanted.new wanted) 2>/dev/null || :
    ;;
esac

tries=0
while left=$(differing); [ "$left" != '#composed' ]; do
  tries=$((tries + 1))
  [ $tries -le 5 ] || break
  [ $tries -le 2 ] || sleep 1
  # Some move others: forwarding comes first, and the next time round sees what it has moved.
  printf '%s\n' "$left" | while read -r path value; do
    [ "$path" = '#composed' ] || { printf '%s\n' "$value" >"$root$path"; } 2>/dev/null
  done
done
[ "$left" = '#composed' ] && exit
printf '%s\n' "$left" | while read -r path value; do
  [ "$path" = '#composed' ] || printf '%s does not take %s again\n' "$path" "$value"
done
exit 1
"""


class ConfirmingSettings(Waiting):
    """A change of kernel settings that waits for its word."""

    root = PREFIX

    def arm(self, before: Mapping[str, str], changes: Sequence[FileChange]) -> bool:
        """Have the host give these keys their values again, unless it is told otherwise in time. False where nobody could tell it.

        Raises PalisadeError, with nothing changed, where the host cannot be made to.
        """
        files = FilePlan(changes)
        return self._arm(SETTINGS, lambda: {
            'before.settings': settings_text(before),
            'undo': 'set -u\nroot=%s\n%s' % (shlex.quote(self.root), UNDO_SETTINGS),
            'keep': keep_script(files, False, ''),
            'discard': discard_script(files),
        })

    def applied(self, after: Mapping[str, str]) -> None:
        """The change is live and as wanted: from now on the time runs, and the word counts."""
        self._start({'live.settings': '#live\n%s' % settings_text(after)})


def settings_text(values: Mapping[str, str]) -> str:
    """Keys and their values as the script reads them."""
    return ''.join(['%s %s\n' % (path, ' '.join(values[path].split())) for path in in_writing_order(values)])
