#!/bin/sh
# SPDX-FileCopyrightText: 2026 palisade.netfilter contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# What a machine has before the role comes: a witness of each boot, interfaces that come late, a program that listens early, and a module
# that the role is to unload. One script, since on an emulated processor each of Ansible's tasks takes seconds.
set -eu

# What there is at the moment when the network is about to come up. The tests read it. The network's daemon leaves an interface alone until udev
# has done with it, and udev is who sets what is declared for that one interface.
mkdir -p /etc/systemd/system/systemd-networkd.service.d
cat >/etc/systemd/system/systemd-networkd.service.d/witness.conf <<'END'
[Service]
ExecStartPre=-+/bin/sh -c 'exec >/run/witness; udevadm settle --timeout=30; ip -br link; cat /proc/modules; for family in ip ip6; do $${family}tables-save; done; \
  cd /proc/sys; grep -s . net/ipv4/ip_forward net/ipv4/conf/*/* net/ipv6/conf/*/* net/core/* net/netfilter/nf_conntrack_max; true'
END

cat >/etc/systemd/network/late.100.netdev <<'END'
[NetDev]
Name=late.100
Kind=vlan
[VLAN]
Id=100
END
cat >/etc/systemd/network/late.100.network <<'END'
[Match]
Name=late.100
[Network]
Address=203.0.113.2/24
END
cat >/etc/systemd/network/second.network <<'END'
[Match]
Name=eth1
[Network]
Address=198.51.100.2/24
VLAN=late.100
END
networkctl reload

cat >/etc/systemd/system/early.socket <<'END'
[Socket]
ListenStream=8080
Accept=yes
END
cat >/etc/systemd/system/early@.service <<'END'
[Service]
ExecStart=/bin/true
END
mkdir -p /etc/systemd/system/sockets.target.wants
ln -sf ../early.socket /etc/systemd/system/sockets.target.wants/early.socket
systemctl daemon-reload
systemctl start early.socket

modprobe dummy numdummies=0

# Of the machine that nobody has hardened yet.
cut -d' ' -f1 /proc/modules >/root/modules-before
