// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/tls.h"

#include <fnmatch.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>

#include <fmt/format.h>

namespace bascule::daemon {

namespace {

constexpr std::byte kWelcome{1};

template <class T, void (*Free)(T)>
struct Handle {
    T value = nullptr;
    Handle() = default;
    Handle(Handle&& other) noexcept : value(std::exchange(other.value, nullptr)) {}
    ~Handle() {
        if (value != nullptr) {
            Free(value);
        }
    }
};
using Certificate = Handle<gnutls_x509_crt_t, gnutls_x509_crt_deinit>;
using Credentials = Handle<gnutls_certificate_credentials_t, gnutls_certificate_free_credentials>;
using Priority = Handle<gnutls_priority_t, gnutls_priority_deinit>;

gnutls_datum_t datum(const std::string& text) {
    return {reinterpret_cast<unsigned char*>(const_cast<char*>(text.data())), static_cast<unsigned>(text.size())};
}

std::unexpected<Error> tls_failed(std::string_view what, int error) {
    return fail(Code::unsupported_config, fmt::format("{}: {}", what, gnutls_strerror(error)));
}

// All certificates of a PEM text: a chain, or several authorities.
Result<std::vector<Certificate>> read_certificates(const std::string& pem, const std::string& file) {
    constexpr unsigned kMost = 256;  // a host's whole bundle of authorities has some 140
    std::array<gnutls_x509_crt_t, kMost> list{};
    unsigned count = kMost;
    const gnutls_datum_t data = datum(pem);
    if (const int r = gnutls_x509_crt_list_import(list.data(), &count, &data, GNUTLS_X509_FMT_PEM,
                                                  GNUTLS_X509_CRT_LIST_IMPORT_FAIL_IF_EXCEED);
        r < 0) {
        return tls_failed(file, r);
    }
    std::vector<Certificate> out(count);
    for (unsigned i = 0; i < count; ++i) {
        out[i].value = list[i];
    }
    return out;
}

std::vector<gnutls_x509_crt_t> handles(const std::vector<Certificate>& certificates) {
    std::vector<gnutls_x509_crt_t> out;
    std::ranges::transform(certificates, std::back_inserter(out), &Certificate::value);
    return out;
}

Result<std::string> name_of(gnutls_x509_crt_t certificate) {
    gnutls_datum_t text{};
    if (const int r = gnutls_x509_crt_get_dn3(certificate, &text, GNUTLS_X509_DN_FLAG_COMPAT); r < 0) {
        return fail(Code::auth_failed, fmt::format("the name in the certificate: {}", gnutls_strerror(r)));
    }
    std::string out(reinterpret_cast<const char*>(text.data), text.size);
    gnutls_free(text.data);
    return out;
}

// A certificate that every client would refuse is better found at start.
Result<void> check_time_and_kind(gnutls_x509_crt_t certificate, const std::string& file, bool is_ca) {
    const std::time_t now = std::time(nullptr);
    if (gnutls_x509_crt_get_expiration_time(certificate) < now) {
        return fail(Code::unsupported_config, fmt::format("{}: the certificate has expired", file));
    }
    if (gnutls_x509_crt_get_activation_time(certificate) > now) {
        return fail(Code::unsupported_config, fmt::format("{}: the certificate is not active yet", file));
    }
    const int ca = gnutls_x509_crt_get_ca_status(certificate, nullptr);
    if (is_ca ? ca == 0 : ca > 0) {
        return fail(Code::unsupported_config, fmt::format("{}: {} certificate is needed here", file,
                                                          is_ca ? "a certificate authority's" : "a server's"));
    }
    std::array<char, 64> purpose{};
    std::size_t size = purpose.size();
    bool serves = is_ca;
    unsigned i = 0;
    while (gnutls_x509_crt_get_key_purpose_oid(certificate, i, purpose.data(), &size, nullptr) >= 0) {
        const std::string_view oid(purpose.data(), std::strlen(purpose.data()));
        serves = serves || oid == GNUTLS_KP_TLS_WWW_SERVER || oid == GNUTLS_KP_ANY;
        ++i;
        size = purpose.size();
    }
    if (i > 0 && !serves) {
        return fail(Code::unsupported_config,
                    fmt::format("{}: the certificate is not for servers (tls_www_server)", file));
    }
    return {};
}

Result<void> check_own_certificates(const TlsSettings& s) {
    TRY(const auto authorities, read_certificates(s.ca, s.ca_file));
    for (const Certificate& ca : authorities) {
        TRY_OK(check_time_and_kind(ca.value, s.ca_file, true));
    }
    TRY(const auto chain, read_certificates(s.certificate, s.certificate_file));
    TRY_OK(check_time_and_kind(chain.front().value, s.certificate_file, false));
    const auto ours = handles(chain), trusted = handles(authorities);
    unsigned status = 0;
    const int r = gnutls_x509_crt_list_verify(ours.data(), static_cast<int>(ours.size()), trusted.data(),
                                              static_cast<int>(trusted.size()), nullptr, 0, 0, &status);
    if (r < 0 || status != 0) {
        return fail(Code::unsupported_config, fmt::format("{} was not signed by {}", s.certificate_file, s.ca_file));
    }
    return {};
}

}  // namespace

bool is_allowed_name(const std::optional<std::vector<std::string>>& allowed, const std::string& name) {
    return !allowed || std::ranges::any_of(*allowed, [&](const std::string& pattern) {
        return ::fnmatch(pattern.c_str(), name.c_str(), 0) == 0;
    });
}

// ---- what all connections share

struct TlsServer::Impl {
    TlsSettings settings;
    Credentials credentials;
    Priority priority;
};

TlsServer::TlsServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TlsServer::~TlsServer() = default;

Result<std::shared_ptr<TlsServer>> TlsServer::make(TlsSettings settings) {
    auto impl = std::make_unique<Impl>();
    impl->settings = std::move(settings);
    const TlsSettings& s = impl->settings;
    if (s.check_own) {
        TRY_OK(check_own_certificates(s));
    }
    gnutls_certificate_credentials_t& credentials = impl->credentials.value;
    if (const int r = gnutls_certificate_allocate_credentials(&credentials); r < 0) {
        return tls_failed("TLS", r);
    }
    const gnutls_datum_t ca = datum(s.ca), certificate = datum(s.certificate), key = datum(s.key), crl = datum(s.crl);
    // This one counts what it read.
    if (const int r = gnutls_certificate_set_x509_trust_mem(credentials, &ca, GNUTLS_X509_FMT_PEM); r <= 0) {
        return tls_failed(s.ca_file, r < 0 ? r : GNUTLS_E_NO_CERTIFICATE_FOUND);
    }
    if (const int r = s.crl.empty() ? 0 : gnutls_certificate_set_x509_crl_mem(credentials, &crl, GNUTLS_X509_FMT_PEM);
        r < 0) {
        return tls_failed(s.crl_file, r);
    }
    if (const int r = gnutls_certificate_set_x509_key_mem(credentials, &certificate, &key, GNUTLS_X509_FMT_PEM);
        r < 0) {
        return tls_failed(fmt::format("{} with {}", s.certificate_file, s.key_file), r);
    }
    const char* wrong = nullptr;
    if (const int r = gnutls_priority_init(&impl->priority.value, s.priority.c_str(), &wrong); r < 0) {
        return tls_failed(fmt::format("tls_priority = \"{}\"", s.priority), r);
    }
    return std::shared_ptr<TlsServer>(new TlsServer(std::move(impl)));
}

// ---- one connection

struct TlsChannel::Impl {
    Handle<gnutls_session_t, gnutls_deinit> session;

