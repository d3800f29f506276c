#pragma once
// What lies where in a state directory. Pure: names only.
#include <string>

#include "model/job.h"

namespace mayfly {

struct StatePaths {
  std::string root;

  std::string socket() const { return root + "/mayfly.sock"; }
  std::string lock() const { return root + "/lock"; }  // held by the one daemon
  std::string database() const { return root + "/mayfly.db"; }
  std::string uploads() const { return root + "/uploads"; }
  std::string upload(const std::string& id) const { return uploads() + "/" + id + ".tar"; }
  std::string jobs() const { return root + "/jobs"; }
  std::string job(JobId id) const { return jobs() + "/" + std::to_string(id); }
  std::string log(JobId id) const { return job(id) + "/log"; }
  std::string log_index(JobId id) const { return job(id) + "/log.index"; }
  std::string result(JobId id) const { return job(id) + "/result"; }
  std::string output(JobId id) const { return job(id) + "/output.tar"; }
  std::string releases() const { return root + "/releases"; }  // what was packed for registries
  std::string build(std::uint64_t id) const { return root + "/builds/" + std::to_string(id); }  // of an image
  std::string images() const { return root + "/images"; }  // mirrors of repositories, layers on offer
  std::string platform(const std::string& name) const { return root + "/platforms/" + name; }  // the platform's own
};

}  // namespace mayfly
