#pragma once
// Builds of images from recipes in git, from the trigger to the release. Beside the core, on the control thread: what
// runs as a job goes through the core's own queue, what blocks goes to workers. A build's state is written down before
// what follows from it is done; each step can be done again, so a restarted daemon goes on where the record stands.
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "control/build_reports.h"
#include "control/core.h"
#include "plan/cron.h"
#include "ports/image_works.h"

namespace mayfly {

class Builds {
 public:
  template <class T>
  using Done = Control::Done<T>;

  struct Parts {
    const Clock& clock;
    const Log& log;
    Store& store;
    SecretStore& secrets;
    ImageWorks& works;
    StatePaths paths;
    const Config& config;
    Core& core;
    std::function<void(std::function<void()>)> apart;  // runs it on a worker
    std::function<void(std::function<void()>)> post;   // brings it to the control thread
    // Tells it on a worker, and calls back on the control thread. Empty: nobody is told how builds stand.
    std::function<void(Report, std::function<void(Result<void>)>)> tell = {};
    // Sets it through that pool's CI, on a worker, and calls back on the control thread. Empty: nothing is shown.
    std::function<void(const PoolName&, CommitStatus, std::function<void(Result<void>)>)> show = {};
  };
  explicit Builds(Parts parts);

  // Once, after the core's own. Builds under way go on.
  Result<void> recover();
  // Schedules, watched repositories, retries. To be called before each step of the core.
  void tick();
  std::optional<Time> wake() const { return wake_; }
  // Parts::config is another one from now on.
  void reconfigured();

  void request(BuildRequest request, Done<ImageBuild> done);
  // conflict: it is not there yet, or this person's word cannot count, or the recipe has changed since.
  void approve(BuildId id, const std::string& who, Done<ImageBuild> done);
  void cancel(BuildId id, const std::string& who, Done<ImageBuild> done);
  // ImageStatus::base_note.
  std::string base_note(const std::string& image) const;
  Result<ImageBuild> build(BuildId id) const;
  Result<std::vector<ImageBuild>> builds(const std::string& image, std::size_t limit) const;  // newest first

 private:
  struct Running {
    std::optional<RecipeAt> recipe;
    bool busy = false;  // a worker or a job is at it
    bool again = false;
    int failures = 0;  // that may pass, in a row
    std::optional<Time> retry_at;
  };
  struct Watch {
    std::optional<plan::Cron> rebuild;
    std::optional<Time> rebuild_at, look_at;
    bool looking = false;
    std::optional<Time> bases_at;
    int base_failures = 0;  // of registries, in a row
    std::string base_note;
  };

  // builds.cc: records
  const ImageSpec* spec_of(const ImageBuild& b) const;  // null: the configuration has its image no more
  BuildReports::Parts report_parts();
  BuildReports::Parts status_parts();
  bool change(ImageBuild next, const char* kind, boost::json::object detail);
  bool write(ImageBuild next, const char* kind, std::string detail);
  void begun_again(BuildId id);
  void end(ImageBuild b, BuildState state, const std::string& why);
  void step_failed(BuildId id, const Error& error);
  ImageBuild* active(BuildId id);
  void wake_by(Time t);
  void advance_waiting();
  void raise_approvals();
  Result<ImageBuild> create(const BuildRequest& request);

  // builds_steps.cc: what each state has to do
  void advance(BuildId id);
  template <class T>
  void work(BuildId id, std::function<Result<T>()> call, std::function<void(T)> then);
  void with_recipe(BuildId id, std::function<void()> then);
  void resolve(BuildId id);
  void resolved(BuildId id, RecipeAt recipe);
  void begin(ImageBuild b);
  bool take_over(ImageBuild& b);
  void build_here(BuildId id);
  void build_by_job(BuildId id);
  void watch_job(BuildId id, JobId job, JobId ImageBuild::* member, std::function<void(const Job&)> then);
  void submit(BuildId id, JobSpec spec, const std::string& key, JobId ImageBuild::* member,
              std::function<void(const Job&)> then);
  void built(BuildId id, const BuiltImage& image);
  void examine(BuildId id);
  void examined(BuildId id, const Examination& seen);
  void try_out(BuildId id);
  void tried(BuildId id);
  void release(BuildId id);
  void hand_on(BuildId id, VersionLevel level);
  void offered(BuildId id, const ImageVersion& version);
  std::optional<BuildOrder> order_of(BuildId id);
  PoolSpec trial_pool(const ImageBuild& b) const;

  // builds_bases.cc: images that are built from one another
  std::optional<std::string> wait_for_bases(ImageBuild& b, const RecipeAt& recipe, std::string& problem) const;
  bool is_outdated(const std::string& base, const std::string& digest) const;
  bool is_behind(const std::string& image) const;
  void follow_bases();

  // builds_sweep.cc: images that nobody needs any more
  void sweep();
  void sweep(const ImageBuild& b, const std::vector<ImageBuild>& all);
  void discard(const ImageBuild& b);

  // builds_registry.cc: images in registries that others are built FROM
  using Digests = std::map<std::string, Result<std::string>>;
  Digests ask_registries(const std::set<std::string>& bases) const;
  void look_at_bases();
  void on_bases(const std::string& image, const Digests& seen);
  void note_registry(const std::string& image, const Error* problem);

  // builds_watch.cc: triggers
  void look(const std::string& image);
  void on_refs(const std::string& image, const std::vector<RefAt>& refs);

  Time now() const { return parts_.clock.now(); }
  std::vector<ImageBuild> recent(const std::string& image) const;
  std::optional<ImageBuild> last_released(const std::string& image) const;

  Parts parts_;
  BuildId next_ = 1;
  std::map<BuildId, ImageBuild> active_;  // not ended
  std::map<BuildId, Running> running_;    // of these
  std::map<std::string, Watch> watches_;
  std::optional<Time> wake_;
  Time next_sweep_{};
  std::optional<std::uint64_t> followed_;  // Core::releases_made() when follow_bases() ran last
  bool asking_bases_ = false;
  BuildReports reports_, statuses_;
};

}  // namespace mayfly