    static ssize_t pull(gnutls_transport_ptr_t data, void* to, std::size_t size) {
        auto& channel = *static_cast<TlsChannel*>(data);
        const std::size_t n = std::min(size, channel.in_.size() - channel.taken_);
        if (n == 0) {
            gnutls_transport_set_errno(channel.impl_->session.value, EAGAIN);
            return -1;
        }
        std::memcpy(to, channel.in_.data() + channel.taken_, n);
        channel.taken_ += n;
        if (channel.taken_ == channel.in_.size()) {
            channel.in_.clear();
            channel.taken_ = 0;
        }
        return static_cast<ssize_t>(n);
    }
    static int is_there(gnutls_transport_ptr_t data, unsigned) {
        const auto& channel = *static_cast<const TlsChannel*>(data);
        return channel.taken_ < channel.in_.size() ? 1 : 0;
    }
    static ssize_t push(gnutls_transport_ptr_t data, const void* from, std::size_t size) {
        auto& out = static_cast<TlsChannel*>(data)->out_;
        const auto* const bytes = static_cast<const std::byte*>(from);
        out.insert(out.end(), bytes, bytes + size);
        return static_cast<ssize_t>(size);
    }
};

TlsChannel::TlsChannel() : impl_(std::make_unique<Impl>()) {}
TlsChannel::~TlsChannel() = default;

Result<std::unique_ptr<TlsChannel>> TlsChannel::make(std::shared_ptr<TlsServer> server) {
    std::unique_ptr<TlsChannel> out(new TlsChannel);
    gnutls_session_t& session = out->impl_->session.value;
    int r = gnutls_init(&session, GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL);
    r = r < 0 ? r : gnutls_priority_set(session, server->impl_->priority.value);
    r = r < 0 ? r : gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, server->impl_->credentials.value);
    if (r < 0) {
        return tls_failed("TLS", r);
    }
    gnutls_certificate_server_set_request(
        session, server->impl_->settings.verify_client ? GNUTLS_CERT_REQUIRE : GNUTLS_CERT_REQUEST);
    gnutls_transport_set_ptr(session, out.get());
    gnutls_transport_set_pull_function(session, Impl::pull);
    gnutls_transport_set_pull_timeout_function(session, Impl::is_there);
    gnutls_transport_set_push_function(session, Impl::push);
    out->server_ = std::move(server);
    return out;
}

