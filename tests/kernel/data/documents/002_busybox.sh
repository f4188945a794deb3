#!/bin/sh
# SPDX-FileCopyrightText: 2026 palisade.netfilter contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# Document 002, BLFS: its "BusyBox", the router that serves its LAN, with every example that it lists, spoofed addresses
# (its second list too), DHCP and the REJECT at the end.
# Ours: "! -i WAN1" for "-i ! WAN1" and -I INPUT 1 and 2 for 0 and 1, which iptables refuses; the list of drops for spoofed
# addresses stands ahead of what accepts, where it can have an effect; the LOG lines stand last, as the document says.
set -e

modprobe nf_conntrack
modprobe nf_conntrack_ftp
modprobe xt_conntrack
modprobe xt_LOG
modprobe xt_state

echo 1 > /proc/sys/net/ipv4/icmp_echo_ignore_broadcasts
echo 0 > /proc/sys/net/ipv4/conf/all/accept_source_route
echo 1 > /proc/sys/net/ipv4/tcp_syncookies
echo 0 > /proc/sys/net/ipv4/conf/all/accept_redirects
echo 0 > /proc/sys/net/ipv4/conf/default/send_redirects
echo 1 > /proc/sys/net/ipv4/conf/default/rp_filter
echo 1 > /proc/sys/net/ipv4/conf/all/log_martians
echo 2 > /proc/sys/net/ipv4/ip_dynaddr
echo 0 > /proc/sys/net/ipv4/tcp_ecn

iptables -P INPUT DROP
iptables -P FORWARD DROP
iptables -P OUTPUT DROP
iptables -F
iptables -X
iptables -Z
iptables -t nat -F

iptables -A INPUT -i lo -j ACCEPT
iptables -A OUTPUT -o lo -j ACCEPT
# Spoofed.
for network in 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 0.0.0.0/8 127.0.0.0/8 224.0.0.0/3 169.254.0.0/16 192.0.2.0/24; do
  iptables -A INPUT -i WAN1 -s $network -j DROP
done
iptables -A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
iptables -A FORWARD ! -i WAN1 -m conntrack --ctstate NEW -j ACCEPT
iptables -t nat -A POSTROUTING -o WAN1 -j MASQUERADE
# The LAN's own services.
iptables -A INPUT ! -i WAN1 -j ACCEPT
iptables -A OUTPUT ! -o WAN1 -j ACCEPT
# squid and named fetch from the Internet.
iptables -A OUTPUT -p tcp --dport 80 -j ACCEPT
iptables -A INPUT -p tcp --sport 80 -m conntrack --ctstate ESTABLISHED -j ACCEPT
iptables -A OUTPUT -p udp --dport 53 -j ACCEPT
# Ping.
iptables -A INPUT -p icmp -m icmp --icmp-type echo-request -j ACCEPT
iptables -A OUTPUT -p icmp -m icmp --icmp-type echo-reply -j ACCEPT
# ident, refused without a delay.
iptables -A INPUT -p tcp --dport 113 -j REJECT --reject-with tcp-reset
# Invalid, at the top.
iptables -I INPUT 1 -p tcp -m conntrack --ctstate INVALID -j LOG --log-prefix "FIREWALL:INVALID "
iptables -I INPUT 2 -p tcp -m conntrack --ctstate INVALID -j DROP
# Answers of a DHCP server.
iptables -A INPUT -i WAN1 -p udp -s 0.0.0.0 --sport 67 -d 255.255.255.255 --dport 68 -j ACCEPT

iptables -A INPUT -j LOG --log-prefix "FIREWALL:INPUT "
iptables -A FORWARD -j LOG --log-prefix "FIREWALL:FORWARD "
iptables -A OUTPUT -j LOG --log-prefix "FIREWALL:OUTPUT "
iptables -A INPUT -j REJECT

echo 1 > /proc/sys/net/ipv4/ip_forward
