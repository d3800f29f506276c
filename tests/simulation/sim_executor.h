#pragma once
// control/executor.h over the world's platforms. A call takes effect some time after it was made and is answered some
// time after that; calls overtake one another. When the daemon dies, its answers are lost, and each call that had not
// taken effect yet does so all the same or never.
#include <map>
#include <set>

#include "control/executor.h"
#include "tests/simulation/land.h"

namespace mayfly::sim {

// What is under way between daemons and platforms; outlives the daemons.
class Wire {
 public:
  // `post` hands a message to the daemon of that generation.
  Wire(Land& land, std::function<void(std::uint64_t generation, std::function<void()>)> post)
      : land_(land), post_(std::move(post)) {}

  void call(const std::string& platform, std::function<std::function<void()>()> effect);
  void daemon_died();  // decides what becomes of the calls under way
  Land& land() { return land_; }

 private:
  struct Call {
    std::uint64_t id, generation;
    std::string platform;
    Duration back;
    std::function<std::function<void()>()> effect;
  };
  void arrive(Call call);
  Duration latency(const Place& place);
  Land& land_;
  std::function<void(std::uint64_t, std::function<void()>)> post_;
  std::uint64_t next_ = 1;
  std::set<std::uint64_t> pending_;
};

class SimExecutor final : public Executor {
 public:
  explicit SimExecutor(Wire& wire) : wire_(wire), land_(wire.land()) {}

  void prepare(const std::string& platform, const std::string& reference, const ImageSpec* recipe,
               std::function<void(Result<PlatformImage>)> done) override;
  void launch(const std::string& platform, BuilderRequest request, std::function<void(Result<void>)> done) override;
  void stop(const std::string& platform, BuilderId builder, std::function<void(Result<void>)> done) override;
  void list(const std::string& platform, std::function<void(Result<std::vector<SeenBuilder>>)> done) override;

 private:
  void begin(const BuilderId& id);  // calls on one builder never overlap
  Result<void> do_launch(Place& place, const std::string& platform, const BuilderRequest& request);
  Wire& wire_;
  Land& land_;
  std::set<BuilderId> under_way_;
};

}  // namespace mayfly::sim
