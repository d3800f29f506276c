#pragma once
// The nouns as JSON: one spelling for the API, the command line's --json and the store.
#include <string>

#include <boost/json/object.hpp>

#include "base/result.h"
#include "model/builder.h"
#include "model/job.h"
#include "model/ledger.h"
#include "model/publication.h"
#include "model/reason.h"
#include "model/rollout.h"
#include "model/version.h"

namespace mayfly {

boost::json::object to_json(const Error& e);
boost::json::object to_json(const Reason& r);
boost::json::object to_json(const JobSpec& s);
boost::json::object to_json(const CiRecord& c);
boost::json::object to_json(const Job& j);
boost::json::object to_json(const Builder& b);
boost::json::object to_json(const LedgerEntry& e);
boost::json::object to_json(const ImageVersion& v);
boost::json::object to_json(const Rollout& r);
boost::json::object to_json(const PoolVersions& p);
boost::json::object to_json(const Publication& p);

// Times are integers: microseconds since the Unix epoch, UTC; absent where it has not happened.
Result<JobSpec> job_spec_from_json(const boost::json::object& o);  // unknown members are errors that name the nearest
Result<CiRecord> ci_record_from_json(const boost::json::object& o);
Result<Job> job_from_json(const boost::json::object& o);  // unknown members are ignored
Result<Builder> builder_from_json(const boost::json::object& o);
Result<LedgerEntry> ledger_entry_from_json(const boost::json::object& o);
Result<ImageVersion> image_version_from_json(const boost::json::object& o);
Result<PoolVersions> pool_versions_from_json(const boost::json::object& o);
Result<Publication> publication_from_json(const boost::json::object& o);
Error error_from_json(const boost::json::object& o);

// Parses text to an object, with limits on depth; the error says where it went wrong.
Result<boost::json::object> parse_json_object(std::string_view text);

// The text under the key; empty where there is none, or something else.
std::string text_at(const boost::json::object& o, std::string_view key);

}  // namespace mayfly
