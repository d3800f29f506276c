#pragma once
// The Executor of the running daemon: bounded worker threads per platform, so that one hung platform cannot starve
// another, and stops never wait behind launches.
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "control/executor.h"
#include "ports/image_tool.h"

namespace mayfly {

// Threads that take tasks in order. The destructor lets the tasks that were taken end and drops the others.
class Workers {
 public:
  explicit Workers(int threads);
  ~Workers();
  void post(std::function<void()> task);

 private:
  void work();
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> tasks_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

class WorkerExecutor final : public Executor {
 public:
  // `post` brings a function to the control thread.
  WorkerExecutor(const std::vector<Platform*>& platforms, ImageTool& images,
                 std::function<void(std::function<void()>)> post);
  // Waits for the calls under way, but for those to CIs: these are told to give up.
  ~WorkerExecutor() override;
  void prepare(const std::string& platform, const std::string& reference, const ImageSpec* recipe,
               std::function<void(Result<PlatformImage>)> done) override;
  void launch(const std::string& platform, BuilderRequest request, std::function<void(Result<void>)> done) override;
  void stop(const std::string& platform, BuilderId builder, std::function<void(Result<void>)> done) override;
  void list(const std::string& platform, std::function<void(Result<std::vector<SeenBuilder>>)> done) override;
  void registry(std::function<void()> call, std::function<void()> done) override;
  void ci(const std::shared_ptr<Ci>& port, CiWork work, std::function<std::function<void()>()> call) override;

 private:
  struct Lane {
    Platform* platform;
    Workers launches, stops, others;
    explicit Lane(Platform* p)
        : platform(p), launches(p->parallel_launches()), stops(p->parallel_launches()), others(2) {}
  };
  template <class T>
  void run(Workers& workers, std::function<Result<T>()> call, std::function<void(Result<T>)> done);
  Lane& lane(const std::string& platform);

  ImageTool& images_;
  std::function<void(std::function<void()>)> post_;
  std::map<std::string, std::unique_ptr<Lane>> lanes_;
  Workers registries_{8};  // mostly waiting; a registry that hangs holds one, for as long as its deadline
  // By connection: any number of pools that use one server and sign-in share these. Made when first needed.
  std::map<std::pair<std::string, CiWork>, std::unique_ptr<Workers>> cis_;
  std::set<std::weak_ptr<Ci>, std::owner_less<>> connectors_;  // that calls were made of
};

}  // namespace mayfly
