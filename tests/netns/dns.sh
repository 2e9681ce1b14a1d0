#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Names: forwarding to servers that behave and that do not, by UDP and TCP, records, the host's own view.
# time: 60
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
command -v dnsmasq >/dev/null || skip "needs dnsmasq"
is() { [[ $2 == "$3" ]] || fail "$1: '$2' instead of '$3'"; }

# The host's resolver is a server in the outside; it has another behind it for one domain.
make_outside
mkdir -p "$BASCULE_TEST_DIR/etc"
cp -a /etc/. "$BASCULE_TEST_DIR/etc"
mount --bind "$BASCULE_TEST_DIR/etc" /etc
resolv() {
    rm -f /etc/resolv.conf
    printf '%s\n' "$@" >/etc/resolv.conf.new
    mv /etc/resolv.conf.new /etc/resolv.conf
}
resolv "nameserver 203.0.113.2" "search corp.example"
long=$(printf 'x%.0s' {1..240})
upstream() { # ADDRESS PORT LOGFILE OPTION…
    local address=$1 port=$2 log=$3
    shift 3
    at outside dnsmasq --keep-in-foreground --conf-file=/dev/null --no-hosts --no-resolv --bind-interfaces \
        --listen-address="$address" --port="$port" --pid-file="$BASCULE_TEST_DIR/$address.$port.pid" --log-queries --log-facility="$log" "$@" &
    wait_until 5 "the server $address" at outside dig -p "$port" +time=1 +tries=1 "@$address" alive.example
}
at outside ip addr add 203.0.113.3/24 dev eth0
first=$BASCULE_TEST_DIR/first.log
second=$BASCULE_TEST_DIR/second.log
upstream 203.0.113.2 53 "$first" --local-ttl=300 --neg-ttl=60 --local=/none.example/ \
    --address=/www.example/198.51.100.7 --address=/inside.example/10.1.2.3 --address=/intra.corp.example/10.1.2.4 \
    --address=/moved.example/198.51.100.8 --cname=alias.example,real.example --host-record=real.example,198.51.100.9 \
    --txt-record=big.example,"$long" --txt-record=big.example,"1$long" --txt-record=big.example,"2$long" \
    --txt-record=big.example,"3$long" --txt-record=big.example,"4$long" --txt-record=big.example,"5$long"
upstream 203.0.113.3 5353 "$second" --address=/lan.test/10.9.9.9

daemon_start
cat >"$BASCULE_TEST_DIR/names.xml" <<'XML'
<network>
  <name>names</name>
  <forward mode='nat'/>
  <bridge name='namesbr' stp='off' delay='0'/>
  <domain name='names.example' localOnly='yes'/>
  <dns>
    <txt name='note.names.example' value='hello world'/>
    <srv service='ldap' protocol='tcp' domain='names.example' target='alpha.names.example' port='389' priority='1' weight='2'/>
    <host ip='10.42.0.200'><hostname>printer</hostname></host>
  </dns>
  <ip address='10.42.0.1' netmask='255.255.255.0'>
    <dhcp>
      <range start='10.42.0.10' end='10.42.0.20'/>
      <host mac='52:54:00:42:00:01' name='alpha' ip='10.42.0.100'/>
    </dhcp>
  </ip>
  <ip family='ipv6' address='fd00:42::1' prefix='64'/>
</network>
XML
v net-create "$BASCULE_TEST_DIR/names.xml" >/dev/null
plug alpha namesbr 52:54:00:42:00:01
lease alpha >/dev/null
ask() { at alpha dig +short +time=2 +tries=1 @10.42.0.1 "$@"; }
status() { at alpha dig +time=2 +tries=1 @10.42.0.1 "$@" | sed -n 's/.*status: \([A-Z]*\).*/\1/p'; }
flags() { at alpha dig +time=2 +tries=1 @10.42.0.1 "$@" | sed -n 's/.*flags: \([a-z ]*\);.*/\1/p'; }
asked() { grep -c "query\[$2\] $1 from" "$3" || true; } # NAME TYPE LOG

