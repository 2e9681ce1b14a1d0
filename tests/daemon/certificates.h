// SPDX-License-Identifier: GPL-2.0-or-later
// Certificates for tests, made on the spot.
#pragma once

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <gtest/gtest.h>

#include <ctime>
#include <string>

namespace bascule::daemon::test {

struct Identity {
    std::string certificate, key;  // PEM
    gnutls_x509_crt_t crt = nullptr;
    gnutls_x509_privkey_t private_key = nullptr;

    Identity() = default;
    Identity(const Identity&) = delete;
    Identity& operator=(const Identity&) = delete;
    ~Identity() {
        gnutls_x509_crt_deinit(crt);
        gnutls_x509_privkey_deinit(private_key);
    }
};

struct Wanted {
    std::string name;                     // "CN=…,O=…"
    const Identity* signer = nullptr;     // null: itself, and it is an authority
    const char* purpose = nullptr;        // GNUTLS_KP_*; null: none said
    std::time_t from = -3600, to = 3600;  // seconds from now
};

inline void make(Identity& out, const Wanted& wanted) {
    static unsigned char serial = 0;
    ++serial;
    gnutls_x509_privkey_init(&out.private_key);
    ASSERT_EQ(gnutls_x509_privkey_generate(out.private_key, GNUTLS_PK_ECDSA,
                                           GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0),
              0);
    gnutls_x509_crt_init(&out.crt);
    gnutls_x509_crt_set_version(out.crt, 3);
    gnutls_x509_crt_set_serial(out.crt, &serial, 1);
    const std::time_t now = std::time(nullptr);
    gnutls_x509_crt_set_activation_time(out.crt, now + wanted.from);
    gnutls_x509_crt_set_expiration_time(out.crt, now + wanted.to);
    const char* where = nullptr;
    ASSERT_EQ(gnutls_x509_crt_set_dn(out.crt, wanted.name.c_str(), &where), 0) << where;
    gnutls_x509_crt_set_key(out.crt, out.private_key);
    gnutls_x509_crt_set_basic_constraints(out.crt, wanted.signer == nullptr ? 1 : 0, -1);
    gnutls_x509_crt_set_key_usage(out.crt,
                                  wanted.signer == nullptr ? GNUTLS_KEY_KEY_CERT_SIGN : GNUTLS_KEY_DIGITAL_SIGNATURE);
    if (wanted.purpose != nullptr) {
        gnutls_x509_crt_set_key_purpose_oid(out.crt, wanted.purpose, 0);
    }
    const Identity& signer = wanted.signer == nullptr ? out : *wanted.signer;
    ASSERT_EQ(gnutls_x509_crt_sign2(out.crt, signer.crt, signer.private_key, GNUTLS_DIG_SHA256, 0), 0);
    gnutls_datum_t text{};
    gnutls_x509_crt_export2(out.crt, GNUTLS_X509_FMT_PEM, &text);
    out.certificate.assign(reinterpret_cast<const char*>(text.data), text.size);
    gnutls_free(text.data);
    gnutls_x509_privkey_export2(out.private_key, GNUTLS_X509_FMT_PEM, &text);
    out.key.assign(reinterpret_cast<const char*>(text.data), text.size);
    gnutls_free(text.data);
}

}  // namespace bascule::daemon::test
