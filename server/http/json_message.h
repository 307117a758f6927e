// Messages of proto/ <-> JSON as people write it.
//
// Not protobuf's own JSON: that has durations and 64-bit numbers as strings,
// leaves zeros out, and grows a tree from what a stranger sends. Names are the
// proto's, numbers are numbers, times are seconds, enumerations are words
// ("softmax"), and all fields are there but messages and `optional` ones that
// are not set.
//
// Thread rule: free functions; one JsonMessageReader, one thread.
#ifndef ZEROSHOT_SERVER_HTTP_JSON_MESSAGE_H_
#define ZEROSHOT_SERVER_HTTP_JSON_MESSAGE_H_

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/json_reader.h"

namespace zeroshot::server::http {

// Appends the message as an object. An item of ClassifyBatch has its answer or
// an `error` as server/http/errors.h writes it.
void AppendJson(const google::protobuf::Message& message, std::string* out);

// Appends the shortest text that is read as the same number; null if it is not
// finite.
void AppendNumber(float number, std::string* out);
void AppendNumber(double number, std::string* out);

// "softmax" of SCORE_FUNCTION_SOFTMAX.
std::string EnumWord(const google::protobuf::EnumValueDescriptor& value);

// How many items a list may have; what is longer is refused while it is read.
using MostItems =
    std::function<int64_t(const google::protobuf::FieldDescriptor*)>;

class JsonMessageReader {
 public:
  // Takes the value of a key that the message has no field for. False: there is
  // no such key.
  using TakeOther = std::function<absl::StatusOr<bool>(const std::string& key)>;

  // Borrows both.
  JsonMessageReader(absl::string_view text, const MostItems& most_items)
      : reader_(text), most_items_(most_items) {}

  // Reads the whole text, an object, into the message. InvalidArgument: no JSON
  // (the message names the line), an unknown key, one that is there twice, a
  // value of another kind, a list that is too long.
  absl::Status Read(google::protobuf::Message* message,
                    const TakeOther& take_other = nullptr);
  // The same for an object whose keys are all taken by `take`.
  absl::Status ReadObject(const TakeOther& take);

  // For TakeOther: takes the value that comes next.
  absl::Status TakeField(google::protobuf::Message* message,
                         const google::protobuf::FieldDescriptor* field,
                         const std::string& path);
  absl::StatusOr<std::string> TakeText(absl::string_view path);
  // A text, a number, true, false or null, as it stands there.
  absl::StatusOr<absl::string_view> TakeScalar(absl::string_view path);
  // Null if it is one, which means that a field is not there.
  bool TakeNull();
  // [ITEM, ...] of `most` items.
  absl::Status TakeList(absl::string_view path, int64_t most,
                        const std::function<absl::Status(int)>& take_item);
  // {"KEY": VALUE, ...}.
  absl::Status TakeObject(absl::string_view path, const TakeOther& take);
  // Whether an object or a list comes next.
  bool AtObject();
  bool AtList();
  // Takes a value of any kind. InvalidArgument: nested too deep.
  absl::Status Skip(int depth = 0);
  absl::StatusOr<int64_t> TakeInteger(absl::string_view path);

  // What is wrong where the reader stands: no JSON, or not `expected`.
  absl::Status Wrong(absl::string_view path, absl::string_view expected);

 private:
  absl::Status TakeMessage(google::protobuf::Message* message,
                           const std::string& path,
                           const TakeOther& take_other);
  absl::Status TakeOne(google::protobuf::Message* message,
                       const google::protobuf::FieldDescriptor* field,
                       const std::string& path);
  absl::StatusOr<double> TakeDouble(absl::string_view path);
  absl::Status End();

  base::JsonReader reader_;
  const MostItems& most_items_;
};

// Sets or adds to a field from text: a word of a form or a query. Lists and
// messages may be JSON. A list is also words between commas or, if the text has
// line breaks, lines.
absl::Status SetFromText(google::protobuf::Message* message,
                         const google::protobuf::FieldDescriptor* field,
                         absl::string_view text, const MostItems& most_items);

// InvalidArgument: there is no field of that name.
absl::Status UnknownField(absl::string_view name);

}  // namespace zeroshot::server::http

#endif  // ZEROSHOT_SERVER_HTTP_JSON_MESSAGE_H_
