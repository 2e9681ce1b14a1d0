#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The same filters and the same frames by Debian's libvirtd and by ours: verdicts are alike, but for the peer's defects,
# each named here.
# time: 60
# shellcheck disable=SC2154  # places of lib.sh
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
command -v libvirtd >/dev/null || skip "needs libvirtd of Debian"
[[ -d /etc/libvirt/nwfilter ]] || skip "needs libvirt's stock filters"
daemon_start
cp -r /etc/libvirt/nwfilter "$BASCULE_TEST_DIR/stock"
for folder in /etc/libvirt /var/lib/libvirt /var/cache/libvirt /var/log/libvirt; do
    mkdir -p "$folder"
    mount -t tmpfs -o mode=755 tmpfs "$folder"
done
cp -r "$BASCULE_TEST_DIR/stock" /etc/libvirt/nwfilter
echo 'auth_unix_rw = "none"' >/etc/libvirt/libvirtd.conf
libvirtd >"$BASCULE_TEST_DIR/libvirtd.log" 2>&1 &
peer=$!
p() { virsh -q -c "qemu+unix:///system?socket=/run/libvirt/libvirt-sock" "$@"; }
wait_until 30 "libvirtd" p nwfilter-list || fail "libvirtd does not answer: $(tail -n 5 "$BASCULE_TEST_DIR/libvirtd.log")"

ip link add labbr type bridge stp_state 0 forward_delay 0 mcast_snooping 0
ip link set labbr up
# Else fragments go through the IP layer's connection tracking, which keeps them until they are whole.
sysctl -qw net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0 2>/dev/null || true
mac=52:54:00:61:00:02
plug intruder labbr $mac
plug victim labbr
at victim ip link set eth0 promisc on
for name in intruder victim; do
    at "$name" ip link set eth0 mtu 9000
    ip link set "$name-port" mtu 9000
done
for name in intruder victim; do at "$name" sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1; done

# Filters that look at addresses and let pass what they do not know.
cat >"$BASCULE_TEST_DIR/checks.xml" <<'XML'
<filter name='checks'>
  <filterref filter='no-ip-spoofing'/>
  <filterref filter='no-arp-spoofing'/>
  <filterref filter='no-ipv6-spoofing'/>
</filter>
XML
# Most of the Ethernet layer's words, each with frames that it fits and others that it does not.
cat >"$BASCULE_TEST_DIR/words.xml" <<'XML'
<filter name='words'>
  <rule action='drop' direction='out' priority='100'><mac srcmacaddr='52:54:00:61:00:01'/></rule>
  <rule action='drop' direction='out' priority='110'><mac protocolid='0x88cc'/></rule>
  <rule action='drop' direction='out' priority='120'><arp gratuitous='true'/></rule>
  <rule action='drop' direction='out' priority='130'><arp opcode='Reply' arpsrcipaddr='10.61.0.1'/></rule>
  <rule action='accept' direction='out' priority='140'><arp match='no' arpsrcmacaddr='$MAC'/></rule>
  <rule action='drop' direction='out' priority='150'><rarp opcode='4'/></rule>
  <rule action='accept' direction='out' priority='160'><ip protocol='udp' srcportstart='9' srcportend='10'/></rule>
  <rule action='drop' direction='out' priority='170'><ip srcipaddr='10.61.0.64' srcipmask='26'/></rule>
  <rule action='drop' direction='out' priority='180'><ip dstipaddr='224.0.0.0' dstipmask='4' protocol='udp'/></rule>
  <rule action='drop' direction='out' priority='190'><ip match='no' protocol='tcp' dstipaddr='10.61.0.1'/></rule>
  <rule action='drop' direction='out' priority='200'><ipv6 protocol='icmpv6' type='134' typeend='137'/></rule>
  <rule action='accept' direction='out' priority='210'><ipv6 srcipaddr='2001:db8:61::' srcipmask='112' protocol='udp'/></rule>
  <rule action='drop' direction='out' priority='220'><ipv6 srcipaddr='fe80::' srcipmask='10'/></rule>
