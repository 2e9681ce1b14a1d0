#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Clients of BOOTP, which is older than DHCP, by frames of their own: a reservation and its boot file in one answer, with
# and without options, by unicast and by broadcast; an address of the pool for the NIC of a defined guest and for nobody
# else; DHCP from the same NIC afterwards.
# time: 15
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
daemon_start
cat >"$BASCULE_TEST_DIR/old.xml" <<'XML'
<network>
  <name>old</name>
  <bridge name='oldbr' stp='off' delay='0'/>
  <ip address='10.46.0.1' netmask='255.255.255.0'>
    <dhcp>
      <range start='10.46.0.10' end='10.46.0.19'/>
      <host mac='52:54:00:46:00:01' name='one' ip='10.46.0.50'/>
      <bootp file='boot.img' server='10.46.0.9'/>
    </dhcp>
  </ip>
</network>
XML
v net-create "$BASCULE_TEST_DIR/old.xml" >/dev/null
cat >"$BASCULE_TEST_DIR/three.xml" <<'XML'
<domain type='qemu'>
  <name>three</name><memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices><interface type='network'><mac address='52:54:00:46:00:03'/><source network='old'/></interface></devices>
</domain>
XML
v define "$BASCULE_TEST_DIR/three.xml" >/dev/null
for n in 1 2 3; do plug "vm$n" oldbr "52:54:00:46:00:0$n"; done
bootp() { at "vm$1" "$BASCULE_TOP/tests/netns/bootp.py" "52:54:00:46:00:0$1" "$2" "$3"; }
says() { grep -qx "$2" <<<"$1" || fail "'$2' is not in: $1"; }

for cookie in yes no; do
    got=$(bootp 1 0 $cookie) || fail "no answer for a reservation (options: $cookie)"
    for what in "to me" "size 300" "ip 10.46.0.50" "server 10.46.0.9" "file boot.img" "dhcp no" "mask yes"; do
        says "$got" "$what"
    done
done
says "$(bootp 1 32768 yes)" "to everybody"
wait_until 10 "the lease in the list" eval 'v net-dhcp-leases old | grep -q "52:54:00:46:00:01.*10.46.0.50/24.*one"'

# Who has no reservation: the NIC of a defined guest has an address, a stranger has not.
got=$(bootp 3 0 no) || fail "no answer for the NIC of a defined guest"
address=$(sed -n 's/^ip //p' <<<"$got")
[[ $address == 10.46.0.1[0-9] ]] || fail "$address is not of the pool"
timeout 3 nsenter --net="/proc/${place[vm2]}/ns/net" "$BASCULE_TOP/tests/netns/bootp.py" 52:54:00:46:00:02 0 yes &&
    fail "a stranger has got an address for ever"
known() { v net-dhcp-leases old | grep -q "$address"; }
wait_until 30 "the daemon's lease" known

# The list of one NIC.
got=$(v net-dhcp-leases old 52:54:00:46:00:03)
[[ $got == *"$address/24"* && $got != *10.46.0.50* ]] || fail "the leases of one NIC: $got"

# The operating system comes, and speaks DHCP: the same address, for a time.
[[ $(lease vm3 | fact ip) == "$address" ]] || fail "another address by DHCP than by BOOTP"
