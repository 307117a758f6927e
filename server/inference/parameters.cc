#include "server/inference/parameters.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <set>

#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/error_info.h"
#include "base/quoted.h"

namespace zeroshot::server {
namespace {

using inference::InferParameter;
using inference::ModelInferRequest;

// Sent with every request by Triton's client for C++: whether a stream ends
// with an empty answer. There are no streams.
constexpr char kFinalResponse[] = "triton_enable_empty_final_response";

absl::StatusOr<double> NumberOf(const std::string& name,
                                const InferParameter& parameter) {
  double number = std::numeric_limits<double>::quiet_NaN();
  switch (parameter.parameter_choice_case()) {
    case InferParameter::kInt64Param:
      return static_cast<double>(parameter.int64_param());
    case InferParameter::kUint64Param:
      return static_cast<double>(parameter.uint64_param());
    case InferParameter::kDoubleParam:
      number = parameter.double_param();
      break;
    case InferParameter::kStringParam:
      if (!absl::SimpleAtod(parameter.string_param(), &number)) {
        return base::InvalidField(
            name, absl::StrCat("the parameter ", name, " is ",
                               base::Quoted(parameter.string_param()),
                               "; it must be a number"));
      }
      break;
    default:
      break;
  }
  if (std::isfinite(number)) return number;
  return base::InvalidField(
      name, absl::StrCat("the parameter ", name, " must be a number"));
}

absl::Status TakeTopK(const InferParameter& parameter,
                      v1::ClassifyBatchRequest* classify) {
  const absl::StatusOr<double> top_k = NumberOf("top_k", parameter);
  if (!top_k.ok()) return top_k.status();
  if (*top_k < 0 || *top_k > std::numeric_limits<uint32_t>::max() ||
      *top_k != std::floor(*top_k)) {
    return base::InvalidField(
        "top_k", absl::StrCat("the parameter top_k is ", *top_k,
                              "; it must be a whole number from 0"));
  }
  classify->set_top_k(static_cast<uint32_t>(*top_k));
  return absl::OkStatus();
}

absl::Status TakeScoreFunction(const InferParameter& parameter,
                               v1::ClassifyBatchRequest* classify) {
  if (parameter.string_param() == "softmax") {
    classify->set_score_function(v1::SCORE_FUNCTION_SOFTMAX);
  } else if (parameter.string_param() == "sigmoid") {
    classify->set_score_function(v1::SCORE_FUNCTION_SIGMOID);
  } else {
    return base::InvalidField(
        "score_function",
        absl::StrCat("the parameter score_function is ",
                     base::Quoted(parameter.string_param()),
                     "; it must be \"softmax\" or \"sigmoid\""));
  }
  return absl::OkStatus();
}
}  // namespace

absl::Status UnknownParameter(absl::string_view name, absl::string_view whose,
                              absl::string_view known) {
  return base::InvalidField(
      "parameters",
      absl::StrCat("there is no parameter ", base::Quoted(name), " of ", whose,
                   known.empty() ? "" : "; there are ", known));
}
absl::Status CheckNoneOf(const InferParameters& parameters,
                         absl::string_view whose) {
  if (parameters.empty()) return absl::OkStatus();
  return UnknownParameter(parameters.begin()->first, whose, "");
}

absl::Status TakeParameters(const ModelInferRequest& request,
                            v1::ClassifyBatchRequest* classify) {
  // In the order of their names, so that the error is always the same.
  std::set<std::string> names;
  for (const auto& [name, parameter] : request.parameters()) names.insert(name);
  names.erase(kFinalResponse);
  for (const std::string& name : names) {
    const InferParameter& parameter = request.parameters().at(name);
    absl::Status taken;
    if (name == "top_k") {
      taken = TakeTopK(parameter, classify);
    } else if (name == "score_function") {
      taken = TakeScoreFunction(parameter, classify);
    } else if (name == "min_probability") {
      const absl::StatusOr<double> number = NumberOf(name, parameter);
      taken = number.status();
      if (number.ok()) {
        classify->set_min_probability(static_cast<float>(*number));
      }
    } else {
      taken = UnknownParameter(name, "a weight set",
                               "top_k, score_function and min_probability");
    }
    if (!taken.ok()) return taken;
  }
  return absl::OkStatus();
}

absl::Status CheckNoParameters(const ModelInferRequest& request) {
  for (const auto& [name, parameter] : request.parameters()) {
    if (name == kFinalResponse) continue;
    return UnknownParameter(name, base::Quoted(request.model_name()), "");
  }
  return absl::OkStatus();
}
}  // namespace zeroshot::server
