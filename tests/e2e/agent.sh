#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What virsh asks of a guest's own agent, QEMU's own in a running guest: facts, clock, processors, file systems, sleep, down
# and up again; and what a client hears when there is no agent, or one that does not answer.
# time: 180
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
daemon_start
prepare_guest_image
has() { grep -q -- "$1" <<<"$2" || fail "no '$1' in: $2"; }
refused() { has "$1" "$("${@:2}" 2>&1 || true)"; }

guest_xml alpha 52:54:00:e2:e0:05 "" default |
    sed "s|<vcpu>.*</vcpu>|<vcpu>2</vcpu>|; s|</devices>|<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>&|" \
        >"$BASCULE_TEST_DIR/alpha.xml"
v define "$BASCULE_TEST_DIR/alpha.xml" >/dev/null
refused "domain is not running" v domhostname alpha --source agent
v start alpha >/dev/null
console_log alpha "$BASCULE_TEST_DIR/console"
wait_marker 90 "$BASCULE_TEST_DIR/console" "done" >/dev/null
refused "agent is not connected" v domtime alpha
refused "agent is not connected" v guestinfo alpha

start_agent() {
    # shellcheck disable=SC2016  # for the shell there
    guest alpha 'mkdir -p /var/run; for p in /sys/class/virtio-ports/*; do grep -q guest_agent $p/name && port=/dev/${p##*/}; done;' \
        'qemu-ga -d -p $port -l /run/agent.log'
    wait_until 30 "the agent" v qemu-agent-command alpha '{"execute":"guest-ping"}'
}
start_agent
[[ $(v qemu-agent-command alpha '{"execute":"guest-ping"}') == '{"return":{}}' ]] || fail "guest-ping"
[[ $(v qemu-agent-command alpha '{"execute":"guest-sync","arguments":{"id":123456}}') == '{"return":123456}' ]] || fail "guest-sync"
refused "unable to execute QEMU agent command 'guest-nonsense'" v qemu-agent-command alpha '{"execute":"guest-nonsense"}'
refused "no JSON object" v qemu-agent-command alpha 'guest-ping'
refused "has to be" v qemu-agent-command alpha '{"execute":"guest-ping","id":7}'
[[ $(v domhostname alpha --source agent | xargs) == alpha ]] || fail "its name"
facts=$(v guestinfo alpha)
for fact in "hostname *: alpha" "os.kernel-release *: [0-9]" "if.count *: 2" "if.1.name *: eth0" "timezone.offset *: 0" "fs.count *: 0" \
    "user.count *: 0" "disk.count *:"; do
    has "$fact" "$facts"
done
[[ $(v guestinfo alpha --hostname | xargs) == "hostname : alpha" ]] || fail "guestinfo --hostname"
if v domfsinfo alpha | grep /; then fail "file systems in a guest that has none"; fi

# The clock.
v domtime alpha --time 1700000000
has "Time: 170000000[0-9]" "$(v domtime alpha)"
refused "does not fit" v domtime alpha --time 9300000000
v domtime alpha --now >/dev/null
(($(v domtime alpha | sed 's/[^0-9]//g') >= $(date +%s) - 5)) || fail "the clock was not set to now"

# Its processors.
has "online *: 0-1" "$(v guestvcpus alpha)"
v guestvcpus alpha --cpulist 1 --disable >/dev/null
has "online *: 0$" "$(v guestvcpus alpha)"
[[ $(v vcpucount alpha --guest | xargs) == 1 ]] || fail "vcpucount --guest"
refused "missing vCPUs '7'" v guestvcpus alpha --cpulist 7 --enable
v setvcpus alpha 2 --guest
[[ $(v vcpucount alpha --guest | xargs) == 2 && $(guest alpha cat /sys/devices/system/cpu/online) == 0-1 ]] || fail "setvcpus --guest"
refused "3 cannot be online" v setvcpus alpha 3 --guest

# File systems and users: it has none that could be frozen, and no tool that sets passwords.
v domfsfreeze alpha >/dev/null
v domfsthaw alpha >/dev/null
refused "none of them can be named" v domfsthaw alpha /
refused "one of them cannot be named" v domfstrim alpha --mountpoint /
v domfstrim alpha >/dev/null || true # the agent says that there is nothing, or that it cannot
refused "unable to execute QEMU agent command 'guest-set-user-password'" v set-user-password alpha nobody secret
refused "unable to execute QEMU agent command 'guest-ssh-get-authorized-keys'" v get-user-sshkeys alpha nobody

# How long its answers may take outlives the daemon, as does the guest.
v guest-agent-timeout alpha --timeout 3 >/dev/null
kill -KILL "$daemon"
wait "$daemon" 2>/dev/null || true
daemon_start
guest alpha 'killall -STOP qemu-ga'
before=$SECONDS
refused "does not answer" v domhostname alpha --source agent
((SECONDS - before < 15)) || fail "an agent that does not answer held a call for $((SECONDS - before)) s"
guest alpha 'killall -CONT qemu-ga'
[[ $(v domhostname alpha --source agent | xargs) == alpha ]] || fail "the agent after it was stopped"
v guest-agent-timeout alpha >/dev/null

# Up again, and down.
console_log alpha "$BASCULE_TEST_DIR/console"
v reboot alpha --mode agent >/dev/null
wait_marker 90 "$BASCULE_TEST_DIR/console" "done" >/dev/null
start_agent
v shutdown alpha --mode agent >/dev/null
down() { [[ $(v domstate alpha | xargs) == "shut off" ]]; }
wait_until 30 "the guest to go down" down

# Asleep and awake. (What this guest then does is of no interest: it was booted without a firmware to wake up with.)
v start alpha >/dev/null
console_log alpha "$BASCULE_TEST_DIR/console"
wait_marker 90 "$BASCULE_TEST_DIR/console" "done" >/dev/null
start_agent
events=$BASCULE_TEST_DIR/events
stdbuf -oL virsh -q -c "$(libvirt_uri)" event alpha --all --loop >"$events" 2>&1 &
refused "duration has to be 0" v dompmsuspend alpha mem --duration 60
v dompmsuspend alpha mem >/dev/null
has pmsuspended "$(v domstate alpha)"
v dompmwakeup alpha >/dev/null
awake() { [[ $(v domstate alpha --reason | xargs) == "running (event wakeup)" ]]; }
wait_until 30 "the guest to wake up" awake
for said in "event 'lifecycle'.*PMSuspended" "event 'pm-suspend'" "event 'pm-wakeup'"; do
    heard() { grep -q "$said" "$events"; }
    wait_until 10 "$said" heard || fail "not told: $said; $(<"$events")"
done
