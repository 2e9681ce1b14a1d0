// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/tls.h"

#include <cerrno>
#include <cstring>

#include "tests/daemon/certificates.h"

namespace bascule::daemon {
namespace {

using test::Identity;

// GnuTLS's own client, on bytes.
class Client {
public:
    Client(const std::string& ca, const Identity* identity, const char* priority = "NORMAL") {
        gnutls_certificate_allocate_credentials(&credentials_);
        const auto datum = [](const std::string& text) {
            return gnutls_datum_t{reinterpret_cast<unsigned char*>(const_cast<char*>(text.data())),
                                  static_cast<unsigned>(text.size())};
        };
        const gnutls_datum_t trust = datum(ca);
        gnutls_certificate_set_x509_trust_mem(credentials_, &trust, GNUTLS_X509_FMT_PEM);
        if (identity != nullptr) {
            const gnutls_datum_t crt = datum(identity->certificate), key = datum(identity->key);
            gnutls_certificate_set_x509_key_mem(credentials_, &crt, &key, GNUTLS_X509_FMT_PEM);
        }
        // The certificate is offered even if the server names another authority.
        gnutls_init(&session_, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_FORCE_CLIENT_CERT);
        gnutls_priority_set_direct(session_, priority, nullptr);
        gnutls_credentials_set(session_, GNUTLS_CRD_CERTIFICATE, credentials_);
        gnutls_transport_set_ptr(session_, this);
        gnutls_transport_set_pull_timeout_function(session_, [](gnutls_transport_ptr_t, unsigned) { return 1; });
        gnutls_transport_set_pull_function(session_, [](gnutls_transport_ptr_t p, void* to, size_t n) -> ssize_t {
            auto& self = *static_cast<Client*>(p);
            n = std::min(n, self.in.size());
            if (n == 0) {
                gnutls_transport_set_errno(self.session_, EAGAIN);
                return -1;
            }
            std::memcpy(to, self.in.data(), n);
            self.in.erase(self.in.begin(), self.in.begin() + static_cast<std::ptrdiff_t>(n));
            return static_cast<ssize_t>(n);
        });
        gnutls_transport_set_push_function(session_, [](gnutls_transport_ptr_t p, const void* from, size_t n) {
            const auto* const bytes = static_cast<const std::byte*>(from);
            auto& to = static_cast<Client*>(p)->out;
            to.insert(to.end(), bytes, bytes + n);
            return static_cast<ssize_t>(n);
        });
    }
    ~Client() {
        gnutls_deinit(session_);
        gnutls_certificate_free_credentials(credentials_);
    }
    int shake() { return gnutls_handshake(session_); }
    std::string read() {
        std::array<char, 100> text{};
        ssize_t n = GNUTLS_E_AGAIN;
        for (std::size_t before = in.size() + 1; n == GNUTLS_E_AGAIN && in.size() < before;) {  // a ticket, say
            before = in.size();
            n = gnutls_record_recv(session_, text.data(), text.size());
        }
        return n > 0 ? std::string(text.data(), static_cast<std::size_t>(n)) : std::string();
    }
    void write(std::string_view text) { gnutls_record_send(session_, text.data(), text.size()); }
    void bye() { gnutls_bye(session_, GNUTLS_SHUT_WR); }

    Bytes in, out;

private:
    gnutls_certificate_credentials_t credentials_ = nullptr;
    gnutls_session_t session_ = nullptr;
};

class Tls : public testing::Test {
protected:
    Tls() {
        test::make(ca_, {.name = "CN=Test Authority"});
        test::make(server_, {.name = "CN=localhost", .signer = &ca_, .purpose = GNUTLS_KP_TLS_WWW_SERVER});
        test::make(client_, {.name = "CN=one,O=Example", .signer = &ca_, .purpose = GNUTLS_KP_TLS_WWW_CLIENT});
        settings_ = {.ca = ca_.certificate,
                     .certificate = server_.certificate,
                     .key = server_.key,
                     .ca_file = "ca.pem",
                     .certificate_file = "cert.pem",
                     .key_file = "key.pem"};
    }
    std::string refusal() {
        const auto made = TlsServer::make(settings_);
        return made ? std::string() : made.error().message;
    }
    // Passes bytes both ways, `step` at a time to the server, until it has decided.
    Result<bool> meet(Client& client, std::size_t step = 1 << 20) {
        auto server = TlsServer::make(settings_);
        EXPECT_TRUE(server) << server.error().message;
        channel_ = *TlsChannel::make(*server);
        for (int i = 0; i < 10'000; ++i) {
            client.shake();
            const std::size_t n = std::min(step, client.out.size());
            channel_->receive(ByteView(client.out).first(n));
            client.out.erase(client.out.begin(), client.out.begin() + static_cast<std::ptrdiff_t>(n));
            const auto done = channel_->handshake();
            pass(client);
            if (!done || *done) {
                client.shake();
                return done;
            }
        }
        return false;
    }
    void pass(Client& client) {
        const ByteView out = channel_->output();
        client.in.insert(client.in.end(), out.begin(), out.end());
        channel_->sent(out.size());
    }

