#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Several subnets of a network have DHCP: who is full passes clients on to the next, reservations go by the subnet that their
# address is in, also live, and everybody is told the server and mask of his own.
# time: 40
# shellcheck disable=SC2154  # places of lib.sh
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
daemon_start
cat >"$BASCULE_TEST_DIR/lab.xml" <<'XML'
<network>
  <name>lab</name>
  <bridge name='labbr' stp='off' delay='0'/>
  <domain name='lab.test'/>
  <ip address='10.40.0.1' netmask='255.255.255.0'>
    <dhcp><range start='10.40.0.10' end='10.40.0.10'/></dhcp>
  </ip>
  <ip address='10.41.0.1' netmask='255.255.0.0'>
    <dhcp>
      <range start='10.41.7.10' end='10.41.7.10'/>
      <host mac='52:54:00:40:00:03' name='three' ip='10.41.9.3'/>
    </dhcp>
  </ip>
</network>
XML
v net-create "$BASCULE_TEST_DIR/lab.xml" >/dev/null
for i in 1 2 3 4; do plug "client$i" labbr "52:54:00:40:00:0$i"; done
has() { grep -q -- "$1" <<<"$2" || fail "no '$1' in: $2"; }

# Two that are nobody's get the one address of each subnet, whichever comes first.
first=$(lease client1)
second=$(lease client2)
both=$(fact ip <<<"$first"; fact ip <<<"$second")
[[ $(sort <<<"$both" | xargs) == "10.40.0.10 10.41.7.10" ]] || fail "addresses: $both"
for said in "$first" "$second"; do
    case $(fact ip <<<"$said") in
        10.40.*) [[ $(fact dns <<<"$said") == 10.40.0.1 && $(fact subnet <<<"$said") == 255.255.255.0 ]] ;;
        *) [[ $(fact dns <<<"$said") == 10.41.0.1 && $(fact subnet <<<"$said") == 255.255.0.0 ]] ;;
    esac || fail "told of another subnet: $said"
done
lease client4 -t 3 >/dev/null && fail "a third address of two"

# Reserved, in the definition and live; a client has one address on the network.
third=$(lease client3)
[[ $(fact ip <<<"$third") == 10.41.9.3 && $(fact dns <<<"$third") == 10.41.0.1 ]] || fail "reserved: $third"
refused=$(v net-update lab add ip-dhcp-host "<host mac='52:54:00:40:00:03' ip='10.40.0.33'/>" --live 2>&1 || true)
has "existing dhcp host entry" "$refused"
v net-update lab add ip-dhcp-host "<host mac='52:54:00:40:00:04' name='four' ip='10.40.0.44'/>" --live >/dev/null
fourth=$(lease client4)
[[ $(fact ip <<<"$fourth") == 10.40.0.44 && $(fact dns <<<"$fourth") == 10.40.0.1 ]] || fail "reserved live: $fourth"
has "10.40.0.44/24" "$(v net-dhcp-leases lab)"
has "10.41.9.3/16" "$(v net-dhcp-leases lab)"
v net-dumpxml lab >"$BASCULE_TEST_DIR/again.xml"
[[ $(grep -c "<dhcp>" "$BASCULE_TEST_DIR/again.xml") == 2 ]] || fail "not both subnets: $(<"$BASCULE_TEST_DIR/again.xml")"
[[ $(dig +short @10.41.0.1 four.lab.test) == 10.40.0.44 ]] || fail "its name"
v net-update lab add ip-dhcp-range "<range start='10.41.7.20' end='10.41.7.29'/>" --live >/dev/null
plug client5 labbr 52:54:00:40:00:05
has "^ip=10.41.7.2" "$(lease client5)"
