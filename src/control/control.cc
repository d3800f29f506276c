#include "control/control.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include <fmt/format.h>

#include "control/builds.h"
#include "control/core.h"
#include "control/worker_executor.h"

namespace mayfly {

namespace {
constexpr Duration idle_wait =
    std::chrono::seconds(1);  // health of platforms is looked at this often when nothing happens
constexpr Duration stop_limit = std::chrono::seconds(30);
constexpr Duration status_limit = std::chrono::seconds(30);
}  // namespace

// The control thread and its mailbox.
class Control::Loop {
 public:
  explicit Loop(ControlParts parts)
      : agents_(parts.make_agents([this](AgentEvent e) { post([this, e = std::move(e)] { core_.on_agent(e); }); })),
        executor_(
            std::make_unique<WorkerExecutor>(parts.platforms, parts.images, [this](auto f) { post(std::move(f)); })),
        store_(parts.store),
        cis_(std::make_shared<const Cis>(parts.cis)),
        works_(parts.works),
        core_(watching(parts), *agents_, *executor_) {
    if (!works_) return;
    config_ = std::make_unique<Config>(parts.config);
    builds_ =
        std::make_unique<Builds>(Builds::Parts{parts.clock, parts.log, parts.store, parts.secrets, *works_, parts.paths,
                                               *config_, core_, [this](auto f) { building_->post(std::move(f)); },
                                               [this](auto f) { post(std::move(f)); }, telling(parts.reporter),
                                               [this](const PoolName& pool, CommitStatus status, auto done) {
                                                 show(pool, std::move(status), std::move(done));
                                               }});
  }

  Result<void> start() {
    MAYFLY_TRY(core_.recover());
    if (builds_) MAYFLY_TRY(builds_->recover());
    thread_ = std::thread([this] { run(); });
    return {};
  }

  void post(std::function<void()> message) {
    {
      std::lock_guard lock(mutex_);
      mailbox_.push_back(std::move(message));
    }
    wake_.notify_one();
  }

  void stop(bool keep_builders) {
    if (!thread_.joinable()) return;
    post([this, keep_builders] {
      core_.begin_stop(!keep_builders);
      stop_by_ = std::chrono::steady_clock::now() + stop_limit;
    });
    thread_.join();
    if (works_) works_->stop_all();  // begun anew by the next daemon
    building_.reset();
    reporting_.reset();
    executor_.reset();  // waits for the calls under way; what they answer is not needed any more
  }

  Core& core() { return core_; }
  Result<Builds*> builds() {
    if (builds_) return builds_.get();
    return fail(ErrorCode::unsupported, "this daemon builds no images", "image");
  }
  std::string base_note(const std::string& image) const { return builds_ ? builds_->base_note(image) : ""; }
  Store& store() { return store_; }
  using Cis = std::map<PoolName, std::shared_ptr<Ci>>;
  // Any thread.
  std::shared_ptr<const Cis> cis() const {
    std::lock_guard lock(cis_mutex_);
    return cis_;
  }
  // Walks of the whole ledger take seconds: not on the control thread. The answer comes back to it.
  void check(std::function<void()> task) { checks_.post(std::move(task)); }

 private:
  std::function<void(Report, std::function<void(Result<void>)>)> telling(Reporter* reporter) {
    if (!reporter) return {};
    return [this, reporter](Report report, std::function<void(Result<void>)> done) {
      reporting_->post([this, reporter, report = std::move(report), done = std::move(done)] {
        post([done, outcome = reporter->tell(report)] { done(outcome); });
      });
    };
  }
  void show(const PoolName& pool, CommitStatus status, std::function<void(Result<void>)> done) {
    auto all = cis();
    auto found = all->find(pool);
    if (found == all->end() || !found->second->commit_statuses())
      return done(
          fail(ErrorCode::invalid, fmt::format("pool '{}' has no CI that shows statuses", pool), "commit_status"));
    executor_->ci(found->second, CiWork::tell, [port = found->second, status = std::move(status), done] {
      auto outcome = port->commit_statuses()->set_status(status, after(status_limit));
      return std::function<void()>([done, outcome] { done(outcome); });
    });
  }
  // Builds learn of another configuration too, and webhooks of other connectors.
  ControlParts watching(ControlParts parts) {
    parts.on_cis = [this](Cis cis) {
      auto now = std::make_shared<const Cis>(std::move(cis));
      std::lock_guard lock(cis_mutex_);
      cis_.swap(now);
    };
    if (works_)
      parts.on_config = [this, next = parts.on_config](const Config& config) {
        *config_ = config;
        builds_->reconfigured();
        if (next) next(config);
      };
    return parts;
  }
  void run() {
    for (;;) {
      if (builds_ && !stop_by_) builds_->tick();
      core_.step();
      if (stop_by_ && (core_.quiet() || std::chrono::steady_clock::now() >= *stop_by_)) return;
      auto messages = wait();
      for (auto& m : messages) m();
    }
  }

