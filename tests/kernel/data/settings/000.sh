# SPDX-FileCopyrightText: 2026 palisade.netfilter contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# Document 000: what it puts into /etc/sysctl.conf, and what is not to be on but on a router.
sysctl -qw net.ipv4.tcp_syncookies=1
sysctl -qw net.ipv4.conf.default.rp_filter=1
sysctl -qw net.ipv4.ip_forward=0
