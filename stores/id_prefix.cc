#include "stores/id_prefix.h"

#include <algorithm>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "base/error_info.h"
#include "base/quoted.h"

namespace stores {
namespace {

constexpr int kMaxNamed = 3;

bool IsDigits(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
  });
}

}  // namespace

bool IsWholeId(absl::string_view text) {
  absl::ConsumePrefix(&text, kImportedPrefix);
  return text.size() == kIdDigits && IsDigits(text);
}

absl::StatusOr<std::string> CompleteId(WeightStore* store,
                                       absl::string_view given) {
  absl::string_view digits = given;
  absl::ConsumePrefix(&digits, kImportedPrefix);
  if (digits.empty() || digits.size() >= kIdDigits || !IsDigits(digits)) {
    return std::string(given);
  }
  if (digits.size() < kMinPrefixDigits) {
    return base::InvalidField(
        "weight_set_id",
        absl::StrCat("weight_set_id is ", base::Quoted(given),
                     ", the beginning of an id with ", digits.size(),
                     " digits; at least ", kMinPrefixDigits, " are needed"));
  }
  // Ids that begin so stand right behind what they begin with.
  auto sets = store->List(given, kMaxNamed + 1);
  if (!sets.ok()) return sets.status();
  std::vector<std::string> ids;
  for (const WeightSetSummary& set : *sets) {
    if (absl::StartsWith(set.id, given)) ids.push_back(set.id);
  }
  if (ids.empty()) return WeightSetNotFound(given);
  if (ids.size() == 1) return ids[0];
  const bool more = ids.size() > kMaxNamed;
  if (more) ids.resize(kMaxNamed);
  return base::InvalidField(
      "weight_set_id", absl::StrCat("weight_set_id ", base::Quoted(given),
                                    " is the beginning of several ids: ",
                                    absl::StrJoin(ids, ", "),
                                    more ? ", ..." : "", "; give more digits"));
}

}  // namespace stores
