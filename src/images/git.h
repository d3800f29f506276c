#pragma once
// Recipes in git, by way of a mirror of each repository: nothing that a repository configures for itself (hooks,
// filters, programs) is ever run, whoever owns it. Any thread.
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/result.h"
#include "ports/image_works.h"

namespace mayfly {

class Git {
 public:
  explicit Git(std::string directory) : directory_(std::move(directory)) {}  // for the mirrors

  Result<RecipeAt> resolve(const ImageSpec& image, const std::string& ref, Deadline deadline);
  Result<std::vector<RefAt>> refs(const ImageSpec& image, Deadline deadline);
  Result<std::string> messages(const ImageSpec& image, const std::string& since, const std::string& until,
                               Deadline deadline);
  Result<void> pack(const ImageSpec& image, const std::string& commit, const std::string& tar, Deadline deadline);

 private:
  struct Place {
    std::string repository, folder;  // folder: of the recipe below its root, "" for the root itself
    std::string mirror;
  };
  Result<Place> place_of(const ImageSpec& image, Deadline deadline);
  Result<void> fetch(const Place& place, Deadline deadline);
  Result<void> set_up(const Place& place, Deadline deadline);
  Result<std::string> run(const Place& place, std::vector<std::string> arguments, Deadline deadline);
  Result<std::string> commit_of(const Place& place, const std::string& ref, Deadline deadline);
  Result<std::string> tree_of(const Place& place, const std::string& commit, Deadline deadline);
  Result<void> read_history(const Place& place, const ImageSpec& image, RecipeAt& recipe, Deadline deadline);
  std::vector<std::string> environment() const;
  std::mutex& mutex_of(const std::string& mirror);

  std::string directory_;
  std::mutex mutex_;
  std::map<std::string, std::unique_ptr<std::mutex>> mirrors_;  // one fetch at a time into each
};

}  // namespace mayfly
