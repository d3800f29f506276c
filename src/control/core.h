#pragma once
// Control without its thread: takes commands and events, one at a time, and steps. A step plans, writes everything that
// changed as one commit, and only then acts; so whatever the daemon did to the world, it had written down first. The
// daemon drives it from one thread (control.cc), a simulation from its own clock.
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <vector>

#include "control/control.h"
#include "control/executor.h"
#include "control/roster.h"
#include "plan/ci_match.h"
#include "plan/plan.h"

namespace mayfly {

class Core {
 public:
  template <class T>
  using Done = Control::Done<T>;

  // `agents` and `executor` outlive the core.
  Core(ControlParts parts, Agents& agents, Executor& executor);

  // Loads the store and asks each platform what still runs. To be called once, first.
  Result<void> recover();
  // Plans, commits, acts. To be called after one or more commands or events.
  void step();
  // When to step again even if nothing happens.
  std::optional<Time> wake() const { return wake_; }

  void submit(JobSpec spec, std::string key, Done<Job> done) {
    submit(JobRequest{std::move(spec), std::move(key)}, std::move(done));
  }
  void submit(JobRequest request, Done<Job> done);
  void cancel(JobId id, const std::string& who, Done<Job> done);
  void report(JobId id, const CiReport& report, const std::string& who, Done<Job> done);
  void when_ended(JobId id, Done<Job> done);
  Result<Job> job(JobId id);
  Result<std::vector<Job>> jobs(const JobFilter& filter);
  Result<std::vector<Builder>> builders(bool gone_too);
  Status status();
  Result<Explanation> explain(JobId id);
  Result<PoolExplanation> explain_pool(const PoolName& name);
  plan::ConfigChange plan_config(const Config& wanted);
  void apply_config(ConfigOrder order, Done<plan::ConfigChange> done);
  void release(ReleaseRequest request, std::string who, Done<ImageVersion> done);
  void publish_now(const std::string& image, const std::string& who, Done<ImageStatus> done);
  void withdraw_after(const std::string& image, std::optional<SemVer> to, const std::string& who,
                      Done<ImageStatus> done);
  // What versions that are used, pinned or among the last are made from.
  std::set<std::string> needed_references(const std::string& image) const;
  // It was removed: versions made from it are had from a registry that has them.
  void reference_gone(const std::string& reference) { gone_references_.insert(reference); }
  Result<ImageStatus> image_status(const std::string& name, bool jobs_too = true) const;
  std::uint64_t releases_made() const { return releases_made_; }  // by this daemon
  std::vector<ImageStatus> images() const;
  std::vector<PoolVersions> rollouts() const;
  void change_rollout(const PoolName& pool, RolloutOrder order, const std::string& who, Done<PoolVersions> done);

  void on_agent(const AgentEvent& event);
  void on_ci_news(const PoolName& pool, const CiNews& news);  // a webhook that was checked

  // A pool beside those of the configuration, until it is dropped and nothing runs in it any more. The same name again
  // is the same pool.
  void add_pool(PoolSpec spec);
  void drop_pool(const PoolName& name);

  // No new builders or assignments; idle builders are stopped, and with `kill` the busy ones too. Step on until
  // quiet().
  void begin_stop(bool kill);
  // As begin_stop(false), and parts.on_drained once the busy builders are gone too.
  void drain(const std::string& who, Done<Status> done);
  bool quiet() const;

