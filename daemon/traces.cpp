// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/traces.h"

#include <deque>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "kernel/linux/foreign_rules.h"
#include "kernel/linux/rule_trace.h"
#include "kernel/reconcile.h"
#include "nwfilter/tracing.h"

namespace bascule::daemon {

namespace os = kernel::os;

namespace {

constexpr std::size_t kMostTraces = 8, kMostPackets = 1024, kMostChains = 256;
constexpr std::chrono::minutes kLongest{10};
constexpr std::chrono::seconds kAgain{1};  // before a chain is read once more

}  // namespace

// One client's. Lives as long as the stream.
class Traces::Trace : public rpc::StreamHandler {
public:
    Trace(Traces& traces, std::string port, std::set<std::string> chains)
        : traces_(traces), port_(std::move(port)), chains_(std::move(chains)) {}
    ~Trace() override { traces_.forget(*this); }

    const std::string& port() const { return port_; }
    void attach(rpc::Stream stream) {
        stream_ = std::move(stream);
        end_ = traces_.host_.loop.at(traces_.host_.loop.clock().now() + kLongest, [this] { stream_.end(); });
    }
    void on_data(rpc::Stream& /*stream*/, ByteView /*data*/) override {}
    void on_writable(rpc::Stream& /*stream*/) override { held_ = false; }

    // Whether the packet is one of its port: one that a rule of ours marked. Another's passes the chain's end, too.
    bool knows(const kernel::TraceStep& step) {
        if (step.rule && chains_.contains(step.chain) && packets_.insert(step.packet).second) {
            order_.push_back(step.packet);
            if (order_.size() > kMostPackets) {
                packets_.erase(order_.front());
                order_.pop_front();
            }
        }
        return packets_.contains(step.packet);
    }
    void tell(const kernel::TraceStep& step, const nwfilter::Told& told) {
        if (held_) {
            ++left_out_;
            return;
        }
        if (const auto missing = std::exchange(left_out_, 0); missing > 0) {
            say("-", {"", fmt::format("{} steps left out", missing), "-"}, {});
        }
        say(fmt::format("{:08x}", step.packet), told, step);
    }
    void lost() { ++left_out_; }

private:
    void say(const std::string& packet, const nwfilter::Told& told, const kernel::TraceStep& step) {
        held_ = !stream_.send(as_bytes(fmt::format("{}\t{}\t{}\t{}\t{}\t{}\t{}\n", packet, told.where, told.rule,
                                                   told.verdict, step.in, step.out, step.frame)));
    }

    Traces& traces_;
    const std::string port_;
    const std::set<std::string> chains_;
    rpc::Stream stream_;
    std::unique_ptr<kernel::Watch> end_;
    std::set<std::uint32_t> packets_;
    std::deque<std::uint32_t> order_;
    bool held_ = false;
    std::uint64_t left_out_ = 0;
};

Traces::Traces(Host& host, Ports& ports) : host_(host), ports_(ports) {}
Traces::~Traces() = default;

Result<std::unique_ptr<rpc::StreamHandler>> Traces::open(std::string_view port) {
    const auto name = IfName::parse(port);
    const nwfilter::Port* const filtered = name ? ports_.filter_of(*name) : nullptr;
    if (filtered == nullptr) {
        return fail(Code::no_nwfilter_binding, fmt::format("no port '{}' has a filter", port));
    }
    if (open_.contains(name->str())) {
        return fail(Code::exists, fmt::format("another client traces the port '{}' already", port));
    }
    if (open_.size() >= kMostTraces) {
        return fail(Code::invalid_state, fmt::format("{} ports are traced already, which is the most", kMostTraces));
    }
    if (!kernel_) {
        TRY(kernel_, os::watch_traces(host_.loop, {.step = [this](const kernel::TraceStep& step) { take(step); },
                                                   .lost =
                                                       [this] {
                                                           for (const auto& [of, trace] : open_) {
                                                               trace->lost();
                                                           }
                                                       }}));
    }
    kernel::State wish;
    wish.rules = nwfilter::tracing(*filtered, ports_.addresses_of(*name));
    std::set<std::string> chains;
    for (const auto& [family, table] : wish.rules) {
        for (const auto& [chain, rules] : table.chains) {
            chains.insert(chain);
        }
    }
    auto trace = std::make_unique<Trace>(*this, name->str(), std::move(chains));
    open_[name->str()] = trace.get();
    TRY_OK(kernel::commit(host_.kernel, host_.ledger, "trace:" + name->str(), std::move(wish)));
    return trace;
}

void Traces::attach(std::string_view port, rpc::Stream stream) {
    if (const auto trace = open_.find(std::string(port)); trace != open_.end()) {
        trace->second->attach(std::move(stream));
    }
}

void Traces::forget(const Trace& trace) {
    open_.erase(trace.port());
    if (open_.empty()) {
        host_.loop.defer([this] {  // perhaps it is the socket that is being read
            if (open_.empty()) {
                kernel_.reset();
                texts_.clear();
            }
        });
    }
    if (auto done = kernel::withdraw(host_.kernel, host_.ledger, "trace:" + trace.port()); !done) {
        log::error("tracing of port {} ends: {}", trace.port(), done.error().message);
    }
}

void Traces::take(const kernel::TraceStep& step) {
    std::optional<nwfilter::Told> told;
    for (const auto& [port, trace] : std::map(open_)) {
        if (!trace->knows(step)) {
            continue;
        }
        if (!told) {
            told = nwfilter::told(step, text_of(step));
        }
        if (told) {
            trace->tell(step, *told);
        }
    }
}

std::string Traces::text_of(const kernel::TraceStep& step) {
    if (!step.rule) {
        return {};
    }
    const std::string chain = fmt::format("{} {} {}", step.family, step.table, step.chain);
    const kernel::Time now = host_.loop.clock().now();
    if (texts_.size() >= kMostChains && !texts_.contains(chain)) {
        texts_.clear();
    }
    auto [known, fresh] = texts_.try_emplace(chain);
    if (fresh || (!known->second.rules.contains(*step.rule) && now - known->second.read > kAgain)) {
        known->second = {os::rule_texts(step.family, step.table, step.chain), now};
    }
    const auto text = known->second.rules.find(*step.rule);
    return text == known->second.rules.end() ? std::string() : text->second;
}

}  // namespace bascule::daemon