    Identity ca_, server_, client_;
    TlsSettings settings_;
    std::unique_ptr<TlsChannel> channel_;
};

TEST_F(Tls, LetsAClientOfTheAuthorityInAndSaysSo) {
    for (const char* priority : {"NORMAL", "NORMAL:-VERS-TLS1.3"}) {
        Client client(ca_.certificate, &client_, priority);
        const auto done = meet(client);
        ASSERT_TRUE(done) << done.error().message;
        EXPECT_TRUE(*done);
        EXPECT_EQ(channel_->name(), "O=Example,CN=one");
        EXPECT_EQ(client.read(), "\1");
        client.write("call");
        channel_->receive(client.out);
        client.out.clear();
        EXPECT_EQ(as_text(*channel_->read()), "call");
        EXPECT_TRUE(channel_->read()->empty());
        ASSERT_TRUE(channel_->write(as_bytes("reply")));
        pass(client);
        EXPECT_EQ(client.read(), "reply");
        client.bye();
        channel_->receive(client.out);
        EXPECT_EQ(channel_->read().error().code, Code::unreachable);
    }
}

TEST_F(Tls, TakesTheHandshakeByteByByte) {
    Client client(ca_.certificate, &client_);
    const auto done = meet(client, 1);
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_TRUE(*done);
}

TEST_F(Tls, LargeAnswersGoInRecords) {
    Client client(ca_.certificate, &client_);
    ASSERT_TRUE(meet(client));
    EXPECT_EQ(client.read(), "\1");
    ASSERT_TRUE(channel_->write(as_bytes(std::string(100'000, 'x'))));
    pass(client);
    std::size_t n = 0;
    for (std::string part = client.read(); !part.empty(); part = client.read()) {
        n += part.size();
    }
    EXPECT_EQ(n, 100'000U);
}

TEST_F(Tls, RefusesAClientWithoutACertificate) {
    for (const char* priority : {"NORMAL", "NORMAL:-VERS-TLS1.3"}) {
        Client client(ca_.certificate, nullptr, priority);
        const auto done = meet(client);
        ASSERT_FALSE(done);
        EXPECT_TRUE(done.error().message.contains("ertificate")) << done.error().message;
        EXPECT_FALSE(channel_->established());
    }
}

TEST_F(Tls, RefusesCertificatesOfOthersAndOfOtherTimesAndKinds) {
    Identity stranger, other, late, early, serving;
    test::make(stranger, {.name = "CN=Test Authority"});  // the same name, another key
    test::make(other, {.name = "CN=one,O=Example", .signer = &stranger});
    test::make(late, {.name = "CN=late", .signer = &ca_, .from = -7200, .to = -3600});
    test::make(early, {.name = "CN=early", .signer = &ca_, .from = 3600, .to = 7200});
    test::make(serving, {.name = "CN=serving", .signer = &ca_, .purpose = GNUTLS_KP_TLS_WWW_SERVER});
    for (const Identity* const identity : {&other, &late, &early, &serving}) {
        Client client(ca_.certificate, identity);
        const auto done = meet(client);
        ASSERT_FALSE(done);
        EXPECT_EQ(done.error().code, Code::auth_failed);
        EXPECT_TRUE(done.error().message.contains("certificate")) << done.error().message;
        EXPECT_NE(client.read(), "\1");
    }
}

TEST_F(Tls, OnlyNamesOfTheListComeIn) {
    settings_.allowed = {"*,CN=two", "O=Else*"};
    Client refused(ca_.certificate, &client_);
    EXPECT_EQ(meet(refused).error().message, "'O=Example,CN=one' is not in tls_allowed_dn_list");
    settings_.allowed = std::vector<std::string>{};
    Client nobody(ca_.certificate, &client_);
    EXPECT_FALSE(meet(nobody)) << "an empty list lets nobody in";
    settings_.allowed = {"*,CN=one"};
    Client allowed(ca_.certificate, &client_);
    EXPECT_TRUE(meet(allowed));
}

TEST_F(Tls, WithoutVerificationEverybodyComesIn) {
    settings_.verify_client = false;
    Client client(ca_.certificate, nullptr);
    const auto done = meet(client);
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_EQ(channel_->name(), "");
}

TEST_F(Tls, NonsenseEndsTheConnection) {
    auto server = TlsServer::make(settings_);
    ASSERT_TRUE(server);
    auto channel = *TlsChannel::make(*server);
    channel->receive(as_bytes("GET / HTTP/1.0\r\n\r\n"));
    const auto done = channel->handshake();
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, Code::auth_failed);
}

TEST_F(Tls, SaysAtStartWhatIsWrongWithTheFiles) {
    EXPECT_EQ(refusal(), "");
    const TlsSettings good = settings_;
    settings_.key = client_.key;
    EXPECT_TRUE(refusal().starts_with("cert.pem with key.pem: ")) << refusal();
    settings_ = good;
    settings_.ca = "nonsense";
    EXPECT_TRUE(refusal().starts_with("ca.pem: ")) << refusal();
    settings_ = good;
    settings_.certificate = client_.certificate;
    settings_.key = client_.key;
    EXPECT_EQ(refusal(), "cert.pem: the certificate is not for servers (tls_www_server)");
    Identity late, stranger;
    test::make(late, {.name = "CN=localhost", .signer = &ca_, .from = -7200, .to = -3600});
    settings_.certificate = late.certificate;
    settings_.key = late.key;
    EXPECT_EQ(refusal(), "cert.pem: the certificate has expired");
    settings_ = good;
    test::make(stranger, {.name = "CN=Another"});
    settings_.ca = stranger.certificate;
    EXPECT_EQ(refusal(), "cert.pem was not signed by ca.pem");
    settings_.ca = stranger.certificate + ca_.certificate;
    EXPECT_EQ(refusal(), "") << "one of several authorities is enough";
    settings_ = good;
    settings_.ca = server_.certificate;
    EXPECT_EQ(refusal(), "ca.pem: a certificate authority's certificate is needed here");
    settings_ = good;
    settings_.priority = "ROT13";
    EXPECT_TRUE(refusal().starts_with("tls_priority = \"ROT13\": ")) << refusal();
}

}  // namespace
}  // namespace bascule::daemon
