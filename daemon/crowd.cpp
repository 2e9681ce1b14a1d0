// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/crowd.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace bascule::daemon {

namespace {

constexpr std::size_t kOfAProcess = 4, kOfASource = 2, kOfAnonymous = 2;  // one over the share

std::size_t share(std::size_t of, std::size_t parts) { return std::max<std::size_t>(1, of / parts); }

// One process or user may have as many as a host's tools need, however few clients there may be.
std::size_t share_of_clients(std::size_t of, std::size_t parts) {
    constexpr std::size_t kLeast = 10;
    return std::max(std::min(of, kLeast), share(of, parts));
}

}  // namespace

std::string format(const Origin& origin) {
    const auto* const local = std::get_if<LocalOrigin>(&origin);
    return local != nullptr ? fmt::format("user {}, process {}", local->uid, local->pid) : format(std::get<Ip>(origin));
}

Crowd::Place::Place(Place&& other) noexcept
    : crowd_(std::exchange(other.crowd_, nullptr)), origin_(other.origin_), anonymous_(other.anonymous_) {}

Crowd::Place& Crowd::Place::operator=(Place&& other) noexcept {
    std::swap(crowd_, other.crowd_);
    std::swap(origin_, other.origin_);
    std::swap(anonymous_, other.anonymous_);
    return *this;
}

Crowd::Place::~Place() {
    if (crowd_ != nullptr) {
        crowd_->leave(origin_, anonymous_);
    }
}

void Crowd::Place::set_known() {
    if (crowd_ != nullptr && std::exchange(anonymous_, false)) {
        crowd_->leave(origin_, true);
        crowd_->join(origin_, false);
    }
}

std::vector<Crowd::Share> Crowd::shares(const Origin& origin) {
    const auto* const local = std::get_if<LocalOrigin>(&origin);
    if (local == nullptr) {
        return {{std::get<Ip>(origin), kOfASource, "address"}};
    }
    std::vector<Share> out{{local->pid, kOfAProcess, "process"}};
    if (local->uid != 0) {
        out.push_back({local->uid, kOfASource, "user"});
    }
    return out;
}

void Crowd::join(const Origin& origin, bool anonymous) {
    clients_ += 1;
    anonymous_ += anonymous ? 1 : 0;
    for (const Share& part : shares(origin)) {
        Count& count = counts_[part.key];
        count.all += 1;
        count.anonymous += anonymous ? 1 : 0;
    }
}

void Crowd::leave(const Origin& origin, bool anonymous) {
    clients_ -= 1;
    anonymous_ -= anonymous ? 1 : 0;
    for (const Share& part : shares(origin)) {
        const auto count = counts_.find(part.key);
        count->second.all -= 1;
        count->second.anonymous -= anonymous ? 1 : 0;
        if (count->second.all == 0) {
            counts_.erase(count);
        }
    }
}

Result<Crowd::Place> Crowd::enter(const Origin& origin, bool anonymous) {
    const std::size_t most = limits_.clients + (is_root(origin) ? kForRoot : 0);
    if (clients_ >= most) {
        return fail(Code::denied, fmt::format("{} clients are connected (max_clients)", clients_));
    }
    if (anonymous && anonymous_ >= limits_.anonymous) {
        return fail(Code::denied, fmt::format("{} clients have not logged in yet (max_anonymous_clients)", anonymous_));
    }
    for (const Share& part : shares(origin)) {
        const auto found = counts_.find(part.key);
        const Count has = found == counts_.end() ? Count() : found->second;
        if (has.all >= share_of_clients(limits_.clients, part.parts)) {
            return fail(Code::denied, fmt::format("this {} has {} of max_clients = {} connections", part.what, has.all,
                                                  limits_.clients));
        }
        if (anonymous && has.anonymous >= share(limits_.anonymous, kOfAnonymous)) {
            return fail(Code::denied,
                        fmt::format("this {} has {} of max_anonymous_clients = {} connections that have not logged in",
                                    part.what, has.anonymous, limits_.anonymous));
        }
    }
    join(origin, anonymous);
    Place place;
    place.crowd_ = this;
    place.origin_ = origin;
    place.anonymous_ = anonymous;
    return place;
}

}  // namespace bascule::daemon
