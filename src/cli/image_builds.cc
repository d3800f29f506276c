// image build, builds, show, log, approve, cancel.
#include <charconv>
#include <chrono>
#include <thread>

#include <fmt/format.h>

#include <boost/json.hpp>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/connection.h"
#include "cli/interrupt.h"
#include "cli/read.h"
#include "model/image_build.h"
#include "model/json.h"

namespace mayfly {
namespace {

namespace json = boost::json;

constexpr int looks_a_second = 5;
constexpr int patience = 60 * looks_a_second;  // with a daemon that went away

Result<Api> api_of(Call& call) {
  MAYFLY_ASSIGN(auto address, find_daemon(call.line.connection, call.environment));
  return Api(std::move(address));
}

Result<BuildId> build_operand(const Call& call, std::size_t index) {
  const auto& text = call.line.operands[index];
  BuildId id = 0;
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (ec != std::errc() || end != text.data() + text.size() || id == 0)
    return fail(ErrorCode::invalid, fmt::format("'{}' is not a build's number", text), "BUILD",
                "`mayfly image builds` lists them.");
  return id;
}

Output::Colour colour_of(BuildState s) {
  if (s == BuildState::failed) return Output::Colour::bad;
  if (s == BuildState::released || s == BuildState::passed) return Output::Colour::good;
  return is_final(s) ? Output::Colour::quiet : Output::Colour::busy;
}

std::string approvals_of(const ImageBuild& b) {
  std::vector<std::string> who;
  for (const auto& a : b.approvals) who.push_back(a.who);
  auto names = who.empty() ? "" : ": " + join(who, ", ");
  return b.approvals_needed == 0 && who.empty() ? "" : fmt::format("{} of {}{}", who.size(), b.approvals_needed, names);
}

std::string what_of(const ImageBuild& b) {
  if (!b.problem.empty()) return shorten(printable(b.problem.substr(0, b.problem.find('\n'))), 80);
  if (!b.version.empty()) return b.image + "@" + b.version + (b.reason.empty() ? "" : "; " + printable(b.reason));
  if (!b.reason.empty()) return printable(b.reason);
  return b.digest.substr(0, 19);
}

// What is there to say once nothing more happens by itself.
std::string verdict(const ImageBuild& b) {
  auto head = fmt::format("Build {} of {} ", b.id, b.image);
  switch (b.state) {
    case BuildState::released:
      return head + fmt::format("is released: {} is {}\n", b.version, b.digest);
    case BuildState::passed:
      return head + fmt::format("passed ({}): it was built and tried. {} is not released from.\n", b.digest, b.ref);
    case BuildState::unchanged:
      return head + "changed nothing: " + b.problem + "\n";
    case BuildState::waiting:
      return head +
             fmt::format("waits for approvals ({}): mayfly image approve {} {}\n", approvals_of(b), b.image, b.id);
    case BuildState::failed:
      return head + "failed: " + b.problem + "\n";
    default:
      return head + "is " + std::string(to_string(b.state)) + (b.problem.empty() ? "" : ": " + b.problem) + "\n";
  }
}

// A build's logs as they come: its own, its build job's, its trial's. By asking again and again: a build takes long,
// and asking costs little.
class Follower {
 public:
  Follower(Call& call, Api& api, BuildId id, bool to_the_end)
      : call_(call), api_(api), id_(id), to_the_end_(to_the_end) {}

  // The build as it is when nothing more happens by itself; null: interrupted.
  Result<std::optional<ImageBuild>> run() {
    Interrupts interrupts;
    for (int missed = 0;;) {
      auto build = look();
      if (!build) {
        if (api_.connected() || ++missed > patience) return Unexpected(build.error());
      } else {
        missed = 0;
        bool over = is_final(build->state) || build->state == BuildState::waiting;
        if (over || !to_the_end_) return std::optional(*build);
      }
      interrupts.sleep(1000 / looks_a_second);
      if (interrupts.taken() > 0) return std::optional<ImageBuild>();
    }
  }

