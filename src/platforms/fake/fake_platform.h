#pragma once
// ports/platform.h in a FakeWorld. Faults of the platform as a whole are set here, those of single builders in the
// world.
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include "platforms/fake/fake_world.h"

namespace mayfly {

class FakePlatform final : public Platform {
 public:
  explicit FakePlatform(FakeWorld& world, std::string name = "fake", int parallel_launches = 4)
      : world_(world), name_(std::move(name)), parallel_launches_(parallel_launches) {}

  std::string_view name() const override { return name_; }
  int parallel_launches() const override { return parallel_launches_; }
  PlatformHealth health() override;
  Result<PlatformImage> prepare(const std::string& reference, Deadline deadline) override;
  Result<void> launch(const BuilderRequest& request, Deadline deadline) override;
  std::string agent_address(const BuilderId& id) const override { return address(id); }
  Result<void> stop(const BuilderId& id, Deadline deadline) override;
  Result<std::vector<SeenBuilder>> list(Deadline deadline) override;

  static std::string address(const BuilderId& id) { return "/fake/" + id; }

  void set_health(PlatformHealth health);
  void remove_image(const std::string& reference);  // prepare() finds it no more
  void restore_image(const std::string& reference);
  void fail_prepare(std::optional<Error> error);  // until set to nothing, as the next three
  void fail_launch(std::optional<Error> error);
  void fail_stop(std::optional<Error> error);
  void fail_list(std::optional<Error> error);

 private:
  FakeWorld& world_;
  std::string name_;
  int parallel_launches_;
  std::mutex mutex_;
  PlatformHealth health_;
  std::set<std::string> no_images_;
  std::optional<Error> prepare_error_, launch_error_, stop_error_, list_error_;
};

}  // namespace mayfly
