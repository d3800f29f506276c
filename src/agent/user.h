#pragma once
// Who a job runs as: the `user` of an image's configuration, looked up in the container's own /etc/passwd and
// /etc/group. Not getpwnam: a static program would load the image's NSS modules into PID 1.
#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mayfly::agent {

struct User {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;  // supplementary
  std::string name;           // empty where passwd does not know the number
  std::string home = "/";
};

// `user` is "", "name", "uid", or one of these and ":group" or ":gid"; "" is root. A number needs no entry.
Result<User> resolve_user(std::string_view user, std::string_view passwd, std::string_view group);
// The same with the files of this container; missing files are empty.
Result<User> resolve_user(std::string_view user);

}  // namespace mayfly::agent