# Our own records, by UDP and TCP.
for how in +notcp +tcp; do
    is "A $how" "$(ask $how alpha.names.example)" 10.42.0.100
    is "PTR $how" "$(ask $how -x 10.42.0.100)" alpha.names.example.
    is "TXT $how" "$(ask $how note.names.example TXT)" '"hello world"'
    is "SRV $how" "$(ask $how _ldap._tcp.names.example SRV)" "1 2 389 alpha.names.example."
    is "no such name $how" "$(status $how nobody.names.example)" NXDOMAIN
    is "SOA with it $how" "$(at alpha dig +noall +authority $how @10.42.0.1 nobody.names.example | awk '{ print $4 }')" SOA
done
at alpha ip addr add fd00:42::50/64 dev eth0 nodad
six() { [[ $(at alpha dig +short +time=1 +tries=1 "$@" @fd00:42::1 printer) == 10.42.0.200 ]]; }
wait_until 10 "an answer by IPv6" six
wait_until 5 "an answer by IPv6 and TCP" six +tcp
is "spelling is kept" "$(at alpha dig +noall +answer @10.42.0.1 ALPHA.names.Example | awk '{ print $1 }')" ALPHA.names.Example.
is "unknown EDNS version" "$(status +edns=1 +noednsnegotiation alpha)" BADVERS
is "other opcodes" "$(status +opcode=2 alpha)" NOTIMP
is "transfers" "$(at alpha dig +time=2 +tries=1 @10.42.0.1 names.example AXFR | grep -c 'Transfer failed')" 1

# A guest's name is the inventory's from its definition on, renamed and gone with it; the MAC has a lease already.
plug gamma namesbr 52:54:00:42:00:03
leased=$(lease gamma -x hostname:oldname | fact ip)
cat >"$BASCULE_TEST_DIR/guest.xml" <<'XML'
<domain type='qemu'>
  <name>Web One</name>
  <memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices>
    <interface type='network'><mac address='52:54:00:42:00:03'/><source network='names'/></interface>
    <interface type='network'><mac address='52:54:00:42:00:01'/><source network='names'/></interface>
  </devices>
</domain>
XML
called() { [[ $(ask "$1") == *"$leased"* ]]; } # NAME
wait_until 5 "what the client calls itself" called oldname.names.example
v define "$BASCULE_TEST_DIR/guest.xml" >/dev/null
wait_until 5 "the guest's name" called web-one
is "both of its addresses" "$(ask web-one.names.example | sort | tr '\n' ' ')" "$(printf '%s\n' "$leased" 10.42.0.100 | sort | tr '\n' ' ')"
is "its address's name" "$(ask -x "$leased")" web-one.names.example.
v domrename "Web One" shop >/dev/null
wait_until 5 "the new name" called shop.names.example
is "the old name" "$(status web-one.names.example)" NXDOMAIN
is "its address's new name" "$(ask -x "$leased")" shop.names.example.
v undefine shop >/dev/null
gone() { [[ $(status shop.names.example) == NXDOMAIN ]]; }
wait_until 5 "the name to go" gone

# Forwarding: cached, negatives too; nobody is asked twice.
is "forwarded" "$(ask www.example)" 198.51.100.7
is "an alias" "$(ask alias.example | tr '\n' ' ')" "real.example. 198.51.100.9 "
for _ in 1 2 3; do is "cached" "$(ask www.example)" 198.51.100.7; done
is "asked once" "$(grep -ci 'query\[A\] www.example from' "$first")" 1
is "a reply that no datagram holds" "$(ask +notcp +ignore +bufsize=1232 big.example TXT | wc -l)" 0
is "the same by TCP" "$(ask big.example TXT | wc -l)" 6
is "private addresses of public names" "$(status inside.example)" REFUSED
is "but in the host's own domain" "$(ask intra.corp.example)" 10.1.2.4
is "private reverse names stay here" "$(status -x 10.77.0.1)" NXDOMAIN
grep -q '77.10.in-addr' "$first" && fail "a private reverse name was asked outside"
[[ $(flags +dnssec www.example) == *ra* ]] || fail "no recursion available"

