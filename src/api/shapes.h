#pragma once
// The API's own shapes around the nouns of the model.
#include <boost/json/object.hpp>

#include "api/backend.h"

namespace mayfly::api {

boost::json::object to_json(const PoolStatus& p);
boost::json::object to_json(const Status& s);
boost::json::object to_json(const Explanation& e);
boost::json::object to_json(const PoolExplanation& e);
boost::json::object to_json(const LedgerCheck& c);
boost::json::object list(const std::vector<Job>& jobs);
boost::json::object list(const std::vector<Builder>& builders);
boost::json::object list(const std::vector<LedgerEntry>& entries);
boost::json::object list(const std::vector<ImageBuild>& builds);
boost::json::object to_json(const ImageStatus& i);
boost::json::object list(const std::vector<ImageStatus>& images);
boost::json::object to_json(const ConfigPlan& p);
boost::json::object list(const std::vector<PoolVersions>& pools);
boost::json::object pools_only(const Status& s);

// The whole OpenAPI document, from the table of routes.
boost::json::object openapi(const std::string& version);

}  // namespace mayfly::api