 private:
  struct PoolRuntime {
    std::optional<plan::Schedule> schedule;       // of pools that have one
    Time numbers_from{};                          // the view's numbers hold from here until their `until`
    std::map<std::string, PlatformImage> images;  // by the names of the versions in the pool's view
    std::deque<PoolStart> starts;                 // the last few, newest first
    int generation = 0;  // of its images: an answer that comes late is about one that the pool uses no more
  };
  struct PlatformRuntime {
    Platform* platform = nullptr;
    bool reconciled = false;  // list() answered once since the daemon started
    std::optional<plan::RateBudget> budget;
    plan::Breaker quarantine{10, 2};     // starts of more than one version
    bool health_asked = false;           // in this step
    Time health_at{};                    // when it was last asked how it is
    std::set<BuilderId> gone_meanwhile;  // since list() was asked: it may still name them
  };
  struct CiRuntime {
    std::shared_ptr<Ci> ci;
    bool observing = false, sweeping = false;
    Time observe_at{}, sweep_at{};  // when next
    int failures = 0, sweeps = 0;
    std::string problem, notice;
    int failed_mints = 0;  // in a row
    std::string mint_problem;
    std::optional<Time> mint_after;
    std::set<std::string> given_up;  // the CI's jobs that no builder took, often enough
  };
  // What a builder is at a CI. Its own connector, for a configuration that came later may have another in its place.
  struct AtCi {
    std::shared_ptr<Ci> ci;
    CiRegistration registration;  // without an id until it is known
  };
  struct CiEnded {
    CiJob job;
    Time heard{};
  };
  struct Settling {  // its builder has ended it, and the CI is asked how
    Time give_up{}, ask_at{};
    int answers = 0;
  };
  struct Forgetting {
    PoolName pool;
    AtCi what;
    Time at{};
    int failures = 0;
    bool under_way = false;
  };
  struct Effect {
    std::string name;
    std::function<void()> run;
    bool urgent = false;
  };

  // core.cc: the step
  const plan::Seen& see();
  void ask_health(const std::string& name, PlatformRuntime& p);
  bool ask_health_before(const plan::Plan& plan);
  void apply(plan::Plan plan);
  void carry_out(const plan::FailJob& action);
  void carry_out(const plan::CancelOverdue& action);
  const plan::Wait* told(const Job& job);
  plan::Index waits_in(const Job& job);
  Job with_reason(const Job& job);
  void sum_up_waits(std::map<PoolName, PoolStatus*>& pools);
  void flush();
  void reach(std::string_view name, std::string_view side);
  void effect(std::string name, std::function<void()> run) { effects_.push_back({std::move(name), std::move(run)}); }
  // In their order, before all that are not urgent: a waiting job is not to wait for the answers to clients.
  void urgent_effect(std::string name, std::function<void()> run) {
    effects_.push_back({std::move(name), std::move(run), true});
  }
  void save(const Job& j) { dirty_jobs_.insert(j.id); }
  void save(const Builder& b) { dirty_builders_.insert(b.id); }
  void record(std::string kind, std::string subject, std::string detail);
  Time now();
  void wake_by(Time t);

  // core_config.cc: the configuration
  void set_up_pool(const PoolName& name, bool keep_images);
  void put_in_force(Config next, std::map<PoolName, std::shared_ptr<Ci>> cis);
  std::set<std::string> platform_names() const;

  // core_guard.cc: what goes on failing, and clocks that jump
  struct Trust {
    plan::Breaker starts{8}, losses{5};
  };
  void set_up_platforms();
  void put_trust_on_view();
  void on_start_failed(const Builder& b, const std::string& problem, Time at);
  void on_builder_died(const Builder& b, const std::string& problem, Time at);
  void on_ready(const Builder& b);
  void on_job_done(const Builder& b);
  void clock_jumped(Duration by);

  // core_recall.cc: what builders of before the start showed
  Result<void> recall();

  // core_pools.cc: pools that the configuration does not name
  Config configured() const;
  std::string layers_for(const PoolName& pool) const;
  void forget_pools();

  // core_jobs.cc: the life of a job
  Result<void> validate(const JobSpec& spec) const;
  Result<void> validate_place(const JobSpec& spec) const;
  Result<void> validate_labels(const JobSpec& spec) const;
  void end_job(Job& job, JobResult result);
  Result<AgentOrder> order_for(const Job& job, const Builder& builder);
  void assign(Job& job, Builder& builder);
  std::string compared_with(const BuilderId& lost, const Builder& builder) const;
  bool create_files(JobId id);
  void create_next_files();
  void hand_over(const Job& job, const Builder& builder, AgentOrder order);
  bool may_travel_ahead(const Job& job, const AgentOrder& order);
  void forget_old_jobs();
  void forget_old_uploads();
  void send_cancel(const Job& job);
  void check_cancels();
  // A job that ended unseen (while the daemon was away, its line was broken or its clock jumped) left its result on
  // disk: then that is recorded, the builder is stopped, and this is true.
  bool ended_unseen(Builder& b);

