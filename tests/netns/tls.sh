#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# virsh over TLS with certificates on both sides: who is let in, who is not and what he is told; plain TCP.
# time: 60
. "$BASCULE_TOP/tests/support/lib.sh"
needs_daemon
command -v openssl >/dev/null || skip "needs openssl"
has() { grep -q -- "$1" <<<"$2" || fail "no '$1' in: $2"; }

# An authority, a server for "localhost", three clients, and a stranger with an authority of his own.
pki=$BASCULE_TEST_DIR/pki
mkdir -p "$pki"
authority() { # NAME
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=$1" -keyout "$pki/$1.key" -out "$pki/$1.pem" 2>/dev/null
}
certificate() { # NAME AUTHORITY SUBJECT EXTENSIONS
    openssl req -newkey rsa:2048 -nodes -subj "$3" -keyout "$pki/$1.key" -out "$pki/$1.csr" 2>/dev/null
    openssl x509 -req -in "$pki/$1.csr" -CA "$pki/$2.pem" -CAkey "$pki/$2.key" -CAcreateserial -days 2 \
        -extfile <(printf 'basicConstraints=critical,CA:FALSE\n%s\n' "$4") -out "$pki/$1.pem" 2>/dev/null
}
authority good
authority other
certificate server good /CN=localhost "extendedKeyUsage=serverAuth"$'\n'"subjectAltName=DNS:localhost,IP:127.0.0.1"
certificate one good /O=Example/CN=one extendedKeyUsage=clientAuth
certificate two good /O=Example/CN=two extendedKeyUsage=clientAuth
certificate stranger other /O=Example/CN=one extendedKeyUsage=clientAuth

# Where the daemon and the clients look. /etc is this machine's: only what is below a private copy changes.
mkdir -p "$root/etc/pki/CA" "$root/etc/pki/libvirt/private" "$root/etc/bascule"
cp "$pki/good.pem" "$root/etc/pki/CA/cacert.pem"
cp "$pki/server.pem" "$root/etc/pki/libvirt/servercert.pem"
cp "$pki/server.key" "$root/etc/pki/libvirt/private/serverkey.pem"
# of NAME: a folder as virsh's pkipath wants it.
client_folder() {
    mkdir -p "$pki/of-$1"
    cp "$pki/${2:-good}.pem" "$pki/of-$1/cacert.pem"
    cp "$pki/$1.pem" "$pki/of-$1/clientcert.pem"
    cp "$pki/$1.key" "$pki/of-$1/clientkey.pem"
}
client_folder one
client_folder two
client_folder stranger other
by() { # NAME COMMAND…
    local name=$1
    shift
    timeout 20 virsh -q -c "qemu://localhost/system?pkipath=$pki/of-$name" "$@"
}
configure() { printf '%s\n' "$@" >"$root/etc/bascule/bascule.conf"; }

# Off unless asked for.
daemon_start
! ss -Hltn | grep -q ':16514 ' || fail "TLS is on without listen_tls"
daemon_stop

configure 'listen_tls = 1'
daemon_start
has ':16514 ' "$(ss -Hltn)"
[[ $(by one uri) == qemu://localhost/system* ]] || fail "the URI over TLS: $(by one uri)"
has default "$(by one net-list --name)"
by one net-destroy default >/dev/null
by one net-start default >/dev/null
# What is large goes through, too.
by one capabilities | grep -q '</capabilities>' || fail "capabilities over TLS"
by_stranger() { timeout 20 virsh -q -c "qemu://localhost/system?pkipath=$pki/of-stranger&no_verify=1" uri; }
if said=$(by_stranger 2>&1); then fail "a certificate of another authority was let in"; fi
has "certificate\|TLS\|confirmation" "$said"
wait_until 5 "the log to tell of it" grep -qi "the client .* port .*certificate" "$root/basculed.log"
# A client that sends nothing useful.
printf 'GET / HTTP/1.0\r\n\r\n' | timeout 5 busybox nc 127.0.0.1 16514 >/dev/null || true
wait_until 5 "the log to tell of the handshake" grep -q "the TLS handshake" "$root/basculed.log"
by one uri >/dev/null || fail "a client with nonsense disturbed others"
daemon_stop

# Only names of the list.
configure 'listen_tls = 1' 'listen_addr = "127.0.0.1"' 'tls_port = "16999"' 'tls_allowed_dn_list = [' '  "O=Example,CN=two",' ']'
daemon_start
at_port() { timeout 20 virsh -q -c "qemu://127.0.0.1:16999/system?pkipath=$pki/of-$1" uri; }
at_port two >/dev/null || fail "a client of the list was refused: $(tail -n 3 "$root/basculed.log")"
if said=$(at_port one 2>&1); then fail "a client that is not in the list was let in"; fi
wait_until 5 "the log to name him" grep -q "'O=Example,CN=one' is not in tls_allowed_dn_list" "$root/basculed.log"
daemon_stop

# What cannot work is said at start.
refuses() { # WORDS LINE…
    local words=$1 said
    shift
    configure "$@"
    if said=$(timeout 20 "$BASCULE_BUILD/basculed" --root "$root" 2>&1); then fail "it started with: $*"; fi
    has "$words" "$said"
    [[ ! -e $root/run/bascule/libvirt-sock ]] || fail "a socket is left after: $*"
}
refuses "TCP has no authentication here" 'listen_tcp = 1'
refuses "at 203.0.113.7 would let everybody in" 'listen_tcp = 1' 'listen_addr = "203.0.113.7"'
refuses "bascule.conf:2: auth_tcp: SASL is not supported" '' 'auth_tcp = "sasl"'
cp "$pki/other.pem" "$root/etc/pki/other.pem"
refuses "was not signed by" 'listen_tls = 1' 'ca_file = "/etc/pki/other.pem"'
refuses "listen_tls = 1: .*servercert.pem" 'listen_tls = 1' 'cert_file = "/nowhere/servercert.pem"'

# TCP on this host only; there is nobody to ask who it is.
configure 'listen_tcp = 1' 'listen_addr = "localhost"'
daemon_start
[[ $(timeout 20 virsh -q -c "qemu+tcp://127.0.0.1/system" hostname) == "$(hostname)"* ]] || fail "over TCP"
daemon_stop
tear_down
