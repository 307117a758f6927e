#include "clip/checkpoint/pt_file.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/quoted.h"
#include "clip/checkpoint/pickle.h"
#include "clip/checkpoint/zip_directory.h"

namespace clip {
namespace {

using Kind = PickleValue::Kind;
using Records = std::map<std::string, ZipRecord>;

constexpr int kMaxDepth = 32;
constexpr size_t kMaxName = 1000;
constexpr int kMaxValues = 1'000'000;
constexpr absl::string_view kDataPickle = "/data.pkl";
constexpr absl::string_view kDamagedRecord =
    "its record does not match its CRC-32: the file is damaged (or was saved "
    "by torch.save without checksums; save it again with them)";

std::optional<DType> StorageDType(absl::string_view class_name) {
  static constexpr std::pair<absl::string_view, DType> kNames[] = {
      {"torch.FloatStorage", DType::kFloat32},
      {"torch.HalfStorage", DType::kFloat16},
      {"torch.BFloat16Storage", DType::kBFloat16},
      {"torch.DoubleStorage", DType::kFloat64},
      {"torch.LongStorage", DType::kInt64},
      {"torch.IntStorage", DType::kInt32},
      {"torch.ShortStorage", DType::kInt16},
      {"torch.CharStorage", DType::kInt8},
      {"torch.ByteStorage", DType::kUInt8},
      {"torch.BoolStorage", DType::kBool}};
  for (const auto& [known, dtype] : kNames) {
    if (class_name == known) return dtype;
  }
  return std::nullopt;
}

// The value of a text key; null if there is none.
const PickleValue* Find(const PickleValue& dict, absl::string_view key) {
  if (dict.kind != Kind::kDict) return nullptr;
  for (size_t i = 0; i + 1 < dict.items.size(); i += 2) {
    if (dict.items[i]->kind == Kind::kText && dict.items[i]->text == key)
      return dict.items[i + 1];
  }
  return nullptr;
}

std::optional<std::vector<int64_t>> Integers(const PickleValue& sequence) {
  std::vector<int64_t> integers;
  for (const PickleValue* item : sequence.items) {
    if (item->kind != Kind::kInt) return std::nullopt;
    integers.push_back(item->integer);
  }
  return integers;
}

// Elements of a strided tensor in row-major order.
void CopyStrided(const uint8_t* from, absl::Span<const int64_t> shape,
                 absl::Span<const int64_t> strides, int64_t item_size,
                 uint8_t** to) {
  if (shape.empty()) {
    std::memcpy(*to, from, item_size);
    *to += item_size;
    return;
  }
  for (int64_t i = 0; i < shape[0]; ++i) {
    CopyStrided(from + i * strides[0] * item_size, shape.subspan(1),
                strides.subspan(1), item_size, to);
  }
}

bool IsContiguous(absl::Span<const int64_t> shape,
                  absl::Span<const int64_t> strides) {
  int64_t expected = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    if (shape[i] != 1 && strides[i] != expected) return false;
    expected *= shape[i];
  }
  return true;
}

// Walks the values of data.pkl and collects the tensors with their names.
class TensorCollector {
 public:
  TensorCollector(const Records& records, std::string folder, TensorFile* file)
      : records_(records), folder_(std::move(folder)), file_(file) {}

  absl::Status Collect(const PickleValue& value, const std::string& name,
                       int depth) {
    if (depth > kMaxDepth || name.size() > kMaxName ||
        ++values_seen_ > kMaxValues) {
      return absl::InvalidArgumentError(
          "data.pkl is nested too deeply or has too many values");
    }
    if (value.kind == Kind::kObject) {
      const std::string& callee = value.callee->text;
      const std::vector<PickleValue*>& arguments = value.arguments->items;
      if (callee == "torch._utils._rebuild_parameter" && !arguments.empty()) {
        return Collect(*arguments[0], name, depth + 1);
      }
      if (callee == "torch._utils._rebuild_tensor_v2")
        return AddTensor(arguments, name);
      // A TorchScript module: its attributes are its state.
      if (value.state != nullptr)
        return CollectEntries(*value.state, name, depth);
    }
    return absl::OkStatus();  // numbers, texts, optimizer state: not ours
  }

