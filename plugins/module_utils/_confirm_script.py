# Copyright (c) 2026, palisade.netfilter contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two shell scripts left on a host while a change waits for its confirmation. Text alone.

Python may be gone by the time they run; they need POSIX sh, awk and sed. They lie in a directory of their own below /run/palisade, with the files
that they read (see _host_confirm.py).
"""
from __future__ import annotations

#: commit VERB TOKEN [how]. Its directory holds token, connection (that the run came in by), deadline (seconds of /proc/uptime), applied (once
#: all of the change is live), the scripts undo (puts the old state back), keep (carries out what waits for the confirmation), discard and stop,
#: and one file whose name is the state. A rename of that file decides between confirmation and rollback:
#:   armed → confirmed → kept, or armed → undoing → undone (its text: how it went), or armed → disarmed (the module has put all back itself)
COMMIT = r"""
set -u
umask 077
unset IFS
export LC_ALL=C
PATH=${PATH:-/usr/sbin}:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin
verb=${1:-} token=${2:-} how=${3:-}

say() { printf 'palisade-commit %s\n' "$*"; }

log() { logger -t palisade-firewall -p "daemon.$1" -- "$name: $2" 2>/dev/null || :; }

# This and the next two without another process: one that is killed would tell something else.
# Sets state to what has become of the change.
look() {
  for state in armed confirmed kept undoing undone disarmed ''; do
    [ -z "$state" ] || [ ! -e $state ] || return 0
  done
}

# Whether it is still the change that was meant.
is_ours() {
  found=
  read -r found 2>/dev/null <token
  [ "$found" = "$token" ]
}

# Sets left to the seconds until the time is over.
count() {
  read -r up _ </proc/uptime
  deadline=
  read -r deadline 2>/dev/null <deadline
  left=$((${deadline:-0} - ${up%.*}))
}

take_lock() {
  # In a shell of its own, since a redirection that fails would end this one.
  (: >>../lock) 2>/dev/null || return 0
  exec 9>>../lock
  tries=0
  until flock -n 9 2>/dev/null; do
    # 1 is a lock that is held. A host without flock has to be put back all the same.
    [ $? = 1 ] && [ $tries -lt "$1" ] || return 0
    tries=$((tries + 1))
    sleep 1
  done
}

# sudo and su drop the variable; the parents still have it.
ssh_connection() {
  found=${SSH_CONNECTION:-} process=$PPID
  while [ -z "$found" ] && [ "${process:-0}" -gt 1 ]; do
    found=$(tr '\0' '\n' <"/proc/$process/environ" 2>/dev/null | sed -n 's/^SSH_CONNECTION=//p')
    process=$(sed -n 's/^PPid:[^0-9]*//p' "/proc/$process/status" 2>/dev/null)
  done
  printf %s "$found"
}

# What a timer does: it waits, and sees that the rollback is done to its end though somebody kills it. Where a confirmation was killed before
# the files had taken their places, it sees to that.
watch() {
  trap '' HUP
  tries=0
  while [ $tries -lt 20 ] && is_ours; do
    look
    case $state in armed | undoing | confirmed) ;; *) return 0 ;; esac
    count
    if [ ! -e undoing ] && [ $left -gt 0 ]; then
      sleep 1
      continue
    fi
    if [ -e confirmed ]; then sh "$self" keep "$token"; else sh "$self" undo "$token" late; fi >/dev/null 2>&1
    tries=$((tries + 1))
    sleep 1
  done
}

# The lock first: whoever is at the rules now, such as the run that armed this, shall be done with them; so shall what was started by one of our
# own that was killed, and is then done again.
undo() {
  lives=5
  while
    take_lock 30
    is_ours || return 0
    # A run that took longer than its time has been done with the rules just now, and its time has begun anew.
    count
    [ "$how" != late ] || [ ! -e armed ] || [ $left -le 0 ] || return 0
    mv armed undoing 2>/dev/null || [ -e undoing ] || return 0
    (: >"../$name.applying") 2>/dev/null || :
    problem=$(sh ./undo 2>&1)
    ended=$?
    lives=$((lives - 1))
    [ $ended -gt 128 ] && [ $lives -gt 0 ]
  do :; done
  if [ $ended = 0 ]; then
    problem=good
    rm -f "../$name.applying"
    log warning 'not confirmed: what was there before is back'
  else
    problem=${problem:-"undo ended with $ended"}
    log err "not confirmed, and putting back what was there before failed: $problem"
  fi
  sh ./discard
  [ "$problem" != good ] || rm -f before.*
  # On a full disk the name has to do.
  (printf '%s\n' "$problem" >undoing) 2>/dev/null || :
  mv undoing undone
}