void TlsChannel::receive(ByteView bytes) { in_.insert(in_.end(), bytes.begin(), bytes.end()); }

void TlsChannel::sent(std::size_t n) {
    sent_ += n;
    if (sent_ == out_.size()) {
        out_.clear();
        sent_ = 0;
    }
}

Result<bool> TlsChannel::handshake() {
    if (established_) {
        return true;
    }
    gnutls_session_t const session = impl_->session.value;
    int r = GNUTLS_E_INTERRUPTED;
    for (std::size_t before = in_.size() + 1; r == GNUTLS_E_INTERRUPTED ||
                                              (r < 0 && r != GNUTLS_E_AGAIN && gnutls_error_is_fatal(r) == 0) ||
                                              (r == GNUTLS_E_AGAIN && unread() > 0 && unread() < before);) {
        before = unread();
        r = gnutls_handshake(session);
    }
    if (r == GNUTLS_E_AGAIN) {
        return false;
    }
    if (r < 0) {
        gnutls_alert_send_appropriate(session, r);
        return fail(Code::auth_failed, fmt::format("the TLS handshake: {}", gnutls_strerror(r)));
    }
    if (auto checked = check_client(); !checked) {
        gnutls_alert_send(session, GNUTLS_AL_FATAL, GNUTLS_A_BAD_CERTIFICATE);
        return std::unexpected(checked.error());
    }
    established_ = true;
    TRY_OK(write(ByteView(&kWelcome, 1)));
    return true;
}

Result<void> TlsChannel::check_client() {
    gnutls_session_t const session = impl_->session.value;
    const TlsSettings& settings = server_->impl_->settings;
    unsigned count = 0;
    const gnutls_datum_t* const chain = gnutls_certificate_get_peers(session, &count);
    if (chain != nullptr && count > 0) {
        Certificate certificate;
        gnutls_x509_crt_init(&certificate.value);
        if (const int r = gnutls_x509_crt_import(certificate.value, chain, GNUTLS_X509_FMT_DER); r < 0) {
            return fail(Code::auth_failed, fmt::format("the client's certificate: {}", gnutls_strerror(r)));
        }
        TRY(name_, name_of(certificate.value));
    }
    if (settings.verify_client) {
        std::string purpose = GNUTLS_KP_TLS_WWW_CLIENT;
        gnutls_typed_vdata_st wanted{GNUTLS_DT_KEY_PURPOSE_OID, reinterpret_cast<unsigned char*>(purpose.data()), 0};
        unsigned status = 0;
        const int r = gnutls_certificate_verify_peers(session, &wanted, 1, &status);
        if (r < 0 || status != 0) {
            gnutls_datum_t why{};
            std::string text = r < 0 ? gnutls_strerror(r) : "it is not valid";
            if (r >= 0 && gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &why, 0) >= 0) {
                text.assign(reinterpret_cast<const char*>(why.data), why.size);
                gnutls_free(why.data);
            }
            return fail(Code::auth_failed, fmt::format("the certificate of '{}': {}", name_, text));
        }
        if (!is_allowed_name(settings.allowed, name_)) {
            return fail(Code::auth_failed, fmt::format("'{}' is not in tls_allowed_dn_list", name_));
        }
    }
    return {};
}

Result<Bytes> TlsChannel::read() {
    Bytes out;
    std::array<std::byte, 16384> part{};  // the largest record
    for (;;) {
        const std::size_t before = unread();
        const ssize_t r = gnutls_record_recv(impl_->session.value, part.data(), part.size());
        if (r > 0) {
            out.insert(out.end(), part.begin(), part.begin() + r);
        } else if (r == GNUTLS_E_AGAIN) {
            // Also said of a record that was for GnuTLS itself; what is behind it is there already.
            if (unread() == 0 || unread() == before) {
                return out;
            }
        } else if (r == 0) {
            return out.empty() ? Result<Bytes>(fail(Code::unreachable, "the other side has closed the connection"))
                               : Result<Bytes>(std::move(out));
        } else if (r != GNUTLS_E_INTERRUPTED &&
                   (gnutls_error_is_fatal(static_cast<int>(r)) != 0 || r == GNUTLS_E_REHANDSHAKE)) {
            // A renegotiation would be work for the server whenever the client likes.
            return fail(Code::malformed, fmt::format("TLS: {}", gnutls_strerror(static_cast<int>(r))));
        }
    }
}

Result<void> TlsChannel::write(ByteView bytes) {
    while (!bytes.empty()) {
        const ssize_t r = gnutls_record_send(impl_->session.value, bytes.data(), bytes.size());
        if (r >= 0) {
            bytes = bytes.subspan(static_cast<std::size_t>(r));
        } else if (r != GNUTLS_E_INTERRUPTED && r != GNUTLS_E_AGAIN) {
            return fail(Code::malformed, fmt::format("TLS: {}", gnutls_strerror(static_cast<int>(r))));
        }
    }
    return {};
}

}  // namespace bascule::daemon