  absl::Status CollectEntries(const PickleValue& dict, const std::string& name,
                              int depth) {
    if (dict.kind != Kind::kDict) return absl::OkStatus();
    for (size_t i = 0; i + 1 < dict.items.size(); i += 2) {
      if (dict.items[i]->kind != Kind::kText) continue;
      const std::string& key = dict.items[i]->text;
      absl::Status status =
          Collect(*dict.items[i + 1],
                  name.empty() ? key : absl::StrCat(name, ".", key), depth + 1);
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

 private:
  // _rebuild_tensor_v2(storage, offset, shape, strides, ...), where storage is
  // ("storage", class, record, device, count); offset and strides in elements.
  absl::Status AddTensor(const std::vector<PickleValue*>& arguments,
                         const std::string& name) {
    const auto error = [&](absl::string_view what) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor ", base::Quoted(name), ": ", what));
    };
    if (arguments.size() < 4 || arguments[0]->kind != Kind::kPersistent ||
        arguments[0]->arguments->items.size() < 3 ||
        arguments[1]->kind != Kind::kInt) {
      return error("malformed description");
    }
    const std::vector<PickleValue*>& storage = arguments[0]->arguments->items;
    const std::optional<DType> dtype = StorageDType(storage[1]->text);
    if (!dtype)
      return error(
          absl::StrCat("unsupported storage ", base::Quoted(storage[1]->text)));
    const auto record =
        records_.find(absl::StrCat(folder_, "/data/", storage[2]->text));
    if (record == records_.end()) {
      return error(absl::StrCat("the archive lacks record ",
                                base::Quoted("data/" + storage[2]->text)));
    }
    if (!record->second.stored)
      return error("its record is compressed; PyTorch stores it plain");
    if (!IsIntact(record->first, record->second)) return error(kDamagedRecord);

    const int64_t offset = arguments[1]->integer;
    const auto shape = Integers(*arguments[2]);
    const auto strides = Integers(*arguments[3]);
    const std::optional<int64_t> size =
        shape ? TensorByteSize(*dtype, *shape) : std::nullopt;
    if (!size || !strides || strides->size() != shape->size() ||
        shape->size() > 8) {
      return error("malformed shape or strides");
    }
    TensorView tensor{*dtype, *shape, {}};
    if (*size > 0 &&
        !Elements(record->second.bytes, offset, *strides, *size, &tensor)) {
      return error(absl::StrCat(DTypeName(*dtype), " ", ShapeText(*shape),
                                " at element ", offset,
                                " lies outside its storage of ",
                                record->second.bytes.size(), " bytes"));
    }
    file_->tensors[name] = std::move(tensor);
    return absl::OkStatus();
  }

  // Points `tensor` at its elements inside `storage`, or at a row-major copy.
  // False if they are not all inside.
  bool Elements(absl::Span<const uint8_t> storage, int64_t offset,
                absl::Span<const int64_t> strides, int64_t size,
                TensorView* tensor) {
    const int64_t item_size = DTypeSize(tensor->dtype);
    const int64_t count = static_cast<int64_t>(storage.size()) / item_size;
    int64_t last = offset;
    for (size_t i = 0; i < strides.size(); ++i) {
      int64_t reach = 0;
      if (strides[i] < 0 ||
          __builtin_mul_overflow(tensor->shape[i] - 1, strides[i], &reach) ||
          __builtin_add_overflow(last, reach, &last)) {
        return false;
      }
    }
    if (offset < 0 || last >= count) return false;
    const uint8_t* begin = storage.data() + offset * item_size;
    if (IsContiguous(tensor->shape, strides)) {
      tensor->bytes = absl::MakeConstSpan(begin, size);
      return true;
    }
    // A stride of 0 could make a small file huge.
    if (size > static_cast<int64_t>(storage.size())) return false;
    auto copy = std::make_shared<std::vector<uint8_t>>(size);
    uint8_t* to = copy->data();
    CopyStrided(begin, tensor->shape, strides, item_size, &to);
    tensor->bytes = *copy;
    file_->owners.push_back(std::move(copy));
    return true;
  }

  // Tensors may share a record: it is read once.
  bool IsIntact(const std::string& name, const ZipRecord& record) {
    const auto [it, added] = intact_.emplace(name, false);
    if (added) it->second = record.Crc32() == record.crc32;
    return it->second;
  }

  std::map<std::string, bool> intact_;
  const Records& records_;
  const std::string folder_;  // the archive's only top folder
  TensorFile* const file_;
  int values_seen_ = 0;
};

// The state dict inside a trainer's dictionaries.
const PickleValue* Unwrapped(const PickleValue* root) {
  constexpr int kMostWrappers = 4;
  for (int i = 0; i < kMostWrappers; ++i) {
    const PickleValue* inner = nullptr;
    for (const char* key : {"state_dict", "model_state_dict", "model"}) {
      if (inner == nullptr) inner = Find(*root, key);
    }
    if (inner == nullptr) break;
    root = inner;
  }
  return root;
}

// What an entry of a training checkpoint says about the activation: a setting
// of open_clip's, or the name of one of its models.
std::optional<bool> QuickGeluOf(const PickleValue& key,
                                const PickleValue& value) {
  if (key.kind != Kind::kText) return std::nullopt;
  if (key.text == "quick_gelu" && value.kind == Kind::kInt)
    return value.integer != 0;
  // Without it the model's own configuration decides.
  if (key.text == "force_quick_gelu" && value.kind == Kind::kInt &&
      value.integer != 0) {
    return true;
  }
  if ((key.text == "name" || key.text == "model") &&
      value.kind == Kind::kText && absl::StrContains(value.text, "quickgelu")) {
    return true;
  }
  return std::nullopt;
}

// The same of the checkpoint and of the settings in it, such as "args".
// `budget` is how many more values are looked at.
std::optional<bool> QuickGeluIn(const PickleValue& dict, int levels,
                                int* budget) {
  if (dict.kind != Kind::kDict) return std::nullopt;
  for (size_t i = 0; i + 1 < dict.items.size() && --*budget > 0; i += 2) {
    const PickleValue* value = dict.items[i + 1];
    if (const auto found = QuickGeluOf(*dict.items[i], *value)) return found;
    if (value->kind == Kind::kObject && value->state != nullptr)
      value = value->state;
    if (levels == 0) continue;
    if (const auto found = QuickGeluIn(*value, levels - 1, budget))
      return found;
  }
  return std::nullopt;
}

// open_clip's trainer writes {"epoch", "name", "state_dict", "optimizer"}, and
// others who have only "state_dict" may have trained a model of its kind.
Writer WriterOf(const PickleValue& root) {
  return Find(root, "state_dict") != nullptr &&
                 Find(root, "pytorch-lightning_version") == nullptr
             ? Writer::kOpenClip
             : Writer::kUnknown;
}

absl::StatusOr<std::string> FindTopFolder(const Records& records) {
  for (const auto& [name, record] : records) {
    if (absl::EndsWith(name, kDataPickle) &&
        name.find('/') == name.size() - kDataPickle.size()) {
      return name.substr(0, name.find('/'));
    }
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "a zip archive without data.pkl: not written by PyTorch",
      records.empty() ? ""
                      : absl::StrCat("; its first file is ",
                                     base::Quoted(records.begin()->first))));
}

}  // namespace

