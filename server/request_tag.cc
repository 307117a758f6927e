#include "server/request_tag.h"

#include <algorithm>
#include <random>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"

namespace zeroshot::server {
namespace {

constexpr size_t kMaxIdLength = 64;

absl::string_view Value(
    const std::multimap<grpc::string_ref, grpc::string_ref>& metadata,
    const char* key) {
  const auto it = metadata.find(key);
  if (it == metadata.end()) return "";
  return {it->second.data(), it->second.size()};
}

bool IsId(absl::string_view text) {
  return !text.empty() && text.size() <= kMaxIdLength &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-';
         });
}

bool IsLowerHex(absl::string_view text) {
  return text.find_first_not_of("0123456789abcdef") == text.npos;
}

bool HasOtherThanZero(absl::string_view text) {
  return text.find_first_not_of('0') != text.npos;
}

// version "00": 00-<32 hex, not all 0>-<16 hex, not all 0>-<2 hex>. A later
// version may go on after that; what we know of it begins alike.
bool IsTraceparent(absl::string_view text) {
  constexpr size_t kLength = 55;
  if (text.size() < kLength || text.size() > 2 * kLength) return false;
  if (text[2] != '-' || text[35] != '-' || text[52] != '-') return false;
  const absl::string_view version = text.substr(0, 2);
  const absl::string_view trace = text.substr(3, 32);
  const absl::string_view parent = text.substr(36, 16);
  if (!IsLowerHex(version) || version == "ff" || !IsLowerHex(trace) ||
      !IsLowerHex(parent) || !IsLowerHex(text.substr(53, 2))) {
    return false;
  }
  if (!HasOtherThanZero(trace) || !HasOtherThanZero(parent)) return false;
  if (text.size() == kLength) return true;
  return version != "00" && text[kLength] == '-' &&
         IsId(text.substr(kLength, kMaxIdLength));
}

std::string NewId() {
  thread_local std::mt19937_64 random{std::random_device{}()};
  return absl::StrFormat("%016x", random());
}

}  // namespace

TraceIds RequestTag::trace() const {
  if (traceparent.empty()) return {};
  return {traceparent.substr(3, 32), traceparent.substr(36, 16)};
}

bool RequestTag::sampled() const {
  // The last bit of the flags, two hexadecimal digits.
  constexpr size_t kLastDigit = 54;
  if (traceparent.empty()) return false;
  return std::string("13579bdf").find(traceparent[kLastDigit]) !=
         std::string::npos;
}

RequestTag TagOf(
    const std::multimap<grpc::string_ref, grpc::string_ref>& metadata) {
  return TagOf(Value(metadata, "x-request-id"), Value(metadata, "traceparent"));
}

RequestTag TagOf(absl::string_view request_id, absl::string_view traceparent) {
  RequestTag tag;
  tag.id = IsId(request_id) ? std::string(request_id) : NewId();
  if (IsTraceparent(traceparent)) tag.traceparent = std::string(traceparent);
  return tag;
}

}  // namespace zeroshot::server