keep() {
  take_lock 30
  [ -e confirmed ] || return 0
  # It may be killed, and does no harm if it is done once more.
  problem=$(sh ./keep 2>&1) || problem=$(sh ./keep 2>&1) || return 1
  mv confirmed kept
  rm -f before.*
}

confirm() {
  look
  connection=$(ssh_connection)
  if [ "$how" = new ] && { [ -z "$connection" ] || [ "$connection" = "$(cat connection)" ]; }; then
    say same "$connection"
  elif [ "$state" = armed ] && [ ! -e applied ]; then
    say unapplied
  else
    mv armed confirmed 2>/dev/null || :
    if keep; then
      # The timer would find nothing to do any more.
      [ ! -e kept ] || sh ./stop >/dev/null 2>&1
      tell
    else
      say unkept "$problem"
    fi
  fi
}

tell() {
  look
  case $state in
    kept) say kept "$(ssh_connection)" ;;
    undone) say undone "$(tr '\n' ' ' <undone | sed 's/ *$//')" ;;
    armed)
      count
      say armed $left
      ;;
    *) say "$state" ;;
  esac
}

main() {
  if ! is_ours; then
    say gone
    return
  fi
  case $verb in
    watch) watch ;;
    undo) undo; tell ;;
    keep) keep ;;
    confirm) confirm ;;
    status) tell ;;
  esac
}

self=$0
cd "${0%/*}" || exit
name=${PWD##*/}
name=${name%.commit}
main
exit
"""

#: undo of rules: for each family a file before.FAMILY (see _confirm.py), and what is set in front: name, scope, and a line `family PROGRAMS` each.
#: Composes from that and from what is live now, so that what others have changed meanwhile stays, and looks again until nothing is left to do.
UNDO_RULES = r"""
program='
BEGIN {
  part = "before"
  n = split("INPUT FORWARD OUTPUT PREROUTING POSTROUTING", words, " ")
  for (i = 1; i <= n; i++) built_in[words[i]] = 1
}
$0 == "#live" { part = "live"; next }
/^\*/ {
  table = substr($0, 2)
  if (part == "before") tables[++table_count] = table
  next
}
/^#jump / {
  place[table, $2] = $3
  hooks[table] = hooks[table] " " $2
  rule = $0
  sub(/^#jump [^ ]+ [^ ]+ ?/, "", rule)
  if (match(rule, /^\[[0-9:]+\] /)) {
    jump_counter[table, $2] = substr(rule, 1, RLENGTH)
    rule = substr(rule, RLENGTH + 1)
  }
  jump[table, $2] = rule
  next
}
/^:/ {
  chain = substr($1, 2)
  if ($2 != "-") {
    policy[part, table, chain] = $2
    packets[table, chain] = $3
    if (part == "before") policies[table] = policies[table] " " chain
  }
  if ($2 == "-" || part == "live") {
    there[part, table, chain] = 1
    chains[part, table, ++chain_count[part, table]] = chain
  }
  next
}
/^(\[[0-9:]+\] )?-A / {
  counter = ""
  rule = $0
  if (rule ~ /^\[/) {
    counter = $1 " "
    sub(/^[^ ]+ /, "", rule)
  }
  sub(/^-A /, "", rule)
  chain = rule
  sub(/ .*/, "", chain)
  sub(/^[^ ]+ ?/, "", rule)
  sub(/ +$/, "", rule)
  i = ++rule_count[part, table, chain]
  rules[part, table, chain, i] = rule
  counters[part, table, chain, i] = counter
}

function is_ours(chain) { return scope == "tables" || index(chain, name "-") == 1 || index(chain, name "~") == 1 }

function is_jump(hook, rule,    tail, head) {
  tail = "-j " name "-" hook
  if (scope == "tables" || substr(rule, length(rule) - length(tail) + 1) != tail) return 0
  head = substr(rule, 1, length(rule) - length(tail))
  return head == "" || head ~ ("^-m comment --comment \"?" name "(: policy was (ACCEPT|DROP))?\"? $")
}

function note_targets(table, rule,    count, i) {
  gsub(/"([^"\\]|\\.)*"/, "\"\"", rule)
  count = split(rule, words, " ")
  for (i = 1; i < count; i++) if (words[i] == "-j" || words[i] == "-g") held[table, words[i + 1]] = 1
}

function put(table, line) {
  if (!(table in begun)) print "*" table
  begun[table] = 1
  print line
}

function differs(table, chain,    i) {
  if (rule_count["before", table, chain] != rule_count["live", table, chain]) return 1
  for (i = 1; i <= rule_count["live", table, chain]; i++)
    if (rules["before", table, chain, i] != rules["live", table, chain, i]) return 1
  return 0
}