absl::StatusOr<TensorFile> ParsePtFile(absl::Span<const uint8_t> bytes) {
  const absl::StatusOr<Records> records = ReadZipDirectory(bytes);
  if (!records.ok()) return records.status();
  const absl::StatusOr<std::string> folder = FindTopFolder(*records);
  if (!folder.ok()) return folder.status();
  if (const auto order = records->find(*folder + "/byteorder");
      order != records->end()) {
    const absl::Span<const uint8_t> text = order->second.bytes;
    if (std::string(text.begin(), text.end()) != "little") {
      return absl::InvalidArgumentError(
          "written in another byte order than little-endian");
    }
  }
  const ZipRecord& data = records->at(absl::StrCat(*folder, kDataPickle));
  if (!data.stored)
    return absl::InvalidArgumentError(
        "data.pkl is compressed; PyTorch stores it plain");
  if (data.Crc32() != data.crc32)
    return absl::InvalidArgumentError(
        absl::StrCat("data.pkl: ", kDamagedRecord));
  const absl::StatusOr<Pickle> pickle = Pickle::Parse(data.bytes);
  if (!pickle.ok()) return pickle.status();

  const PickleValue* root = Unwrapped(&pickle->root());
  TensorFile file;
  TensorCollector collector(*records, *folder, &file);
  absl::Status status;
  if (root->kind == Kind::kDict) {
    file.writer = WriterOf(pickle->root());
    constexpr int kLevelsOfSettings = 2;
    int budget = kMaxValues;
    file.quick_gelu = QuickGeluIn(pickle->root(), kLevelsOfSettings, &budget);
    status = collector.CollectEntries(*root, "", 0);
  } else if (root->kind == Kind::kObject &&
             absl::StartsWith(root->callee->text, "__torch__.")) {
    file.writer = Writer::kOpenAi;
    status = collector.Collect(*root, "", 0);
  } else {
    return absl::InvalidArgumentError(
        root->kind == Kind::kObject
            ? absl::StrCat("holds a ", base::Quoted(root->callee->text),
                           ", an object of a program; save its state_dict() "
                           "instead")
            : "holds no dictionary; expected a TorchScript archive or a state "
              "dict");
  }
  if (!status.ok()) return status;
  return file;
}

}  // namespace clip
