// SPDX-License-Identifier: GPL-2.0-or-later
// What the rules say that are handed to nft: an evaluator of their text, of as much of nft's language as they use. It
// decides what this machine's kernel may not be able to (connection states), and much faster than frames on a wire.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "kernel/ruleset.h"
#include "tests/nwfilter/reference.h"

namespace bascule::nwfilter {

class RulesEvaluator {
public:
    // Words that it does not know end up in problem().
    RulesEvaluator(const kernel::Ruleset& rules, std::string_view port);
    const std::string& problem() const { return problem_; }

    bool passes(ByteView frame, bool out, const reference::Tracked& tracked) const;
    // By the rules that frames to the port meet where they come into its bridge.
    bool has_ahead() const { return !ahead_.empty(); }
    bool passes_ahead(ByteView frame, const reference::Tracked& tracked) const;

private:
    // A value as a number in 16 octets, whatever its width.
    using Word = std::array<std::uint8_t, 16>;
    struct Frame;
    enum class Verdict { none, accept, drop, leave };

    struct Column {
        std::string name;  // "ip saddr", "@nh"
        std::size_t offset = 0, bits = 0;
    };
    using Span = std::pair<Word, Word>;
    struct Match {
        std::vector<Column> columns;
        Word mask{};  // all ones, or of the one column
        bool negated = false;
        std::vector<std::vector<Span>> values;  // any of these, a span for each column
        std::string set;                        // or a row of this one
    };
    struct Rule {
        std::vector<Match> matches;
        Verdict verdict = Verdict::none;
        std::string jump, map;  // or where it goes on
    };
    class Parser;

    static std::optional<Word> load(const Column& column, const Frame& frame);
    bool holds(const Match& match, const Frame& frame) const;
    Verdict run(const std::string& chain, const Frame& frame) const;

    std::string port_, problem_;
    std::map<std::string, std::vector<Rule>> chains_;
    std::map<std::string, std::set<std::vector<Word>>> rows_;  // of the port, of sets keyed by it
    std::map<std::string, std::vector<Span>> shared_;          // of sets that all ports have
    std::map<std::string, std::string> jumps_;                 // of the port, by map
    // Base chains by priority: prerouting, the same for frames to the port, postrouting.
    std::vector<std::pair<int, std::string>> before_, ahead_, behind_;
};

}  // namespace bascule::nwfilter