function put_jump(table, hook,    i, jumps, others, first, same, wanted) {
  wanted = jump[table, hook]
  jumps = others = same = 0
  for (i = 1; i <= rule_count["live", table, hook]; i++) {
    if (!is_jump(hook, rules["live", table, hook, i])) {
      others++
      note_targets(table, rules["live", table, hook, i])
      continue
    }
    if (!jumps++) first = i
    same = rules["live", table, hook, i] == wanted
  }
  if (wanted == "" && !jumps || jumps == 1 && same) return
  for (i = 1; i <= rule_count["live", table, hook]; i++)
    if (is_jump(hook, rules["live", table, hook, i])) put(table, "-D " hook " " rules["live", table, hook, i])
  if (wanted == "") return
  i = jumps ? first : place[table, hook]
  put(table, jump_counter[table, hook] (i > others ? "-A " hook : "-I " hook " " i) " " wanted)
}

function restore(table,    i, n, chain, count, names, stale) {
  count = chain_count["before", table]
  for (i = 1; i <= count; i++) {
    chain = chains["before", table, i]
    if (!(("live", table, chain) in there) && !(chain in built_in)) put(table, ":" chain " - [0:0]")
  }
  n = split(policies[table], names, " ")
  for (i = 1; i <= n; i++) {
    chain = ("live", table, names[i]) in policy ? policy["live", table, names[i]] : "ACCEPT"
    if (chain != policy["before", table, names[i]])
      put(table, ":" names[i] " " policy["before", table, names[i]] " " (packets[table, names[i]] == "" ? "[0:0]" : packets[table, names[i]]))
  }
  for (i = 1; i <= count; i++) {
    chain = chains["before", table, i]
    if (!differs(table, chain)) continue
    if (rule_count["live", table, chain]) put(table, "-F " chain)
    for (n = 1; n <= rule_count["before", table, chain]; n++) {
      put(table, counters["before", table, chain, n] "-A " chain " " rules["before", table, chain, n])
    }
  }
  n = split(hooks[table], names, " ")
  for (i = 1; i <= n; i++) put_jump(table, names[i])
  count = chain_count["live", table]
  for (i = 1; i <= count; i++) {
    chain = chains["live", table, i]
    if (chain in built_in || is_ours(chain)) continue
    for (n = rule_count["live", table, chain]; n; n--) note_targets(table, rules["live", table, chain, n])
  }
  stale = ""
  for (i = 1; i <= count; i++) {
    chain = chains["live", table, i]
    if (chain in built_in || !is_ours(chain) || ("before", table, chain) in there) continue
    if (rule_count["live", table, chain]) put(table, "-F " chain)
    # One that a rule of somebody else leads to by now is only emptied.
    if (!((table, chain) in held)) stale = stale "\n-X " chain
  }
  if (stale != "") put(table, substr(stale, 2))
  if (table in begun) print "COMMIT"
}

END {
  for (t = 1; t <= table_count; t++) if (only == "" || tables[t] == only) restore(tables[t])
  print "#composed"
}
'

compose() {
  live=$("$save" -c 2>/dev/null) || { why="iptables-save fails: $("$save" 2>&1 >/dev/null)"; return 1; }
  case $live in *"' is incompatible"*) why='native nftables rules are in its tables'; return 1 ;; esac
  text=$({ cat "before.$1"; printf '%s\n' '#live' "$live"; } | awk -v name="$name" -v scope="$scope" -v only="$2" "$program") || text=
  # Half a text would load without a word.
  case $text in *'#composed') ;; *) why='awk fails'; return 1 ;; esac
}

# family FAMILY SAVE RESTORE [WAIT]: put it back; whatever else is there stays.
family() {
  save=$2 tries=0
  restore="$3 --noflush --counters ${4:-}"
  until why='' && compose "$1" '' && [ "$text" = '#composed' ]; do
    tries=$((tries + 1))
    if [ $tries = 5 ]; then
      # One table that the kernel refuses shall not hold up the others.
      for table in filter nat mangle raw security; do
        compose "$1" $table && printf '%s\n' "$text" | $restore >/dev/null 2>&1
      done
      compose "$1" '' && [ "$text" = '#composed' ] && return
      problems="$problems$1: ${refused:-}$why
"
      return
    fi
    [ $tries = 1 ] || sleep 1
    [ -n "$why" ] || refused=$(printf '%s\n' "$text" | $restore 2>&1 >/dev/null)
  done
}

problems=
families
printf %s "$problems"
[ -z "$problems" ]
"""
