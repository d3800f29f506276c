#include "tests/simulation/daemon.h"

namespace mayfly::sim {
namespace {

constexpr Duration idle_wait = seconds(1);  // as control.cc: it steps this often when nothing happens

class Secrets final : public SecretStore {
  Result<std::string> get(const std::string& name) override {
    if (name == "known") return std::string("its-value");
    return fail(ErrorCode::not_found, "there is no secret '" + name + "'");
  }
};

class Images final : public ImageTool {
  Result<std::string> build(const ImageSpec& image, Deadline) override { return "built/" + image.name; }
};

}  // namespace

Daemon::Daemon(Land& land, RecordingStore& store, StatePaths paths)
    : land_(land),
      store_(store),
      paths_(std::move(paths)),
      wire_(land,
            [this](std::uint64_t generation, std::function<void()> message) {
              if (generation == land_.generation && up()) mail_.push_back(std::move(message));
            }),
      secrets_(std::make_unique<Secrets>()),
      images_(std::make_unique<Images>()),
      log_(LogLevel::error, -1) {}

Daemon::~Daemon() {
  core_.reset();
  agents_.reset();
}

void Daemon::start() {
  store_.reopen();
  land_.generation = ++land_.last_generation;
  land_.note("the daemon starts");
  agents_ = std::make_unique<SimAgents>(land_, [this](std::uint64_t, AgentEvent e) {
    mail_.push_back([this, e = std::move(e)] { core_->on_agent(e); });
  });
  executors_.push_back(std::make_unique<SimExecutor>(wire_));
  std::vector<Platform*> platforms;
  for (auto& [name, place] : land_.places) platforms.push_back(&place->platform);
  ControlParts parts{land_.daemon_clock,
                     log_,
                     store_,
                     *secrets_,
                     *images_,
                     platforms,
                     {},
                     paths_,
                     land_.config,
                     {},
                     [this](std::string_view name) { boundary(name); }};
  parts.on_plan = [this](const plan::Plan&) { land_.planned_at = land_.now(); };
  core_ = std::make_unique<Core>(std::move(parts), *agents_, *executors_.back());
  if (auto done = core_->recover(); !done) broken("8: no job and no record is lost", "recover: " + done.error().text());
  last_step_ = land_.now() - idle_wait;
}

void Daemon::boundary(std::string_view name) {
  ++boundaries_;
  land_.note("-- {}", name);
  if (crash_at_ != 0 && boundaries_ >= crash_at_) throw Crash();
}

void Daemon::kill(const std::string& why) {
  if (!up()) return;
  land_.note("the daemon is killed {}", why);
  ++kills;
  crash_at_ = 0;
  land_.generation = 0;
  mail_.clear();
  core_.reset();
  agents_.reset();
  wire_.daemon_died();
  land_.excuse(std::chrono::minutes(1));  // whatever it had begun, its successor has to begin again
}

bool Daemon::send(std::function<void(Core&)> request) {
  if (!up()) return false;
  mail_.push_back([this, request = std::move(request)] { request(*core_); });
  return true;
}

std::optional<Time> Daemon::due() const {
  if (!up()) return std::nullopt;
  if (!mail_.empty()) return land_.now();
  Time due = last_step_ + idle_wait;
  if (auto wake = core_->wake()) due = std::min(due, land_.daemon_clock.world_time(*wake));
  return std::max(due, land_.now());
}

void Daemon::step() {
  check_progress();
  last_step_ = land_.now();
  try {
    for (auto& message : std::exchange(mail_, {})) message();
    core_->step();
    ++steps;
  } catch (const Crash&) {
    kill("in the middle of a step");
  }
}

void Daemon::check_progress() {
  steps_at_once_ = last_step_ == land_.now() ? steps_at_once_ + 1 : 0;
  if (steps_at_once_ > 2000) broken("the daemon comes to rest", "it steps without end at one moment");
}

}  // namespace mayfly::sim
