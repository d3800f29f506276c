#pragma once
// What proves that we are a GitHub App: a JSON Web Token signed with its private key (RS256). Pure; any thread.
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"

namespace mayfly::github {

// `issuer` is the App's client id or its number. `server_now` is GitHub's clock, not ours: a token from the future is
// refused. Issued 60 s earlier than that against what skew is left, valid for 9 minutes of the 10 that GitHub allows.
// invalid: the key is not an RSA key in PEM (PKCS#1 or PKCS#8); the error never contains any of it.
Result<std::string> app_token(const std::string& issuer, std::string_view private_key_pem, Time server_now);

// Base64 as JSON Web Tokens have it: of the URL alphabet, without padding.
std::string base64_url(std::string_view bytes);

}  // namespace mayfly::github