 private:
  Result<ImageBuild> look() {
    MAYFLY_ASSIGN(auto object, api_.get(fmt::format("/v1/builds/{}", id_)));
    MAYFLY_ASSIGN(auto build, image_build_from_json(object));
    if (build.state != last_state_ || build.problem != last_problem_) {
      last_state_ = build.state, last_problem_ = build.problem;
      if (!is_final(build.state))
        call_.output.remark(
            fmt::format("{}{}{}", to_string(build.state), build.problem.empty() ? "" : ": ", printable(build.problem)));
    }
    if (build.build_job == 0 && build.same_as == 0) copy_own();
    if (build.same_as == 0) {
      if (build.build_job != 0) MAYFLY_TRY(copy(fmt::format("/v1/jobs/{}/log", build.build_job), built_));
      if (build.try_job != 0) MAYFLY_TRY(copy(fmt::format("/v1/jobs/{}/log", build.try_job), tried_));
    }
    return build;
  }

  // There is none before the build begins, and none of a build in a builder.
  void copy_own() {
    auto answer = api_.send({.method = "GET", .path = fmt::format("/v1/builds/{}/log", id_), .body = {}});
    if (!answer || answer->body.size() <= own_) return;
    call_.output.err(std::string_view(answer->body).substr(own_));
    own_ = answer->body.size();
  }

  Result<void> copy(const std::string& path, std::uint64_t& offset) {
    HttpRequest request{.method = "GET", .path = fmt::format("{}?offset={}", path, offset), .body = {}};
    MAYFLY_ASSIGN(auto answer, api_.send(request));
    offset += answer.body.size();
    call_.output.err(answer.body);
    return {};
  }

