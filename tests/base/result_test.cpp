// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/result.h"

#include <gtest/gtest.h>

#include <memory>

namespace bascule {
namespace {

Result<int> half(int n) {
    if (n % 2 != 0) {
        return fail(Code::invalid_argument, "odd");
    }
    return n / 2;
}

Result<int> quarter(int n) {
    TRY(const int first, half(n));
    TRY(const int second, half(first));
    return second;
}

Result<void> check(int n) {
    TRY_OK([n]() -> Result<void> {
        TRY([[maybe_unused]] const int ignored, half(n));
        return {};
    }());
    return {};
}

Result<std::unique_ptr<int>> box(int n) {
    TRY(auto inner, Result<std::unique_ptr<int>>(std::make_unique<int>(n)));
    ++*inner;
    return inner;
}

TEST(Result, TryPassesValuesAndErrorsOn) {
    EXPECT_EQ(quarter(12).value(), 3);
    EXPECT_EQ(quarter(6).error(), (Error{Code::invalid_argument, "odd", 0}));
    EXPECT_TRUE(check(2));
    EXPECT_EQ(check(3).error().message, "odd");
}

TEST(Result, TryMovesWhatCannotBeCopied) { EXPECT_EQ(**box(4), 5); }

TEST(Result, ErrorsSayWhereTheyWere) {
    EXPECT_EQ(Error(half(1).error()).in("port").in("network default").message, "network default: port: odd");
}

TEST(Result, FailedSystemCallsKeepTheirErrno) {
    const Result<void> failed = fail_errno("open /nowhere", ENOENT);
    EXPECT_EQ(failed.error(), (Error{Code::system, "open /nowhere: No such file or directory", ENOENT}));
    EXPECT_EQ(errno_text(EPERM), "Operation not permitted");
}

}  // namespace
}  // namespace bascule
