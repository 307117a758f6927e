// What programs read of an error: its reason, a word that stays the same from
// release to release, and what it is about. Both travel in the absl::Status
// from where the error arises; the server turns them into google.rpc.ErrorInfo.
// proto/zeroshot/v1/zeroshot.proto says what each reason means and which
// metadata it has.
#ifndef ZEROSHOT_BASE_ERROR_INFO_H_
#define ZEROSHOT_BASE_ERROR_INFO_H_

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"

namespace base {

inline constexpr char kCancelled[] = "CANCELLED";
inline constexpr char kClientTooSlow[] = "CLIENT_TOO_SLOW";
inline constexpr char kDeadlineExceeded[] = "DEADLINE_EXCEEDED";
inline constexpr char kDeadlineTooShort[] = "DEADLINE_TOO_SHORT";
inline constexpr char kImageDamaged[] = "IMAGE_DAMAGED";
inline constexpr char kImageNotSupported[] = "IMAGE_NOT_SUPPORTED";
inline constexpr char kImageTooLarge[] = "IMAGE_TOO_LARGE";
inline constexpr char kInternal[] = "INTERNAL";
inline constexpr char kInvalidField[] = "INVALID_FIELD";
inline constexpr char kInvalidFile[] = "INVALID_FILE";
inline constexpr char kInvalidRequest[] = "INVALID_REQUEST";
inline constexpr char kLoading[] = "LOADING";
inline constexpr char kModelNotFound[] = "MODEL_NOT_FOUND";
inline constexpr char kOutOfMemory[] = "OUT_OF_MEMORY";
inline constexpr char kOverloaded[] = "OVERLOADED";
inline constexpr char kPermissionDenied[] = "PERMISSION_DENIED";
inline constexpr char kPromptTooLong[] = "PROMPT_TOO_LONG";
inline constexpr char kStopping[] = "STOPPING";
inline constexpr char kTooManyBuilds[] = "TOO_MANY_BUILDS";
inline constexpr char kTransferDamaged[] = "TRANSFER_DAMAGED";
inline constexpr char kUnauthenticated[] = "UNAUTHENTICATED";
inline constexpr char kUnavailable[] = "UNAVAILABLE";
inline constexpr char kWeightSetNotFound[] = "WEIGHT_SET_NOT_FOUND";
inline constexpr char kWeightSetNotRebuildable[] = "WEIGHT_SET_NOT_REBUILDABLE";
inline constexpr char kWeightSetTooLarge[] = "WEIGHT_SET_TOO_LARGE";
inline constexpr char kWrongModel[] = "WRONG_MODEL";

// Text of the metadata is UTF-8 without NUL characters.
using ErrorMetadata = std::map<std::string, std::string>;

struct ErrorInfo {
  std::string reason;
  ErrorMetadata metadata;
};

// `status`, which is no OK, with a reason. One that it has already stays, as do
// its metadata: where an error arises most is known about it.
absl::Status WithReason(absl::Status status, absl::string_view reason,
                        const ErrorMetadata& metadata = {});

// The same error with `prefix` before its message.
absl::Status WithPrefix(absl::string_view prefix, const absl::Status& status);

// The same error about a field within `field`: "classes[3].name" becomes
// "classifier.classes[3].name". Others stay as they are.
absl::Status InField(absl::string_view field, const absl::Status& status);

absl::optional<ErrorInfo> ErrorInfoOf(const absl::Status& status);

// InvalidArgument with kInvalidField, about the field of that name, such as
// "classes[3].name".
absl::Status InvalidField(absl::string_view field, absl::string_view message);

}  // namespace base

#endif  // ZEROSHOT_BASE_ERROR_INFO_H_