  Call& call_;
  Api& api_;
  BuildId id_;
  bool to_the_end_;
  std::uint64_t own_ = 0, built_ = 0, tried_ = 0;
  std::optional<BuildState> last_state_;
  std::string last_problem_;
};

int show_end(Call& call, const ImageBuild& b) {
  if (call.has("json"))
    call.output.out(json::serialize(to_json(b)) + "\n");
  else
    call.output.out(verdict(b));
  bool bad = b.state == BuildState::failed || b.state == BuildState::cancelled || b.state == BuildState::superseded;
  return bad ? exit_failed : 0;
}

int follow(Call& call, Api& api, BuildId id) {
  auto end = Follower(call, api, id, true).run();
  if (!end) return call.failed(end.error());
  if (!*end) {
    call.output.remark(fmt::format("the build goes on; `mayfly image log -f {}` follows it", id));
    return 130;
  }
  return show_end(call, **end);
}

int command_image_build(Call& call) {
  auto api = api_of(call);
  if (!api) return call.usage(api.error());
  auto path = fmt::format("/v1/images/{}/builds?again={}", url_encode(call.line.operands[0]),
                          call.has("again") ? "true" : "false");
  if (call.has("ref")) path += "&ref=" + url_encode(call.value("ref"));
  auto answer = api->post(path);
  if (!answer) return call.failed(answer.error());
  auto build = image_build_from_json(*answer);
  if (!build) return call.failed(build.error());
  if (!call.has("detach")) return follow(call, *api, build->id);
  call.output.out(call.has("json") ? json::serialize(*answer) + "\n" : fmt::format("{}\n", build->id));
  return 0;
}

int command_image_builds(Call& call) {
  auto limit = call.number("limit", 20, 1, 500);
  if (!limit) return call.usage(limit.error());
  auto api = api_of(call);
  if (!api) return call.usage(api.error());
  auto path = fmt::format("/v1/builds?limit={}", *limit);
  if (!call.line.operands.empty()) path += "&image=" + url_encode(call.line.operands[0]);
  auto answer = api->get(path);
  if (!answer) return call.failed(answer.error());
  if (call.has("json")) return call.output.out(json::serialize(*answer) + "\n"), 0;
  Table table({"BUILD", "IMAGE", "STATE", "REF", "COMMIT", "WHY", "QUEUED", "JOBS", "APPROVED", "WHAT"});
  auto now = SystemClock().now();
  int rows = 0;
  for (const auto* o : read_objects(*answer, "builds")) {
    auto b = image_build_from_json(*o);
    if (!b) return call.failed(b.error());
    std::vector<std::string> jobs;
    for (auto job : {b->build_job, b->try_job})
      if (job != 0) jobs.push_back(std::to_string(job));
    table.add(
        {std::to_string(b->id), b->image, std::string(to_string(b->state)), b->ref, b->commit.substr(0, 10),
         std::string(to_string(b->trigger)), age(now - b->queued_at), join(jobs, ", "), approvals_of(*b), what_of(*b)},
        2, colour_of(b->state));
    ++rows;
  }
  if (rows == 0) return call.output.err("There are no builds.\n"), 0;
  call.output.out(table.text(call.output));
  return 0;
}

int command_image_log(Call& call) {
  auto id = build_operand(call, 0);
  if (!id) return call.usage(id.error());
  auto api = api_of(call);
  if (!api) return call.usage(api.error());
  if (call.has("follow")) return follow(call, *api, *id);
  auto now = Follower(call, *api, *id, false).run();
  if (!now) return call.failed(now.error());
  return *now ? show_end(call, **now) : 130;
}

int change_build(Call& call, const char* what, std::size_t operand) {
  auto id = build_operand(call, operand);
  if (!id) return call.usage(id.error());
  auto api = api_of(call);
  if (!api) return call.usage(api.error());
  if (operand == 1) {  // the image is named too, so that a wrong number approves nothing
    auto known = api->get(fmt::format("/v1/builds/{}", *id));
    if (!known) return call.failed(known.error());
    if (auto image = read_text(*known, "image"); image != call.line.operands[0])
      return call.failed(
          {ErrorCode::invalid, fmt::format("build {} is one of {}", *id, printable(image)), "BUILD", ""});
  }
  auto answer = api->post(fmt::format("/v1/builds/{}/{}", *id, what));
  if (!answer) return call.failed(answer.error());
  if (call.has("json")) return call.output.out(json::serialize(*answer) + "\n"), 0;
  auto b = image_build_from_json(*answer);
  if (!b) return call.failed(b.error());
  call.output.out(fmt::format("Build {} of {} is {}{}\n", b->id, b->image, to_string(b->state),
                              b->approvals.empty() ? "" : ", approved by " + approvals_of(*b)));
  return 0;
}

int command_image_approve(Call& call) { return change_build(call, "approve", 1); }
int command_image_cancel(Call& call) { return change_build(call, "cancel", 0); }

}  // namespace

std::vector<Command> image_build_commands() {
  const Option json_option{"json", 0, {}, "Print JSON, for scripts"};
  std::vector<Command> out;
  out.push_back(
      {.name = "image build",
       .operands = "NAME",
       .least = 1,
       .most = 1,
       .summary = "Build an image from its recipe in git, and try it",
       .description =
           "What is committed is built, not what lies in the folder. From the branch that the image is released from, "
           "a "
           "build goes on to a release once the approvals asked for are there; from any other ref it is built and "
           "tried "
           "only. A recipe that was built before is not built again. The log goes to standard error; Ctrl-C leaves the "
           "build running.\n\n"
           "Exit code: 0 released, passed, unchanged or waiting for approvals; 1 it failed.",
       .options = {{"ref", 0, "REF", "A branch, a proposed change (refs/pull/7/head) or a commit"},
                   {"again", 0, {}, "Build even though the same recipe was built before"},
                   {"detach", 'd', {}, "Print the build's number and do not wait"},
                   json_option},
       .examples = {"mayfly image build general", "mayfly image build general --ref refs/pull/7/head"},
       .run = command_image_build});
  out.push_back({.name = "image builds",
                 .operands = "[NAME]",
                 .most = 1,
                 .summary = "List builds of images, the newest first",
                 .options = {{"limit", 'l', "N", "At most so many (default: 20)"}, json_option},
                 .examples = {"mayfly image builds", "mayfly image builds general --limit 5"},
                 .run = command_image_builds});
  out.push_back({.name = "image log",
                 .operands = "BUILD",
                 .least = 1,
                 .most = 1,
                 .summary = "Print what a build and its trial wrote, and how it stands",
                 .options = {{"follow", 'f', {}, "Go on until nothing more happens by itself"}, json_option},
                 .examples = {"mayfly image log 7", "mayfly image log -f 7"},
                 .run = command_image_log});
  out.push_back(
      {.name = "image approve",
       .operands = "NAME BUILD",
       .least = 2,
       .most = 2,
       .summary = "Approve a build of an image",
       .description = "Not by the author of the change, and once a person. A later change to the recipe voids it.",
       .options = {json_option},
       .examples = {"mayfly image approve general 7"},
       .run = command_image_approve});
  out.push_back({.name = "image cancel",
                 .operands = "BUILD",
                 .least = 1,
                 .most = 1,
                 .summary = "Cancel a build",
                 .options = {json_option},
                 .examples = {"mayfly image cancel 7"},
                 .run = command_image_cancel});
  return out;
}

}  // namespace mayfly
