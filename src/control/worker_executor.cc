#include "control/worker_executor.h"

#include <fmt/format.h>

namespace mayfly {

namespace {
// At once, at one CI: looks at queues, credentials made and removed, statuses told.
int ci_threads(CiWork work) { return work == CiWork::observe ? 3 : work == CiWork::act ? 4 : 1; }
// How long a platform may take before the call counts as failed. Pulling a large image is the slowest of them.
constexpr Duration launch_limit = std::chrono::seconds(90);
constexpr Duration stop_limit = std::chrono::seconds(60);
constexpr Duration list_limit = std::chrono::seconds(60);
constexpr Duration prepare_limit = std::chrono::minutes(60);
}  // namespace

Workers::Workers(int threads) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
}

Workers::~Workers() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    tasks_.clear();
  }
  wake_.notify_all();
  for (auto& t : threads_) t.join();
}

void Workers::post(std::function<void()> task) {
  {
    std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
  }
  wake_.notify_one();
}

void Workers::work() {
  for (;;) {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [this] { return stopping_ || !tasks_.empty(); });
    if (stopping_) return;
    auto task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    task();
  }
}

WorkerExecutor::WorkerExecutor(const std::vector<Platform*>& platforms, ImageTool& images,
                               std::function<void(std::function<void()>)> post)
    : images_(images), post_(std::move(post)) {
  for (Platform* p : platforms) lanes_.emplace(std::string(p->name()), std::make_unique<Lane>(p));
}

WorkerExecutor::Lane& WorkerExecutor::lane(const std::string& platform) {
  auto found = lanes_.find(platform);
  MAYFLY_CHECK(found != lanes_.end());  // the planner offers only platforms that exist
  return *found->second;
}

void WorkerExecutor::registry(std::function<void()> call, std::function<void()> done) {
  registries_.post([this, call = std::move(call), done = std::move(done)] {
    call();
    post_(done);
  });
}

template <class T>
void WorkerExecutor::run(Workers& workers, std::function<Result<T>()> call, std::function<void(Result<T>)> done) {
  workers.post([this, call = std::move(call), done = std::move(done)] {
    auto result = std::make_shared<Result<T>>(call());
    post_([done, result] { done(std::move(*result)); });
  });
}

void WorkerExecutor::prepare(const std::string& platform, const std::string& reference, const ImageSpec* recipe,
                             std::function<void(Result<PlatformImage>)> done) {
  auto& l = lane(platform);
  auto spec = recipe ? std::optional<ImageSpec>(*recipe) : std::nullopt;
  run<PlatformImage>(
      l.others,
      [this, &l, reference, spec]() -> Result<PlatformImage> {
        auto deadline = after(prepare_limit);
        auto ref = reference;
        if (spec) {
          MAYFLY_ASSIGN(ref, images_.build(*spec, deadline));
        }
        return l.platform->prepare(ref, deadline);
      },
      std::move(done));
}

void WorkerExecutor::launch(const std::string& platform, BuilderRequest request,
                            std::function<void(Result<void>)> done) {
  auto& l = lane(platform);
  run<void>(
      l.launches, [&l, request = std::move(request)] { return l.platform->launch(request, after(launch_limit)); },
      std::move(done));
}

WorkerExecutor::~WorkerExecutor() {
  for (const auto& known : connectors_)
    if (auto port = known.lock()) port->abandon();
}

void WorkerExecutor::ci(const std::shared_ptr<Ci>& port, CiWork work, std::function<std::function<void()>()> call) {
  auto& workers = cis_[{fmt::format("{} {}", port->kind(), port->connection()), work}];
  if (!workers) workers = std::make_unique<Workers>(ci_threads(work));
  if (connectors_.insert(port).second)  // another configuration brings others
    std::erase_if(connectors_, [](const auto& known) { return known.expired(); });
  workers->post([this, call = std::move(call)] { post_(call()); });
}

void WorkerExecutor::stop(const std::string& platform, BuilderId builder, std::function<void(Result<void>)> done) {
  auto& l = lane(platform);
  run<void>(l.stops, [&l, builder] { return l.platform->stop(builder, after(stop_limit)); }, std::move(done));
}

void WorkerExecutor::list(const std::string& platform, std::function<void(Result<std::vector<SeenBuilder>>)> done) {
  auto& l = lane(platform);
  run<std::vector<SeenBuilder>>(l.others, [&l] { return l.platform->list(after(list_limit)); }, std::move(done));
}

}  // namespace mayfly