</filter>
XML
# The IP layer's, without connection tracking, which the peer needs the host's own hooks for.
cat >"$BASCULE_TEST_DIR/layers.xml" <<'XML'
<filter name='layers'>
  <rule action='drop' direction='out' priority='100'><tcp flags='SYN/SYN,ACK' dstportstart='23'/></rule>
  <rule action='accept' direction='out' priority='110' statematch='false'><tcp srcportstart='80' srcportend='443'/></rule>
  <rule action='drop' direction='out' priority='120'><udp srcipaddr='10.61.0.64' srcipmask='26'/></rule>
  <rule action='drop' direction='out' priority='130'><udp srcportstart='67' srcportend='68'/></rule>
  <rule action='accept' direction='out' priority='140' statematch='false'><udp dstipfrom='10.61.0.1' dstipto='10.61.0.9'/></rule>
  <rule action='accept' direction='out' priority='150' statematch='false'><icmp type='8' srcmacaddr='$MAC'/></rule>
  <rule action='drop' direction='out' priority='160'><icmpv6 type='134'/></rule>
  <rule action='accept' direction='out' priority='170' statematch='false'><icmpv6 srcipaddr='fe80::' srcipmask='10'/></rule>
  <rule action='accept' direction='out' priority='180' statematch='false'><udp-ipv6 match='no' srcipaddr='2001:db8:61::66'/></rule>
  <rule action='accept' direction='out' priority='190' statematch='false'><igmp/></rule>
  <rule action='drop' direction='out' priority='1000'><all/></rule>
  <rule action='drop' direction='out' priority='1000'><all-ipv6/></rule>
</filter>
XML
# What the peer does otherwise: frame by frame, and the reason.
declare -A defects
defects["words/ARP with long addresses"]="looks for IPv4 addresses in ARP of other hardware than Ethernet, which no host reads"
for name in "a first fragment" "a later fragment" "a tiny fragment" "own IPv6 fragment"; do
    defects["layers/$name"]="keeps fragments on the host until they are whole, which these never are"
done

for filter in clean-traffic checks words layers; do
    cat >"$BASCULE_TEST_DIR/binding.xml" <<XML
<filterbinding>
  <owner><name>intruder</name><uuid>$(cat /proc/sys/kernel/random/uuid)</uuid></owner>
  <portdev name='intruder-port'/>
  <mac address='$mac'/>
  <filterref filter='$filter'>
    <parameter name='IP' value='10.61.0.2'/>
    <parameter name='IPV6' value='2001:db8:61::2'/>
  </filterref>
</filterbinding>
XML
    for side in v p; do
        [[ ! -e $BASCULE_TEST_DIR/$filter.xml ]] || $side nwfilter-define "$BASCULE_TEST_DIR/$filter.xml" >/dev/null
        $side nwfilter-binding-create "$BASCULE_TEST_DIR/binding.xml" >/dev/null
        # The peer's IP layer is the host's, which sees bridged frames only when it is told to.
        through=0
        [[ $side != p || $filter != layers ]] || through=1
        sysctl -qw net.bridge.bridge-nf-call-iptables=$through net.bridge.bridge-nf-call-ip6tables=$through 2>/dev/null || true
        "$BASCULE_TOP/tests/netns/hostile_matrix.py" verdicts "${place[intruder]}" "${place[victim]}" \
            >"$BASCULE_TEST_DIR/$filter.$side" || fail "$filter: the frames could not be sent"
        $side nwfilter-binding-delete intruder-port >/dev/null
    done
    while IFS=$'\t' read -r ours theirs; do
        name=${ours#* }
        if [[ -n ${defects["$filter/$name"]:-} ]]; then
            [[ ${ours%% *} != "${theirs%% *}" ]] || fail "$filter: $name: the peer's defect is not there"
            echo "$filter: $name: ${theirs%% *} there: ${defects["$filter/$name"]}"
        else
            [[ $ours == "$theirs" ]] || { echo "$filter: ours: $ours; theirs: ${theirs%% *}"; differs=1; }
        fi
    done < <(paste "$BASCULE_TEST_DIR/$filter.v" "$BASCULE_TEST_DIR/$filter.p")
done
kill "$peer" 2>/dev/null
[[ -z ${differs:-} ]] || fail "verdicts differ otherwise than by the peer's known defects"
