// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/linux/files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

namespace bascule::kernel::os {

namespace {

namespace fs = std::filesystem;

class FilesTest : public testing::Test {
protected:
    FilesTest() {
        std::string name = testing::TempDir() + "bascule-XXXXXX";
        root_ = ::mkdtemp(name.data());
        files_ = *make_file_tree(root_.string());
    }
    ~FilesTest() override { fs::remove_all(root_); }
    std::string read(const std::string& path) {
        auto text = files_->read(path, 1000);
        return text ? *text : "error: " + text.error().message;
    }
    unsigned mode(const std::string& path) {
        struct stat info{};
        ::stat((root_ / path).c_str(), &info);
        return info.st_mode & 07777;
    }

    fs::path root_;
    std::unique_ptr<FileTree> files_;
};

}  // namespace

TEST_F(FilesTest, AFileIsWrittenWithItsFoldersAndReadBack) {
    ASSERT_TRUE(files_->write("/etc/bascule/networks/default.xml", "<network/>"));
    EXPECT_EQ(read("/etc/bascule/networks/default.xml"), "<network/>");
    EXPECT_EQ(mode("etc/bascule/networks/default.xml"), 0600U);
    EXPECT_EQ(mode("etc/bascule/networks"), 0755U);
    ASSERT_TRUE(files_->write("/etc/bascule/networks/default.xml", "", 0644));
    EXPECT_EQ(read("/etc/bascule/networks/default.xml"), "");
    EXPECT_EQ(mode("etc/bascule/networks/default.xml"), 0644U);
    EXPECT_EQ(files_->real("/a"), root_.string() + "/a");
}

TEST_F(FilesTest, AFailedWriteLeavesTheOldFileAndNoOther) {
    fs::create_directories(root_ / "a/b");
    const auto refused = files_->write("/a/b", "over a folder");
    ASSERT_FALSE(refused);
    EXPECT_TRUE(refused.error().message.contains(root_.string() + "/a/b")) << refused.error().message;
    EXPECT_EQ(std::distance(fs::directory_iterator(root_ / "a"), {}), 1);
    ASSERT_TRUE(files_->write("/file", "x"));
    const auto below = files_->write("/file/below", "x");
    ASSERT_FALSE(below);
    EXPECT_EQ(below.error().sys_errno, ENOTDIR);
}

TEST_F(FilesTest, WhatACrashLeftIsNeitherListedNorInTheWay) {
    fs::create_directories(root_ / "d");
    std::ofstream(root_ / "d/.bascule-new-x") << "half";
    EXPECT_EQ(*files_->list("/d"), std::vector<std::string>{});
    ASSERT_TRUE(files_->write("/d/x", "whole"));
    EXPECT_EQ(*files_->list("/d"), std::vector<std::string>{"x"});
    EXPECT_FALSE(fs::exists(root_ / "d/.bascule-new-x"));
}

TEST_F(FilesTest, AFileThatIsTooLongAbsentOrNoneIsAnError) {
    ASSERT_TRUE(files_->write("/f", "12345"));
    EXPECT_EQ(*files_->read("/f", 5), "12345");
    const auto refused = files_->read("/f", 4);
    ASSERT_FALSE(refused);
    EXPECT_TRUE(refused.error().message.contains("4 bytes")) << refused.error().message;
    EXPECT_EQ(files_->read("/absent", 4).error().sys_errno, ENOENT);
    fs::create_directory(root_ / "folder");
    EXPECT_FALSE(files_->read("/folder", 4));
    ASSERT_EQ(::mkfifo((root_ / "fifo").c_str(), 0600), 0);
    EXPECT_FALSE(files_->read("/fifo", 4)) << "and it does not wait";
}

TEST_F(FilesTest, FilesOfUnknownLengthAreReadWhole) {
    const auto host = make_file_tree("/");
    ASSERT_TRUE(host);
    const auto text = (*host)->read("/proc/self/status", 1 << 20);
    ASSERT_TRUE(text) << text.error().message;
    EXPECT_TRUE(text->starts_with("Name:"));
    EXPECT_EQ((*host)->real("/proc"), "/proc");
}

TEST_F(FilesTest, LinksStayInsideTheRoot) {
    fs::create_directories(root_ / "etc");
    ASSERT_TRUE(files_->write("/etc/hostname", "ours"));
    ASSERT_TRUE(files_->symlink("/etc/hostname", "/absolute"));
    ASSERT_TRUE(files_->symlink("../../../../etc/hostname", "/deep/climbing"));
    fs::create_symlink("/etc", root_ / "folder");
    EXPECT_EQ(read("/absolute"), "ours");
    EXPECT_EQ(read("/deep/climbing"), "ours");
    EXPECT_EQ(read("/folder/hostname"), "ours");
    ASSERT_TRUE(files_->write("/folder/new", "new"));
    EXPECT_TRUE(fs::exists(root_ / "etc/new"));
}

TEST_F(FilesTest, WritingOverALinkReplacesTheLink) {
    ASSERT_TRUE(files_->write("/target", "target"));
    ASSERT_TRUE(files_->symlink("/target", "/link"));
    ASSERT_TRUE(files_->write("/link", "file"));
    EXPECT_EQ(read("/target"), "target");
    EXPECT_FALSE(fs::is_symlink(root_ / "link"));
    ASSERT_TRUE(files_->symlink("/elsewhere", "/link"));
    EXPECT_TRUE(files_->exists("/link")) << "a link to nothing exists";
    EXPECT_EQ(fs::read_symlink(root_ / "link"), "/elsewhere");
}

TEST_F(FilesTest, PathsThatClimbAreRefused) {
    for (const char* path : {"", "relative", "/a/../b", "/a//b", "/./a", "/a/"}) {
        EXPECT_EQ(files_->read(path, 10).error().code, Code::invalid_argument) << path;
        EXPECT_EQ(files_->write(path, "").error().code, Code::invalid_argument) << path;
        EXPECT_FALSE(files_->exists(path)) << path;
    }
}

TEST_F(FilesTest, RemovingIsDoneOnceAndFineTwice) {
    ASSERT_TRUE(files_->write("/a/b", "x"));
    for (int i = 0; i < 2; ++i) {
        EXPECT_TRUE(files_->remove("/a/b"));
        EXPECT_FALSE(files_->exists("/a/b"));
    }
    EXPECT_TRUE(files_->remove("/nowhere/at/all"));
    EXPECT_TRUE(files_->remove("/a")) << "an empty folder";
    ASSERT_TRUE(files_->write("/c/d", "x"));
    EXPECT_EQ(files_->remove("/c").error().sys_errno, ENOTEMPTY);
}

TEST_F(FilesTest, AListIsSortedAndAnAbsentFolderIsEmpty) {
    for (const char* name : {"/l/c", "/l/a", "/l/b"}) {
        ASSERT_TRUE(files_->write(name, ""));
    }
    EXPECT_EQ(*files_->list("/l"), (std::vector<std::string>{"a", "b", "c"}));
    EXPECT_EQ(*files_->list("/absent"), std::vector<std::string>{});
    EXPECT_EQ(files_->list("/l/a").error().sys_errno, ENOTDIR);
}

TEST(FileTree, NeedsARootThatIsThere) {
    EXPECT_EQ(make_file_tree("relative").error().code, Code::invalid_argument);
    EXPECT_EQ(make_file_tree("/nonexistent").error().sys_errno, ENOENT);
}

TEST_F(FilesTest, AFolderIsGivenToItsUser) {
    if (::geteuid() != 0) {
        GTEST_SKIP() << "needs root to give folders away";
    }
    const std::string path = (root_ / "var/lib/leases").string();
    for (int i = 0; i < 2; ++i) {
        ASSERT_TRUE(make_folder(path, 0700, 4321, 4322));
        struct stat info{};
        ASSERT_EQ(::stat(path.c_str(), &info), 0);
        EXPECT_EQ(info.st_uid, 4321U);
        EXPECT_EQ(info.st_gid, 4322U);
        EXPECT_EQ(info.st_mode & 07777, 0700U);
    }
    EXPECT_TRUE(open_folder(path));
    fs::create_symlink("/etc", root_ / "link");
    EXPECT_FALSE(open_folder((root_ / "link").string()));
}

}  // namespace bascule::kernel::os
