// Reads Python pickles without Python: the opcodes that PyTorch's writers use
// (torch.save, TorchScript; protocols 2 to 4). Nothing is ever run or imported:
// a class is only a name, an object only a name with arguments and a state.
// Format: the comments of Lib/pickletools.py.
//
// Thread rule: one object, one thread.
#ifndef ZEROSHOT_CLIP_CHECKPOINT_PICKLE_H_
#define ZEROSHOT_CLIP_CHECKPOINT_PICKLE_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace clip {

struct PickleValue {
  enum class Kind {
    kOther,       // None, floats, bytes: nothing a checkpoint's tensors need
    kInt,         // `integer`; booleans too
    kText,        // `text`
    kSequence,    // list, tuple or set: `items`
    kDict,        // dict or OrderedDict: `items`, keys and values in turn
    kClass,       // `text` is "module.name"
    kObject,      // an instance or a call's result: `callee` names the class or
                  // function, then `arguments`; `state` is its __dict__
    kPersistent,  // a storage in PyTorch's files: `arguments` describe it
  };

  Kind kind = Kind::kOther;
  int64_t integer = 0;
  std::string text;
  std::vector<PickleValue*> items;
  const PickleValue* callee = nullptr;
  const PickleValue* arguments = nullptr;
  const PickleValue* state = nullptr;  // kObject: null if it has none
};

// A parsed pickle. Values point at each other and may form cycles if the file
// is hostile: who walks them bounds depth and count.
class Pickle {
 public:
  // InvalidArgument: truncated, too large, malformed, or an opcode that
  // PyTorch does not write.
  static absl::StatusOr<Pickle> Parse(absl::Span<const uint8_t> bytes);

  const PickleValue& root() const { return *root_; }

 private:
  std::deque<PickleValue> values_;  // owns all; a deque keeps addresses
  const PickleValue* root_ = nullptr;
};

}  // namespace clip

#endif  // ZEROSHOT_CLIP_CHECKPOINT_PICKLE_H_
