// What a killed process, a full disk and a damaged file do to the store.
#include <csignal>
#include <cstdio>
#include <fstream>
#include <random>

#include <sched.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "store/sqlite/scratch.h"
#include "tests/contract/store_samples.h"

namespace mayfly {
namespace {

using contract::make_entry;
using contract::make_job;

// Runs `body` in a process of its own, which gets the writing end of a pipe and then exits; returns pid and reading
// end.
template <class F>
std::pair<pid_t, FILE*> in_child(F body) {
  int ends[2];
  MAYFLY_CHECK(pipe(ends) == 0);
  pid_t pid = fork();
  MAYFLY_CHECK(pid >= 0);
  if (pid == 0) {
    close(ends[0]);
    body(ends[1]);
    _exit(0);
  }
  close(ends[1]);
  return {pid, fdopen(ends[0], "r")};
}

void say(int fd, const std::string& line) {
  MAYFLY_CHECK(write(fd, line.data(), line.size()) == static_cast<ssize_t>(line.size()));
}

// Commits one job after the other and prints each id once its commit() has returned. Of five, the middle one ends.
void commit_for_ever(const std::string& path, int out) {
  auto store = SqliteStore::open(path);
  if (!store) return say(out, store.error().text() + "\n");
  for (JobId id = (*store)->load()->next_job;; ++id) {
    auto subject = fmt::format("job/{}", id);
    Batch b{.jobs = {make_job(id, id % 5 == 3 ? JobState::succeeded : JobState::queued)},
            .ledger = {make_entry(subject), make_entry(subject, "job.assigned")}};
    if (auto done = (*store)->commit(b); !done) return say(out, done.error().text() + "\n");
    say(out, fmt::format("{}\n", id));
  }
}

JobId read_last(FILE* from, std::uint64_t lines, JobId last) {
  char line[256];
  for (std::uint64_t i = 0; i < lines && std::fgets(line, sizeof line, from); ++i) {
    char* end = nullptr;
    last = std::strtoull(line, &end, 10);
    EXPECT_EQ(*end, '\n') << line;
  }
  return last;
}

TEST(Durability, KillNineLosesNothingThatWasCommitted) {
  Scratch scratch;
  auto seed = std::random_device()();
  std::mt19937 random(seed);
  SCOPED_TRACE(fmt::format("seed {}", seed));
  JobId printed = 0;
  for (int round = 0; round < 15; ++round) {
    auto [pid, out] = in_child([&](int fd) { commit_for_ever(scratch.database(), fd); });
    printed = read_last(out, random() % 60, printed);  // at a few it dies while opening and recovering
    ASSERT_EQ(kill(pid, SIGKILL), 0);
    int status = 0;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself";
    printed = read_last(out, UINT64_MAX, printed);
    std::fclose(out);

    auto store = open_store(scratch.database());
    ASSERT_TRUE(store);
    auto next = store->load()->next_job;
    ASSERT_GE(next, printed + 1);
    ASSERT_LE(next, printed + 2) << "at most the one commit that was not yet printed";
    ASSERT_EQ(store->jobs({.limit = 1'000'000})->size(), next - 1);
    auto check = store->verify_ledger();
    ASSERT_TRUE(check) << check.error().text();
    ASSERT_EQ(check->entries, 2 * (next - 1)) << "a job without its entries, or the other way round";
  }
  EXPECT_GT(printed, 15U);
}

TEST(Durability, EveryCommitReachesTheDisk) {
  Scratch scratch;
  auto database = sqlite::Database::open(scratch.database(), {.application_id = sqlite_application_id});
  ASSERT_TRUE(database);
  EXPECT_EQ(*(*database)->integer("PRAGMA synchronous"), 2) << "2 is FULL: less loses commits at a power cut";
}

// As root of a user namespace of its own, an ordinary user may mount too.
bool become_root_within() {
  auto uid = fmt::format("0 {} 1", geteuid()), gid = fmt::format("0 {} 1", getegid());
  if (unshare(CLONE_NEWUSER) != 0) return false;
  auto put = [](const char* path, const std::string& text) {
    return static_cast<bool>(std::ofstream(path) << text << std::flush);
  };
  return put("/proc/self/setgroups", "deny") && put("/proc/self/uid_map", uid) && put("/proc/self/gid_map", gid);
}

// A mount namespace with a tmpfs of `bytes` at `directory`, for this process alone. Empty, or why it cannot be had.
std::string private_tmpfs(const std::string& directory, const std::string& bytes) {
  if (geteuid() != 0 && !become_root_within())
    return fmt::format("this host allows no user namespace: {}", std::strerror(errno));
  if (unshare(CLONE_NEWNS) != 0) return fmt::format("this host allows no mount namespace: {}", std::strerror(errno));
  if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return fmt::format("this host allows no mounts: {}", std::strerror(errno));
  if (mount("mayfly-test", directory.c_str(), "tmpfs", 0, ("size=" + bytes).c_str()) != 0)
    return fmt::format("this host allows no tmpfs mount: {}", std::strerror(errno));
  return {};
}

#define NEED(condition, ...) \
  if (!(condition)) return fmt::format("line {}: " #condition ": ", __LINE__) + fmt::format(__VA_ARGS__)

// "" when all is as it must be, "skip: WHY", or what is wrong.
std::string full_disk_story(const std::string& directory) {
  if (auto why = private_tmpfs(directory, "1536k"); !why.empty()) return "skip: " + why;
  auto path = directory + "/mayfly.db", ballast = directory + "/ballast";
  auto opened = SqliteStore::open(path);
  NEED(opened, "{}", opened.error().text());
  auto& store = **opened;
  std::ofstream(ballast) << std::string(600'000, 'x');
  JobId committed = 0;
  int failures = 0;
  std::string text;
  for (JobId id = 1; id < 5000 && failures < 3; ++id) {
    auto job = make_job(committed + 1);
    job.spec.script = std::string(6000, 's');
    auto done = store.commit({.jobs = {job, make_job(committed + 2)}, .ledger = {make_entry("a"), make_entry("b")}});
    if (done) {
      committed += 2;
      continue;
    }
    NEED(done.error().code == ErrorCode::exhausted, "{}", done.error().text());
    text = done.error().text();
    ++failures;
  }
  NEED(failures == 3, "the disk never filled");
  NEED(text.find("disk is full") != std::string::npos && text.find(path) != std::string::npos, "{}", text);
  // Still usable, with nothing half-written.
  auto snapshot = store.load();
  NEED(snapshot, "{}", snapshot.error().text());
  NEED(snapshot->jobs.size() == committed && snapshot->next_job == committed + 1, "{} jobs, {} committed",
       snapshot->jobs.size(), committed);
  auto check = store.verify_ledger();
  NEED(check && check->entries == committed, "{}",
       check ? fmt::format("{} entries", check->entries) : check.error().text());
  // And by itself well again once there is room.
  NEED(unlink(ballast.c_str()) == 0, "{}", std::strerror(errno));
  auto again = store.commit({.jobs = {make_job(committed + 1)}, .ledger = {make_entry("c")}});
  NEED(again, "{}", again.error().text());
  NEED(store.verify_ledger() && store.verify_ledger()->entries == committed + 1, "the chain broke over the failure");
  return {};
}

TEST(Durability, AFullDiskRefusesCommitsAndNothingMore) {
  Scratch scratch;
  auto [pid, out] = in_child([&](int fd) { say(fd, full_disk_story(scratch.path())); });
  std::string story;
  for (int c = 0; (c = std::fgetc(out)) != EOF;) story += static_cast<char>(c);
  std::fclose(out);
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  ASSERT_EQ(status, 0) << story;
  if (story.starts_with("skip: ")) GTEST_SKIP() << story.substr(6);
  EXPECT_EQ(story, "");
}

TEST(Durability, SaysWhichFileIsDamagedAndWhatToDo) {
  Scratch scratch;
  std::ofstream(scratch.database()) << "this is not a database, and long enough to be looked at as if it were one: "
                                    << std::string(4096, '#');
  auto refused = SqliteStore::open(scratch.database());
  ASSERT_FALSE(refused);
  auto text = refused.error().text();
  EXPECT_NE(text.find(scratch.database()), std::string::npos) << text;
  EXPECT_NE(text.find("damaged"), std::string::npos) << text;
  EXPECT_NE(text.find("Stop the daemon and keep a copy"), std::string::npos) << text;
}

TEST(Durability, ADamagedPageIsAnErrorAndNotACrash) {
  Scratch scratch;
  {
    auto store = open_store(scratch.database());
    for (JobId id = 1; id <= 300; ++id)
      ASSERT_TRUE(store->commit({.jobs = {make_job(id)}, .ledger = {make_entry("x")}}));
  }
  auto size = std::filesystem::file_size(scratch.database());
  {
    std::fstream file(scratch.database(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(12288);  // past the schema
    for (std::uintmax_t at = 12288; at < size; ++at) file.put('\xA5');
  }
  auto opened = SqliteStore::open(scratch.database());
  auto loaded = opened ? (*opened)->load() : Result<StoreSnapshot>(Unexpected(opened.error()));
  ASSERT_FALSE(loaded);
  EXPECT_NE(loaded.error().text().find("damaged"), std::string::npos) << loaded.error().text();
}

}  // namespace
}  // namespace mayfly
