#pragma once
// What is in an image, as far as its own package database and the names of its programs tell. Values only.
#include <string>
#include <vector>

namespace mayfly {

struct Package {
  std::string kind;  // deb, apk, rpm
  std::string name, version, architecture;
  std::string license = {};  // as the package says it; empty: its database does not
  bool operator==(const Package&) const = default;
};

struct Contents {
  std::string distribution, distribution_version;  // ID and VERSION_ID of os-release: "debian", "12"
  std::vector<Package> packages;                   // by name, then version
  std::vector<std::string> programs;               // base names in bin and sbin directories, sorted, once each
  std::string note;                                // a package database that is there but cannot be read; one sentence
  bool operator==(const Contents&) const = default;
};

}  // namespace mayfly