  // core_builders.cc: the life of a builder
  void prepare_image(const plan::PrepareImage& action);
  void on_prepared(const PoolName& pool, int generation, const std::string& version, Result<PlatformImage> result);
  void start_builder(const plan::StartBuilder& action);
  void on_launched(const BuilderId& id, const Result<void>& result);
  void start_failed(Builder& b, const Error& error);
  void remember_start(const Builder& b, const std::string& problem);
  void stop_builder(Builder& b, const std::string& why);
  void issue_stop(const Builder& b);
  void on_stopped(const BuilderId& id, const Result<void>& result);
  void retry_stops();
  void on_hello(Builder& b, const agent::Hello& hello);
  void on_finished(Builder& b, const agent::Finished& finished);
  void on_unreachable(Builder& b, const std::string& why);
  void lose_job_of(Builder& b, const std::string& why);
  void mark_running(Job& job, Time at);
  void put_back(Job& job, const char* kind, const std::string& why);  // to the queue

  // core_ci.cc: what a CI's queue asks for
  CiRuntime* ci_of(const PoolName& pool);
  // By a connector, which may be there no more; the jobs that a CI sends by itself are not.
  static bool fetched(const Job& j) { return j.spec.submitter == "ci/" + j.ci; }
  std::shared_ptr<Ci> connector_of(const Job& j) const;  // null: it came by no connector, or by one that is no more
  bool from_ci(const Job& j) const { return connector_of(j) != nullptr; }
  void attend_cis();
  void observe_ci(const PoolName& pool, CiRuntime& ci);
  void on_sight(const PoolName& pool, const std::shared_ptr<Ci>& by, Time asked_at, const Result<CiSight>& sight);
  void tell_ci_problem(const PoolName& pool, CiRuntime& ci, const std::string& problem);
  void hear(const PoolName& pool, const std::vector<CiJob>& said, bool whole, Time asked_at);
  void match_jobs(const PoolName& pool, const plan::CiQueue& queue, const std::map<std::string, const CiJob*>& pending);
  void describe(Job& j, const CiJob& c);
  void create_ci_job(const PoolName& pool, const CiJob& c);
  void submit_ci_job(const PoolName& pool, CiRuntime& ci, const CiJob& c, const std::string& key);
  void surplus(Job& j);
  void on_taken(Job& j, const CiJob& c);
  Result<std::map<PoolName, std::shared_ptr<Ci>>> other_cis(const Config& next) const;
  std::map<PoolName, std::shared_ptr<Ci>> connectors_in_force() const;
  void connect_to(const PoolName& pool, std::shared_ptr<Ci> next);
  void end_strays();
  void leave(Job& j);

  // core_ci_runners.cc: what builders are at a CI
  Result<std::string> ci_prefix();
  static std::string runner_name(const std::string& prefix, const BuilderId& builder);
  bool may_mint(Job& j);
  void mint(Job& j, const Builder& b);
  void on_minted(const PoolName& pool, JobId job, const BuilderId& builder, Result<CiCredential> made);
  void mint_failed(CiRuntime* ci, Job& j, Builder& b, const Error& error);
  void conclude(Job& j, JobResult result);
  void settle(Job& j);
  void resume_settling();
  void forget_notes_of_ci(JobId id);
  void ask_taken(Job& j);
  void on_answer(JobId id, const Result<std::optional<CiJob>>& taken);
  void settle_with(Job& j, const CiJob& c);
  void settled(Job& j, JobResult result);
  void cancel_at_ci(const Job& j);
  void forget_runner_of(const BuilderId& id, const PoolName& pool);
  void forget_registration(const PoolName& pool, AtCi what);
  void attend_runners();
  void on_forgotten(const CiRegistration& r, const Result<void>& done);
  void sweep_ci(const PoolName& pool, CiRuntime& ci);
  void on_swept(const PoolName& pool, const std::shared_ptr<Ci>& by, const Result<std::vector<CiRegistration>>& seen);

