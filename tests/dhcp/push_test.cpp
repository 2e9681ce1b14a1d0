// SPDX-License-Identifier: GPL-2.0-or-later
// Pushes by difference: whatever changes, in whatever order, and whoever dies in between, the service ends up with what
// the daemon has.
#include "dhcp/push.h"

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <random>
#include <utility>

namespace bascule::dhcp {
namespace {

Uuid uuid(unsigned number) {
    Uuid out{};
    out.octets[15] = static_cast<std::uint8_t>(number);
    return out;
}

wire::Synced synced(std::uint64_t generation, bool wants_all = false) {
    return {.generation = generation, .takes_changes = true, .wants_all = wants_all};
}

TEST(Pushes, TheFirstSaysEverythingAndTheNextWhatChanged) {
    Pushes pushes;
    pushes.attached(4);
    pushes.heard(synced(4));
    pushes.changed(uuid(1));
    Pushes::Push push = pushes.next();
    EXPECT_EQ(push.begin, (wire::Begin{.generation = 5}));
    EXPECT_FALSE(push.networks);
    EXPECT_TRUE(push.upstreams);
    pushes.changed(uuid(2));
    pushes.changed(uuid(3));
    pushes.gone(uuid(3));
    push = pushes.next();
    EXPECT_EQ(push.begin, (wire::Begin{6, 5, {uuid(3)}}));
    EXPECT_EQ(push.networks, std::set<Uuid>{uuid(2)});
    EXPECT_FALSE(push.upstreams);
    pushes.upstreams_changed();
    push = pushes.next();
    EXPECT_TRUE(push.upstreams);
    EXPECT_TRUE(push.networks->empty());
}

TEST(Pushes, AServiceThatDoesNotKnowThemIsToldEverythingEachTime) {
    Pushes pushes;
    pushes.attached(0);
    pushes.heard({.generation = 0});
    for (int i = 0; i < 3; ++i) {
        pushes.changed(uuid(1));
        EXPECT_FALSE(pushes.next().begin.changes_from);
    }
}

TEST(Pushes, AnotherServiceAndOneThatAsksAreToldEverything) {
    Pushes pushes;
    pushes.attached(0);
    pushes.heard(synced(0));
    (void)pushes.next();
    EXPECT_TRUE(pushes.next().begin.changes_from);
    EXPECT_TRUE(pushes.heard(synced(1, true)));
    EXPECT_FALSE(pushes.next().begin.changes_from);
    EXPECT_TRUE(pushes.next().begin.changes_from);
    pushes.attached(0);
    pushes.heard(synced(0));
    EXPECT_FALSE(pushes.next().begin.changes_from);
}

TEST(Pushes, MoreEndsThanAMessageHoldsAreSaidWhole) {
    Pushes pushes;
    pushes.attached(0);
    pushes.heard(synced(0));
    (void)pushes.next();
    for (unsigned i = 0; i < 2000; ++i) {
        Uuid one = uuid(i);
        one.octets[14] = static_cast<std::uint8_t>(i >> 8);
        pushes.gone(one);
    }
    EXPECT_FALSE(pushes.next().begin.changes_from);
    EXPECT_TRUE(pushes.next().begin.changes_from);
}

TEST(Ending, ADifferenceToSomethingElseIsNotDone) {
    const std::map<Uuid, int> served{{uuid(1), 0}, {uuid(2), 0}};
    EXPECT_FALSE(ending({.generation = 8, .changes_from = 6}, {}, 7, served));
    EXPECT_FALSE(ending({.generation = 8, .changes_from = 8}, {}, 7, served));
    EXPECT_EQ(ending({8, 7, {uuid(2), uuid(9)}}, {}, 7, served), std::vector<Uuid>{uuid(2)});
    EXPECT_EQ(ending({8, 7, {uuid(2)}}, {uuid(2)}, 7, served), std::vector<Uuid>{}) << "it is said anew";
    EXPECT_EQ(ending({.generation = 8}, {uuid(2)}, 7, served), std::vector<Uuid>{uuid(1)});
}

// Both ends with nothing between them but queues, which either's death cuts.
class Pair {
public:
    explicit Pair(unsigned seed) : random_(seed) { greet(); }