  std::deque<std::function<void()>> wait() {
    std::unique_lock lock(mutex_);
    auto limit = std::chrono::steady_clock::now() + idle_wait;
    auto t = core_.wake();
    if (builds_ && builds_->wake() && (!t || *builds_->wake() < *t)) t = builds_->wake();
    if (t) {
      auto left = *t - std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now());
      limit = std::min(limit, std::chrono::steady_clock::now() + std::max<Duration>(left, Duration(0)));
    }
    wake_.wait_until(lock, limit, [this] { return !mailbox_.empty(); });
    return std::exchange(mailbox_, {});
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> mailbox_;
  std::optional<std::chrono::steady_clock::time_point> stop_by_;  // control thread only
  std::unique_ptr<Agents> agents_;
  std::unique_ptr<WorkerExecutor> executor_;
  Store& store_;
  mutable std::mutex cis_mutex_;
  std::shared_ptr<const Cis> cis_;
  ImageWorks* works_;
  Core core_;
  std::unique_ptr<Config> config_;
  std::unique_ptr<Builds> builds_;
  std::unique_ptr<Workers> building_ = std::make_unique<Workers>(4);   // git, buildah and skopeo at work
  std::unique_ptr<Workers> reporting_ = std::make_unique<Workers>(4);  // each as long as a receiver's patience
  Workers checks_{1};
  std::thread thread_;
};

Control::Control(std::unique_ptr<Loop> loop) : loop_(std::move(loop)) {}
Control::~Control() { stop(true); }

Result<std::unique_ptr<Control>> Control::start(ControlParts parts) {
  auto loop = std::make_unique<Loop>(std::move(parts));
  MAYFLY_TRY(loop->start());
  return std::unique_ptr<Control>(new Control(std::move(loop)));
}

void Control::stop(bool keep_builders) { loop_->stop(keep_builders); }

void Control::submit(JobRequest request, Done<Job> done) {
  // Only the connector itself can say that a job is from its CI.
  auto cis = loop_->cis();
  for (const auto& [pool, ci] : *cis)
    if (request.ci == ci->kind())
      return done(fail(ErrorCode::denied, fmt::format("jobs of ci '{}' are fetched, not sent", request.ci), "job"));
  loop_->post([c = &loop_->core(), request = std::move(request), done = std::move(done)] { c->submit(request, done); });
}

void Control::report(JobId id, CiReport report, std::string who, Done<Job> done) {
  loop_->post([c = &loop_->core(), id, report = std::move(report), who = std::move(who), done = std::move(done)] {
    c->report(id, report, who, done);
  });
}

Result<int> Control::webhook(const Webhook& w) {
  int told = 0;
  std::optional<Error> problem;
  auto cis = loop_->cis();
  for (const auto& [pool, ci] : *cis) {
    auto* hooks = ci->kind() == w.kind ? ci->webhooks() : nullptr;
    if (!hooks || hooks->hook() != w.name) continue;
    auto news = hooks->receive(w.headers, w.body);
    if (!news) {
      problem = news.error();
      continue;
    }
    ++told;
    loop_->post([c = &loop_->core(), to = pool, said = std::move(*news)] { c->on_ci_news(to, said); });
  }
  if (told > 0) return told;
  if (problem) return Unexpected(*problem);
  return fail(ErrorCode::not_found, "no pool has this webhook", w.kind + "/" + w.name,
              "Its address ends with the CI's kind and the name that the pool's settings give it.");
}
void Control::cancel(JobId id, std::string who, Done<Job> done) {
  loop_->post([c = &loop_->core(), id, who = std::move(who), done = std::move(done)] { c->cancel(id, who, done); });
}
void Control::job(JobId id, Done<Job> done) {
  loop_->post([c = &loop_->core(), id, done = std::move(done)] { done(c->job(id)); });
}
void Control::jobs(JobFilter filter, Done<std::vector<Job>> done) {
  loop_->post([c = &loop_->core(), filter = std::move(filter), done = std::move(done)] { done(c->jobs(filter)); });
}
void Control::builders(bool gone_too, Done<std::vector<Builder>> done) {
  loop_->post([c = &loop_->core(), gone_too, done = std::move(done)] { done(c->builders(gone_too)); });
}
void Control::status(Done<Status> done) {
  loop_->post([c = &loop_->core(), done = std::move(done)] { done(c->status()); });
}
void Control::explain(JobId id, Done<Explanation> done) {
  loop_->post([c = &loop_->core(), id, done = std::move(done)] { done(c->explain(id)); });
}
void Control::release(ReleaseRequest request, std::string who, Done<ImageVersion> done) {
  loop_->post([c = &loop_->core(), request = std::move(request), who = std::move(who), done = std::move(done)] {
    c->release(request, who, done);
  });
}
void Control::images(Done<std::vector<ImageStatus>> done) {
  loop_->post([l = loop_.get(), done = std::move(done)] {
    auto images = l->core().images();
    for (auto& i : images) i.base_note = l->base_note(i.name);
    done(std::move(images));
  });
}
void Control::image(std::string name, Done<ImageStatus> done) {
  loop_->post([l = loop_.get(), name = std::move(name), done = std::move(done)] {
    auto image = l->core().image_status(name);
    if (image) image->base_note = l->base_note(name);
    done(std::move(image));
  });
}
void Control::publish_image(std::string name, std::string who, Done<ImageStatus> done) {
  loop_->post([c = &loop_->core(), name = std::move(name), who = std::move(who), done = std::move(done)] {
    c->publish_now(name, who, done);
  });
}
void Control::rollback_image(std::string name, std::optional<SemVer> to, std::string who, Done<ImageStatus> done) {
  loop_->post([c = &loop_->core(), name = std::move(name), to = std::move(to), who = std::move(who),
               done = std::move(done)] { c->withdraw_after(name, to, who, done); });
}
void Control::explain_pool(PoolName name, Done<PoolExplanation> done) {
  loop_->post([c = &loop_->core(), name = std::move(name), done = std::move(done)] { done(c->explain_pool(name)); });
}
void Control::drain(std::string who, Done<Status> done) {
  loop_->post([c = &loop_->core(), who = std::move(who), done = std::move(done)] { c->drain(who, done); });
}
void Control::plan_config(Config config, Done<plan::ConfigChange> done) {
  loop_->post(
      [c = &loop_->core(), config = std::move(config), done = std::move(done)] { done(c->plan_config(config)); });
}
void Control::apply_config(ConfigOrder order, Done<plan::ConfigChange> done) {
  loop_->post([c = &loop_->core(), order = std::move(order), done = std::move(done)] { c->apply_config(order, done); });
}
void Control::rollouts(Done<std::vector<PoolVersions>> done) {
  loop_->post([c = &loop_->core(), done = std::move(done)] { done(c->rollouts()); });
}
void Control::change_rollout(PoolName pool, RolloutOrder order, std::string who, Done<PoolVersions> done) {
  loop_->post([c = &loop_->core(), pool = std::move(pool), order, who = std::move(who), done = std::move(done)] {
    c->change_rollout(pool, order, who, done);
  });
}
void Control::build_image(BuildRequest request, Done<ImageBuild> done) {
  loop_->post([l = loop_.get(), request = std::move(request), done = std::move(done)] {
    auto builds = l->builds();
    builds ? (*builds)->request(request, done) : done(Unexpected(builds.error()));
  });
}
void Control::image_builds(std::string image, std::size_t limit, Done<std::vector<ImageBuild>> done) {
  loop_->post([l = loop_.get(), image = std::move(image), limit, done = std::move(done)] {
    auto builds = l->builds();
    done(builds ? (*builds)->builds(image, limit) : Unexpected(builds.error()));
  });
}
void Control::image_build(BuildId id, Done<ImageBuild> done) {
  loop_->post([l = loop_.get(), id, done = std::move(done)] {
    auto builds = l->builds();
    done(builds ? (*builds)->build(id) : Unexpected(builds.error()));
  });
}
void Control::approve_build(BuildId id, std::string who, Done<ImageBuild> done) {
  loop_->post([l = loop_.get(), id, who = std::move(who), done = std::move(done)] {
    auto builds = l->builds();
    builds ? (*builds)->approve(id, who, done) : done(Unexpected(builds.error()));
  });
}
void Control::cancel_build(BuildId id, std::string who, Done<ImageBuild> done) {
  loop_->post([l = loop_.get(), id, who = std::move(who), done = std::move(done)] {
    auto builds = l->builds();
    builds ? (*builds)->cancel(id, who, done) : done(Unexpected(builds.error()));
  });
}
void Control::ledger(std::uint64_t from_seq, std::size_t limit, std::string subject,
                     Done<std::vector<LedgerEntry>> done) {
  loop_->post([s = &loop_->store(), from_seq, limit, subject = std::move(subject), done = std::move(done)] {
    done(s->ledger(from_seq, limit, subject));
  });
}
void Control::verify_ledger(Done<LedgerCheck> done) {
  loop_->check([l = loop_.get(), done = std::move(done)] {
    auto checked = std::make_shared<Result<LedgerCheck>>(l->store().verify_ledger());
    l->post([done, checked] { done(*checked); });
  });
}
void Control::when_ended(JobId id, Done<Job> done) {
  loop_->post([c = &loop_->core(), id, done = std::move(done)] { c->when_ended(id, done); });
}

}  // namespace mayfly