  // core_ci_late.cc: agents that never connect to their CI
  void expect_agent(JobId id);
  void attend_late_agents();
  bool awaits_agent(const Job& j) const;
  void ask_for_agent(const Job& j);
  void on_agent_sought(JobId id, const std::string& runner, const Result<std::vector<CiRegistration>>& seen);
  void ci_clock_jumped(Duration by);

  // core_versions.cc: versions of images
  Result<const ImageSpec*> known_image(const std::string& name) const;
  Result<ImageVersion> resolved(const ReleaseRequest& request, const std::string& who, const std::string& digest);

  std::vector<VersionUse> uses_of(const std::string& image, bool jobs_too) const;
  std::map<std::string, std::string> channels_of(const std::string& image) const;

  // core_publish.cc: versions on their way to registries
  using PublicationKey = std::tuple<std::string, SemVer, std::string>;  // image, number, repository
  void pack(ReleaseRequest request, const ImageSpec& spec, std::string who, std::string digest,
            Done<ImageVersion> done);
  Result<ImageVersion> packed(ReleaseRequest request, const std::string& who, const std::string& digest,
                              const PackedImage& image, const std::optional<Contents>& before);
  void begin_publishing(const ImageVersion& version);
  void publish_where_missing();
  bool wants_publishing(const Publication& p, const std::vector<std::string>& channels) const;
  void publish_due();
  void publish(const Publication& p, std::vector<std::string> channels);
  void on_published(const PublicationKey& key, const std::vector<std::string>& channels, const Result<void>& outcome);
  std::set<SemVer> versions_in_use(const std::string& image) const;
  void sweep_versions();
  std::vector<SemVer> sweepable_versions(const std::string& image) const;
  void move_channels(Publication& to, const std::vector<std::string>& channels);
  // core_rollouts.cc: where pools stand between versions
  void follow_versions();
  std::map<PoolName, plan::VersionMove> version_moves(const Config& wanted);  // of those that follow versions
  void follow(const PoolSpec& pool);
  // Where a pool has a version from: the reference, and the digest that it must mean.
  std::pair<std::string, std::string> source_of(const PoolSpec& pool, const ImageVersion& version) const;
  // Why it cannot be had from the registries of the pool's platform yet; empty: it can.
  std::string not_there_yet(const PoolSpec& pool, const ImageVersion& version) const;
  void hold(const PoolSpec& pool, const std::string& why, const std::optional<SemVer>& wanted);
  // Where the pool stands, if it follows this image's versions; else null.
  const PoolVersions* stands_in(const PoolSpec& pool, const std::string& image) const;
  void begin_rollout(PoolVersions& p, const SemVer& to, bool asked, const std::string& by);
  void move_rollout(PoolVersions& p, RolloutState next, const std::string& why, const std::string& by);
  Result<void> obey(PoolVersions& p, RolloutOrder order, const std::string& who);
  void show_versions(PoolVersions& p);
  void save(const PoolVersions& p) { dirty_pools_.insert(p.pool); }
  plan::VersionView* version_view(const PoolName& pool, const std::string& version);
  VersionTally* tally_of(const PoolName& pool, const std::string& version);
  void count_end(const Job& ended);

  // core_recover.cc: after a start
  void ask_platform(const std::string& platform);
  void retry_lists();
  void reconcile(const std::string& platform, const Result<std::vector<SeenBuilder>>& seen);
  void adopt(Builder& b, bool alive);

  ControlParts parts_;
  Agents& agents_;
  Executor& executor_;
  Time started_at_{};