# resolv.conf changes; answers of the former servers are forgotten.
resolv "nameserver 203.0.113.3" "nameserver 203.0.113.2"
upstream 203.0.113.3 53 "$BASCULE_TEST_DIR/third.log" --address=/www.example/198.51.100.77 --address=/out.lan.test/198.51.100.78
changed() { [[ $(ask www.example) == 198.51.100.77 ]]; }
wait_until 10 "the new server's answer" changed
# A server that is us is a circle and is left out; one that is silent is followed by the next.
resolv "nameserver 10.42.0.1" "nameserver 203.0.113.9" "nameserver 203.0.113.2"
next_server() { [[ $(ask real.example) == 198.51.100.9 ]]; }
wait_until 30 "the server after a silent one" next_server

# Forwarders of the network's own.
sed -e 's/names/fwd/g' -e 's/10\.42/10.43/g' -e 's/00:42/00:43/g' \
    -e "s|<dns>|<dns><forwarder domain='out.lan.test'/>|" \
    -e "s|<forward |<metadata><b:network xmlns:b='urn:bascule:1'><b:forwarder domain='lan.test' addr='203.0.113.3' port='5353'/><b:alias name='ftp' target='alpha.fwd.example'/></b:network></metadata>&|" \
    "$BASCULE_TEST_DIR/names.xml" >"$BASCULE_TEST_DIR/fwd.xml"
v net-create "$BASCULE_TEST_DIR/fwd.xml" >/dev/null
plug beta fwdbr 52:54:00:43:00:01
lease beta >/dev/null
other() { at beta dig +short +time=2 +tries=1 @10.43.0.1 "$@"; }
resolv "nameserver 203.0.113.3"
is "a domain's own server, at its own port" "$(other nas.lan.test)" 10.9.9.9
out_of_it() { [[ $(other a.out.lan.test) == 198.51.100.78 ]]; }
wait_until 5 "a domain that goes the host's way" out_of_it
is "an alias of the definition" "$(other ftp | tr '\n' ' ')" "alpha.fwd.example. 10.43.0.100 "
# Never an open resolver: nobody is answered who is not on the network.
at beta dig +time=1 +tries=1 @10.42.0.1 www.example >/dev/null && fail "a guest of another network was answered"
at outside ip route add 10.42.0.0/24 via 203.0.113.1
at outside dig +time=1 +tries=1 @10.42.0.1 www.example >/dev/null && fail "the outside was answered"

# The host itself may ask, by the network's address.
is "the host asks" "$(dig +short +time=2 +tries=1 @10.42.0.1 printer.names.example)" 10.42.0.200
is "the host asks by TCP" "$(dig +tcp +short +time=2 +tries=1 @10.42.0.1 printer.names.example)" 10.42.0.200
# A resolver of the host's that asks us what we ask it: the circle ends at once, and is named.
dnsmasq --keep-in-foreground --conf-file=/dev/null --no-hosts --no-resolv --bind-interfaces --listen-address=127.0.0.1 \
    --pid-file="$BASCULE_TEST_DIR/circle.pid" --server=10.42.0.1 &
resolv "nameserver 127.0.0.1"
circle() { [[ $(status "$RANDOM.circle.example") == @(REFUSED|SERVFAIL) ]] && grep -q "a loop" "$root/basculed.log"; }
wait_until 10 "the circle to be noticed" circle

# The files that NSS modules read, below the daemon's root.
files=$root/var/lib/libvirt/dnsmasq
lease alpha >/dev/null # the other one ended with the guest
written() { jq -e '.[] | select(.["mac-address"] == "52:54:00:42:00:01" and .["ip-address"] == "10.42.0.100")' "$files/namesbr.status"; }
wait_until 5 "the lease in namesbr.status" written
if [[ -d /var/lib/libvirt && -n $(find /lib /usr/lib -name libnss_libvirt.so.2 2>/dev/null) ]]; then
    mount -t tmpfs tmpfs /var/lib/libvirt
    mkdir /var/lib/libvirt/dnsmasq
    mount --bind "$files" /var/lib/libvirt/dnsmasq
    is "by the peer's NSS module" "$(getent -s libvirt hosts alpha | awk '{ print $1 }' | head -n 1)" 10.42.0.100
fi
v net-destroy names >/dev/null
[[ ! -e $files/namesbr.status ]] || fail "namesbr.status is still there"
