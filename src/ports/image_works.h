#pragma once
// What making an image from a recipe in git takes, step by step. Every step can be done again with the same outcome:
// the daemon may be killed in the middle of it. Blocking; from worker threads, several at once for different builds.
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/image_build.h"
#include "model/pool.h"
#include "ports/platform.h"

namespace mayfly {

// A recipe as a commit has it.
struct RecipeAt {
  std::string commit;                // 40 hex digits
  std::vector<std::string> authors;  // of the change, "Name <address>"
  std::string message;               // of the commit that changed it last, its merge, and what that brought
  Time at{};                         // when that was: what the build's files are dated
  std::string content;               // hex SHA-256 over its files and the arguments
  std::string dockerfile;            // its name
  std::string text;                  // of the Dockerfile
  std::vector<std::string> bases;    // what its FROM lines name, arguments filled in; stages and scratch left out
  bool release = false;              // the ref is the image's branch
};

struct RefAt {
  std::string ref;      // "main", "refs/pull/7/head"
  std::string content;  // as RecipeAt::content; empty: it has no such recipe
  bool release = false;
};

// One build's place and what it is to be made of.
struct BuildOrder {
  BuildId id = 0;
  ImageSpec image;
  RecipeAt recipe;
  std::string directory;                           // its own: log, image, …
  std::map<std::string, std::string> secrets;      // name → value
  bool fresh = false;                              // no cached steps, and bases fetched anew
  std::map<std::string, std::string> pinned = {};  // bases, as RecipeAt::bases has them → the digest to build on
};

struct BuiltImage {
  std::string digest;     // of its manifest
  std::string reference;  // what a platform can prepare()
};

// What can be seen in an image without running it.
struct Examination {
  std::vector<BuildFinding> findings;
  std::string fingerprint;  // over its files as they are at the end, but for logs and caches
  std::int64_t bytes = 0;   // of these files
};

// The job that builds in a builder: what it is given and what is to become of its output.
struct BuildJob {
  std::string script;
  std::string output;  // the directory that take_in() wants
};

// A build whose image nobody needs any more.
struct DiscardOrder {
  BuildId id = 0;
  std::string image;      // a name under images:
  std::string directory;  // the build's own
  BuiltImage built;
};

class ImageWorks {
 public:
  virtual ~ImageWorks() = default;
  // Fetches the repository and finds the ref in it. not_found: no such ref, or no recipe there. invalid: its Dockerfile
  // cannot be right, with file, line and excerpt.
  virtual Result<RecipeAt> resolve(const ImageSpec& image, const std::string& ref, Deadline deadline) = 0;
  // Every branch and proposed change of the image's repository, fetched first.
  virtual Result<std::vector<RefAt>> refs(const ImageSpec& image, Deadline deadline) = 0;
  // What the commits say that changed the recipe after `since`, up to `until`, merges among them; both are commits.
  virtual Result<std::string> messages(const ImageSpec& image, const std::string& since, const std::string& until,
                                       Deadline deadline) = 0;
  // The recipe's folder at the commit as a tar, its files at the top.
  virtual Result<void> pack(const ImageSpec& image, const std::string& commit, const std::string& tar,
                            Deadline deadline) = 0;
  // Of the manifest or index that a base's name has in its registry now. not_found: none.
  virtual Result<std::string> base_digest(const std::string& base, Deadline deadline) = 0;
  // Builds on this host, or by the Docker Engine that the image names.
  virtual Result<BuiltImage> build(const BuildOrder& order, Deadline deadline) = 0;
  // Ends a build() under way within moments, with nothing of it left; that gives `unavailable`. Does not block.
  virtual void stop(BuildId id) = 0;
  // All of them, and none begins any more.
  virtual void stop_all() = 0;
  // Makes ready what a builder needs of this host's images, and says what to run there, in the recipe's folder.
  virtual Result<BuildJob> prepare_job(const BuildOrder& order, Deadline deadline) = 0;
  // Takes the image from what that job left as its output.
  virtual Result<BuiltImage> take_in(const BuildOrder& order, const std::string& output_tar, Deadline deadline) = 0;
  // What the log of such a job that failed says went wrong, with file, line and excerpt where it names them.
  virtual Error failure(const BuildOrder& order, const std::string& log) = 0;
  virtual Result<Examination> examine(const BuildOrder& order, std::int64_t bytes_before, Deadline deadline) = 0;
  // The image was released from a protected ref: later builds may be made FROM it and from its layers.
  virtual Result<void> offer(const BuildOrder& order, const BuiltImage& image, Deadline deadline) = 0;
  // Removes what was built, but for what other builds need too. Somebody else's image of the same name is left alone.
  virtual Result<void> discard(const DiscardOrder& order, Deadline deadline) = 0;
  // Where builders that build find the layers on offer; empty: nowhere.
  virtual std::string layers() const = 0;
};

}  // namespace mayfly
