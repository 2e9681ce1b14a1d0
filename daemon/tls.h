// SPDX-License-Identifier: GPL-2.0-or-later
// TLS for remote clients, without sockets: bytes of the network in and out, bytes of the protocol out and in.
//
// After the handshake and the check of the client's certificate the server says so with one byte, '\1', and only then
// does the protocol begin: that is how the peer's client learns that it was let in.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace bascule::daemon {

struct TlsSettings {
    std::string ca{}, certificate{}, key{}, crl{};  // PEM; an empty crl: none
    // Where they came from, for errors.
    std::string ca_file{}, certificate_file{}, key_file{}, crl_file{};
    std::string priority = "NORMAL";  // GnuTLS's words for versions and ciphers
    bool verify_client = true;
    bool check_own = true;  // refuse to start with a certificate that clients would refuse
    // Patterns (fnmatch(3)) of distinguished names, in the order of the certificate: "O=Example,CN=one"; none: all.
    std::optional<std::vector<std::string>> allowed{};
};

// What all connections share.
class TlsServer {
public:
    static Result<std::shared_ptr<TlsServer>> make(TlsSettings settings);
    ~TlsServer();

private:
    friend class TlsChannel;
    struct Impl;
    explicit TlsServer(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

// The server's end of one connection.
class TlsChannel {
public:
    static Result<std::unique_ptr<TlsChannel>> make(std::shared_ptr<TlsServer> server);
    ~TlsChannel();

    // From the network; an end of the connection is the caller's matter.
    void receive(ByteView bytes);
    // Goes on with the handshake. True once the client is let in, and the byte that says so is on its way. After an
    // error, output() may hold an alert that tells the client why.
    Result<bool> handshake();
    bool established() const { return established_; }
    const std::string& name() const { return name_; }  // the client's distinguished name

    // What has come for the protocol; empty: nothing yet. Code::unreachable: the client has said goodbye.
    Result<Bytes> read();
    Result<void> write(ByteView bytes);

    ByteView output() const { return ByteView(out_).subspan(sent_); }  // for the network
    void sent(std::size_t n);

private:
    struct Impl;
    TlsChannel();
    Result<void> check_client();
    std::size_t unread() const { return in_.size() - taken_; }

    std::unique_ptr<Impl> impl_;
    std::shared_ptr<TlsServer> server_;
    Bytes in_, out_;
    std::size_t taken_ = 0, sent_ = 0;
    bool established_ = false;
    std::string name_;
};

bool is_allowed_name(const std::optional<std::vector<std::string>>& allowed, const std::string& name);

}  // namespace bascule::daemon
