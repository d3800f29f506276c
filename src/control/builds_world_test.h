// A world of pools, and builds in it: what the tests of builds and of their reports share.
#pragma once
#include "control/builds.h"

#include <gtest/gtest.h>

#include <fstream>

#include "control/core_world_test.h"

namespace mayfly {

// A repository and a toolbox that are only values.
class FakeWorks final : public ImageWorks {
 public:
  std::map<std::string, RecipeAt> refs_now;
  std::optional<Error> broken;  // of the next build
  std::vector<BuildFinding> findings;
  int builds = 0, offers = 0;

  Result<RecipeAt> resolve(const ImageSpec& image, const std::string& ref, Deadline) override {
    for (const auto& [name, recipe] : refs_now)
      if (name == ref || recipe.commit == ref) {
        auto found = recipe;
        found.release = name == image.branch;
        return found;
      }
    return fail(ErrorCode::not_found, "there is no ref " + ref);
  }
  Result<std::vector<RefAt>> refs(const ImageSpec& image, Deadline) override {
    std::vector<RefAt> out;
    for (const auto& [name, recipe] : refs_now) out.push_back({name, recipe.content, name == image.branch});
    return out;
  }
  Result<std::string> messages(const ImageSpec&, const std::string& since, const std::string& until,
                               Deadline) override {
    asked_messages.emplace_back(since, until);
    return said_between;
  }
  std::vector<std::pair<std::string, std::string>> asked_messages;
  std::string said_between;
  Result<void> pack(const ImageSpec&, const std::string&, const std::string& tar, Deadline) override {
    std::ofstream(tar) << "a tar";
    return {};
  }
  std::map<std::string, std::string> registry;  // "registry.example/base:1" → its digest; without: it is away
  int asked = 0;
  std::map<std::string, std::string> pinned;  // of the last build
  Result<std::string> base_digest(const std::string& base, Deadline) override {
    ++asked;
    if (auto found = registry.find(base); found != registry.end()) return found->second;
    return fail(ErrorCode::unavailable, "connection refused", base);
  }
  Result<BuiltImage> build(const BuildOrder& order, Deadline) override {
    ++builds;
    pinned = order.pinned;
    if (auto f = std::exchange(meanwhile, nullptr)) f();
    if (auto e = std::exchange(broken, std::nullopt)) return Unexpected(*e);
    return BuiltImage{"sha256:of-" + order.recipe.content + salt,
                      order.image.name + ":build-" + std::to_string(order.id)};
  }
  void stop(BuildId id) override { stopped.push_back(id); }
  void stop_all() override {}
  Result<void> discard(const DiscardOrder& order, Deadline) override {
    discarded.push_back(order.id);
    if (auto e = std::exchange(broken_discard, std::nullopt)) return Unexpected(*e);
    return {};
  }
  std::function<void()> meanwhile;  // what happens during the next build
  std::vector<BuildId> stopped, discarded;
  std::optional<Error> broken_discard;
  Result<BuildJob> prepare_job(const BuildOrder&, Deadline) override { return BuildJob{"build", "out"}; }
  Result<BuiltImage> take_in(const BuildOrder& order, const std::string&, Deadline d) override {
    return build(order, d);
  }
  Error failure(const BuildOrder&, const std::string&) override {
    return {ErrorCode::invalid, "the step failed", "Dockerfile:3", ""};
  }
  Result<Examination> examine(const BuildOrder& order, std::int64_t, Deadline) override {
    return Examination{findings, "files-of-" + order.recipe.content + files, 100};
  }
  Result<void> offer(const BuildOrder&, const BuiltImage&, Deadline) override { return ++offers, Result<void>(); }
  std::string layers() const override { return ""; }
  std::string salt, files;  // what differs from build to build of the same recipe: bytes, and files that matter
};

class BuildsTest : public ::testing::Test {
 protected:
  BuildsTest() {
    ImageSpec tool;
    tool.name = "tool";
    tool.recipe = "images/tool";
    tool.repository = "somewhere";
    tool.attempts = {"./smoke.sh"};
    world.config.images["tool"] = tool;
    commit("main", "one");
  }
  void start() {
    mailbox.clear();
    builds.reset();
    world.start();
    builds = std::make_unique<Builds>(
        Builds::Parts{world.clock, world.log, world.store, world.secrets, works, world.paths, world.config,
                      world.core(), [this](auto f) { mailbox.push_back(f); }, [this](auto f) { mailbox.push_back(f); },
                      [this](Report report, std::function<void(Result<void>)> done) {
                        reports.push_back(std::move(report));
                        auto outcome = answer;
                        if (heard) mailbox.push_back([done, outcome] { done(outcome); });
                      },
                      [this](const PoolName& pool, CommitStatus status, std::function<void(Result<void>)> done) {
                        shown.emplace_back(pool, std::move(status));
                        mailbox.push_back([done, outcome = answer] { done(outcome); });
                      }});
    ASSERT_TRUE(builds->recover());
  }
  ImageSpec& tool() { return world.config.images["tool"]; }
  void commit(const std::string& ref, const std::string& content, const std::string& author = "Ann <ann@team>") {
    RecipeAt r;
    r.commit = "commit-" + content + std::to_string(++commits);
    r.content = content;
    r.authors = {author};
    r.dockerfile = "Dockerfile";
    works.refs_now[ref] = r;
  }
  // Until nothing happens by itself; with time, what comes within it.
  void run(Duration limit = {}) {
    Time end = world.clock.now() + limit;
    for (int i = 0; i < 1000; ++i) {
      builds->tick();
      world.run(std::chrono::minutes(2));
      auto messages = std::exchange(mailbox, {});
      for (auto& m : messages) m();
      if (!messages.empty()) continue;
      auto wake = builds->wake();
      if (!wake || *wake > end) return;
      world.clock.set(std::max(world.clock.now(), *wake));
    }
    FAIL() << "it never comes to rest";
  }
  BuildId request(const std::string& ref = "", bool again = false) {
    BuildId id = 0;
    builds->request({"tool", ref, BuildTrigger::hand, "ann", again}, [&](Result<ImageBuild> b) { id = b ? b->id : 0; });
    return id;
  }
  ImageBuild build(BuildId id) { return builds->build(id).value(); }
  BuildState state(BuildId id) { return build(id).state; }
  std::string approve(BuildId id, const std::string& who) {
    auto said = std::make_shared<std::string>("nothing");
    builds->approve(id, who, [said](Result<ImageBuild> b) { *said = b ? "" : b.error().what; });
    run();
    return *said;
  }
  std::string latest(const std::string& image) { return world.core().image_status(image)->versions[0].digest; }
  std::size_t versions() { return world.core().image_status("tool")->versions.size(); }

  // Two images, the one built FROM the other.
  void release_top_from_tool() {
    auto top = tool();
    top.name = "top", top.branch = "upper";
    world.config.images["top"] = top;
    auto& above = works.refs_now["upper"] = works.refs_now["main"];
    above.bases = {"localhost/mayfly/tool"};
    above.content = "above", above.commit = "commit-above";
    start();
    request();
    run();
    builds->request({"top", "", BuildTrigger::hand, "ann", false}, [](auto) {});
    run();
  }
  void release_tool_by_hand() {
    ReleaseRequest request;
    request.image = "tool", request.reference = "tool:by-hand";
    world.core().release(request, "ann", [](auto) {});
    world.run(seconds(1));
  }

  World world;
  FakeWorks works;
  std::deque<std::function<void()>> mailbox;
  std::unique_ptr<Builds> builds;
  int commits = 0;
  std::vector<Report> reports;
  std::vector<std::pair<PoolName, CommitStatus>> shown;
  Result<void> answer;  // of whoever is told
  bool heard = true;    // false: he never answers
};

}  // namespace mayfly
