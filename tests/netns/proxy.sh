#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2154
# time: 60
# Single public addresses where the provider takes frames from the host's own MAC only: routed to a network of guests,
# and answered for by the host on the device that goes out, in both families. Others' addresses are not answered for,
# and with the network all of it goes.
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
daemon_start
# The provider's wire: its other machines believe that the addresses are on it.
place provider
ip link add up0 type veth peer name eth0 netns "${place[provider]}"
ip addr add 203.0.113.1/24 dev up0
ip addr add 2001:db8:7::1/64 dev up0 nodad
ip link set up0 up
at provider ip addr add 203.0.113.254/24 dev eth0
at provider ip addr add 2001:db8:7::fe/64 dev eth0 nodad
at provider ip link set eth0 up
# Somebody's own entry, which stays.
ip neigh add proxy 203.0.113.99 dev up0
cat >"$root/hosting.xml" <<'XML'
<network>
  <name>hosting</name>
  <metadata><bascule:network xmlns:bascule='urn:bascule:1'>
    <bascule:guest-address ip='203.0.113.7' proxy='yes'/>
    <bascule:guest-address ip='2001:db8:7::7' proxy='yes'/>
    <bascule:guest-address ip='203.0.113.8'/>
  </bascule:network></metadata>
  <forward mode='route' dev='up0'/>
  <bridge name='hosting0' stp='off'/>
  <ip address='10.62.0.1' prefix='24'/>
  <ip family='ipv6' address='2001:db8:8::1' prefix='64'/>
</network>
XML
sed "s/ dev='up0'//" "$root/hosting.xml" >"$root/nowhere.xml"
v net-create "$root/nowhere.xml" 2>"$root/words" && fail "a proxy without a device"
grep -q "the device on which the host answers" "$root/words" || fail "why not: $(cat "$root/words")"
v net-create "$root/hosting.xml" >/dev/null || fail "net-create"
plug guest hosting0
at guest ip addr add 203.0.113.7/32 dev eth0
at guest ip addr add 203.0.113.8/32 dev eth0
at guest ip addr add 2001:db8:7::7/128 dev eth0 nodad
at guest ip route add 10.62.0.1 dev eth0
at guest ip route add default via 10.62.0.1 src 203.0.113.7
at guest ip route add 2001:db8:8::1 dev eth0
at guest ip route add default via 2001:db8:8::1
reach() { at provider busybox ping -c 1 -W 1 "$1"; }
proxies() { ip neigh show proxy dev up0; ip -6 neigh show proxy dev up0; }
wait_until 30 "the guest's address from outside" reach 203.0.113.7
wait_until 30 "its IPv6 address from outside" reach 2001:db8:7::7
[[ $(at provider ip neigh show 203.0.113.7) == *"$(cat /sys/class/net/up0/address)"* ]] || fail "not by the host's own MAC"
if reach 203.0.113.8 >/dev/null; then fail "an address without proxy='yes' is answered for"; fi
at guest busybox ping -c 1 -W 5 203.0.113.254 >/dev/null || fail "the guest does not reach outside"

# The next daemon changes nothing; what others deleted is put back by it.
before=$(proxies)
daemon_stop
ip neigh del proxy 203.0.113.7 dev up0
daemon_start
[[ $(proxies) == "$before" ]] || fail "the next daemon: $(proxies), and before: $before"
v net-destroy hosting >/dev/null
only_theirs() { [[ $(proxies) == 203.0.113.99* && $(proxies | wc -l) == 1 ]]; }
wait_until 30 "our proxies to go, and nobody else's" only_theirs || fail "$(proxies)"
[[ $(cat /proc/sys/net/ipv6/conf/up0/proxy_ndp) == 0 ]] || fail "proxy_ndp stays on"
tear_down