  std::map<JobId, Job> jobs_;              // not ended
  std::map<BuilderId, Builder> builders_;  // not gone
  Roster roster_;                          // the planner's view of all of these
  std::map<PoolName, PoolRuntime> pools_;
  std::set<PoolName> added_pools_;    // in parts_.config, beside those of the configuration
  std::set<PoolName> dropped_pools_;  // of these: still in use
  std::map<std::string, PlatformRuntime> platforms_;
  std::map<std::string, std::map<SemVer, ImageVersion>> versions_;  // by image
  std::map<PoolName, PoolVersions> pool_versions_;                  // of pools that follow an image's versions
  std::uint64_t releases_made_ = 0;
  bool versions_changed_ = true;                                    // what pools follow may be another version now
  int releases_ = 0;                                                // being resolved
  std::map<std::pair<std::string, std::string>, Trust> trusts_;     // by platform and digest: where something failed
  std::optional<Duration> clock_offset_;                            // of the wall clock from the steady one
  std::map<PublicationKey, Publication> publications_;
  std::set<std::pair<std::string, std::string>> publishing_;  // image and repository of those under way
  std::set<std::string> forgotten_;                           // digests whose files this daemon has removed
  Time next_publish_{};                                       // nothing is due before
  std::map<JobId, std::vector<Done<Job>>> waiters_;
  std::map<JobId, Time> cancel_deadlines_;
  std::map<JobId, std::map<std::string, std::string>> one_time_secrets_;  // never written down
  std::map<std::string, JobId> pending_keys_;  // idempotency keys of jobs that are not committed yet
  std::set<BuilderId> launching_;              // launch() has not answered: a stop waits for it, calls never overlap
  std::set<BuilderId> handed_over_;            // builders that this daemon sent their job to
  std::set<BuilderId> stops_under_way_;        // stop() has not answered: no second one meanwhile
  std::map<BuilderId, Time> stop_retries_;     // stops that failed, and when to try again
  std::map<std::string, Time> list_retries_;   // when to ask each platform again what it runs

  std::map<PoolName, CiRuntime> cis_;
  std::string ci_prefix_;               // of our registrations' names, once known
  std::map<JobId, Time> ci_told_;       // when a CI was last heard to have this one's pending
  std::map<JobId, Time> idle_since_;    // when one with a builder was found to be wanted no more
  std::map<JobId, Time> connect_by_;    // when its agent should have connected, and the CI is asked
  std::map<JobId, CiEnded> ci_ended_;   // the CI says that it is over
  std::set<JobId> ci_second_, asking_;  // its runner was given a second job; taken() has not answered
  std::map<JobId, Settling> settling_;
  std::set<BuilderId> minting_;      // mint() has not answered
  std::map<BuilderId, AtCi> at_ci_;  // of those that this daemon registered, or that had a job when their CI changed
  std::set<JobId> strays_;           // queued ones that may be of a queue that their pool has no more
  std::map<std::string, Forgetting> forgetting_;  // by the registration's name

  JobId next_job_ = 1;
  JobId files_made_up_to_ = 0;  // directories of jobs
  bool time_for_files_ = true;  // not while a job is being started, on what may be the same processor
  std::uint64_t next_builder_ = 1;
  int generations_ = 0;  // of images, of all pools
  bool shutting_down_ = false;
  bool killing_ = false;
  bool draining_ = false;  // and nobody was told yet that it is done
  Time next_sweep_{};
  std::set<std::string> gone_references_;

  plan::Plan told_;                           // of the last plan: what queued jobs wait for
  std::map<JobId, std::size_t> told_places_;  // in told_.waits; made when somebody asks

  // What this step changed, until it is committed.
  std::set<JobId> dirty_jobs_;
  std::set<BuilderId> dirty_builders_;
  std::set<PoolName> dirty_pools_;
  std::map<JobId, Job> ended_jobs_;  // ended in a step that is not committed yet
  std::map<BuilderId, Builder> gone_builders_;
  Batch batch_;
  std::vector<Effect> effects_;
  int prepared_ = 0;           // orders sent ahead of this commit
  std::string store_problem_;  // the last commit failed: nothing is acted on until one succeeds
  std::optional<Time> wake_;
};

}  // namespace mayfly