    void step() {
        switch (random_() % 12) {
            case 0:
            case 1:
            case 2:
            case 3: {
                const Uuid one = uuid(random_() % 6);
                wanted_[one] = ++version_;
                pushes_.changed(one);
                push();
                break;
            }
            case 4:
            case 5: {
                const Uuid one = uuid(random_() % 6);
                if (wanted_.erase(one) > 0) {
                    pushes_.gone(one);
                    push();
                }
                break;
            }
            case 6:
            case 7:
            case 8: deliver(); break;
            case 9: hear(); break;
            case 10:  // either dies, with all that was on its way; half a push leaves nothing
                to_service_.clear();
                to_daemon_.clear();
                if (random_() % 2 == 0) {
                    served_.clear();
                    generation_ = 0;
                } else {
                    pushes_ = Pushes();
                }
                greet();
                break;
            default:  // a push gets lost, which does not happen, but must not harm
                if (!to_service_.empty() && random_() % 8 == 0) {
                    to_service_.pop_front();
                }
        }
    }

    void settle() {
        push();
        while (!to_service_.empty() || !to_daemon_.empty()) {
            deliver();
            hear();
        }
    }
    void expect_equal() const { EXPECT_EQ(served_, wanted_); }
    unsigned differences = 0;

private:
    struct Said {
        wire::Begin begin;
        std::map<Uuid, int> networks;
    };
    void greet() {
        ready_ = false;
        pushes_.attached(generation_);
        to_daemon_.push_back(synced(generation_));
    }
    void push() {
        if (!ready_) {
            return;
        }
        const Pushes::Push what = pushes_.next();
        differences += what.begin.changes_from ? 1 : 0;
        Said said{what.begin, {}};
        for (const auto& [one, version] : wanted_) {
            if (!what.networks || what.networks->contains(one)) {
                said.networks.emplace(one, version);
            }
        }
        to_service_.push_back(std::move(said));
    }
    void deliver() {
        if (to_service_.empty()) {
            return;
        }
        const Said said = std::move(to_service_.front());
        to_service_.pop_front();
        std::set<Uuid> pushed;
        for (const auto& [one, version] : said.networks) {
            pushed.insert(one);
        }
        const auto gone = ending(said.begin, pushed, generation_, served_);
        if (gone) {
            for (const Uuid& one : *gone) {
                served_.erase(one);
            }
            for (const auto& [one, version] : said.networks) {
                served_.insert_or_assign(one, version);
            }
            generation_ = said.begin.generation;
        }
        to_daemon_.push_back(synced(generation_, !gone));
    }
    void hear() {
        if (to_daemon_.empty()) {
            return;
        }
        const wire::Synced heard = to_daemon_.front();
        to_daemon_.pop_front();
        if (pushes_.heard(heard) || !std::exchange(ready_, true)) {
            push();
        }
    }

    std::mt19937 random_;
    std::map<Uuid, int> wanted_, served_;
    std::deque<Said> to_service_;
    std::deque<wire::Synced> to_daemon_;
    Pushes pushes_;
    std::uint64_t generation_ = 0;
    int version_ = 0;
    bool ready_ = false;
};

TEST(PushesProperty, AnySequenceOfDifferencesEqualsTheWhole) {
    unsigned differences = 0;
    for (unsigned seed = 0; seed < 300; ++seed) {
        SCOPED_TRACE(seed);
        Pair pair(seed);
        for (int round = 0; round < 10; ++round) {
            for (int i = 0; i < 40; ++i) {
                pair.step();
            }
            pair.settle();
            pair.expect_equal();
        }
        differences += pair.differences;
    }
    EXPECT_GT(differences, 1000U) << "or nothing was tried";
}

}  // namespace
}  // namespace bascule::dhcp
