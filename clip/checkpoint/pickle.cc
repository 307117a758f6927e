#include "clip/checkpoint/pickle.h"

#include <unordered_map>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace clip {
namespace {

using Kind = PickleValue::Kind;

// Real checkpoints have some 100 KB; each byte may cost a value in memory.
constexpr size_t kMaxBytes = 16 << 20;
constexpr size_t kMaxClassName = 1000;

// The stack machine that a pickle is a program of. The first error sticks;
// after it the machine goes on with empty values until Run notices.
class Machine {
 public:
  Machine(absl::Span<const uint8_t> bytes, std::deque<PickleValue>* values)
      : bytes_(bytes), values_(*values) {}

  absl::StatusOr<const PickleValue*> Run() {
    while (status_.ok()) {
      const uint8_t op = static_cast<uint8_t>(Number(1));
      if (status_.ok() && op == '.') {
        const PickleValue* root = Pop();
        if (status_.ok()) return root;
      }
      if (status_.ok()) Step(op);
    }
    return status_;
  }

 private:
  void Fail(absl::string_view what) {
    if (status_.ok()) {
      status_ = absl::InvalidArgumentError(
          absl::StrCat("pickle: ", what, " before byte ", position_));
    }
  }

  absl::string_view Bytes(uint64_t count) {
    if (count > bytes_.size() - position_) {
      Fail("truncated");
      return {};
    }
    const char* begin =
        reinterpret_cast<const char*>(bytes_.data()) + position_;
    position_ += count;
    return {begin, static_cast<size_t>(count)};
  }

  // A little-endian unsigned number of `size` bytes.
  uint64_t Number(int size) {
    uint64_t number = 0;
    int shift = 0;
    for (const char c : Bytes(size)) {
      number |= uint64_t{static_cast<uint8_t>(c)} << shift;
      shift += 8;
    }
    return number;
  }

  absl::string_view Line() {
    const absl::string_view rest(
        reinterpret_cast<const char*>(bytes_.data()) + position_,
        bytes_.size() - position_);
    const size_t end = rest.find('\n');
    if (end == absl::string_view::npos) {
      Fail("truncated");
      return {};
    }
    position_ += end + 1;
    return rest.substr(0, end);
  }

  PickleValue* New(Kind kind) {
    values_.emplace_back().kind = kind;
    return &values_.back();
  }

  void Push(PickleValue* value) { stack_.push_back(value); }
  void PushInt(int64_t integer) {
    Push(New(Kind::kInt));
    stack_.back()->integer = integer;
  }
  void PushText(absl::string_view text) {
    Push(New(Kind::kText));
    stack_.back()->text = std::string(text);
  }
  void PushClass(absl::string_view module, absl::string_view name) {
    if (module.size() + name.size() > kMaxClassName) {
      return Fail("a long class name");
    }
    Push(New(Kind::kClass));
    stack_.back()->text = absl::StrCat(module, ".", name);
  }
  void PushItems(std::vector<PickleValue*> items) {
    Push(New(Kind::kSequence));
    stack_.back()->items = std::move(items);
  }

  // What lies below the last mark is out of reach until the mark is taken.
  size_t Floor() const { return marks_.empty() ? 0 : marks_.back(); }

  PickleValue* Pop() {
    if (stack_.size() <= Floor()) {
      Fail("stack underflow");
      return New(Kind::kOther);
    }
    PickleValue* value = stack_.back();
    stack_.pop_back();
    return value;
  }

  PickleValue* Top() {
    if (stack_.size() <= Floor()) {
      Fail("stack underflow");
      return New(Kind::kOther);
    }
    return stack_.back();
  }

  std::vector<PickleValue*> PopToMark() {
    if (marks_.empty()) {
      Fail("no mark");
      return {};
    }
    std::vector<PickleValue*> items(stack_.begin() + marks_.back(),
                                    stack_.end());
    stack_.resize(marks_.back());
    marks_.pop_back();
    return items;
  }

  std::vector<PickleValue*> PopCount(int count) {
    std::vector<PickleValue*> items(count);
    for (int i = count; i-- > 0;) items[i] = Pop();
    return items;
  }

  // APPEND(S), SETITEM(S), ADDITEMS.
  void Extend(const std::vector<PickleValue*>& items) {
    PickleValue* target = Top();
    if (target->kind == Kind::kDict && items.size() % 2 != 0)
      Fail("a key without a value");
    target->items.insert(target->items.end(), items.begin(), items.end());
  }

  // A value that no tensor needs.
  void Skip(uint64_t size) {
    Bytes(size);
    Push(New(Kind::kOther));
  }

  void PersistentId() { PushCall(Kind::kPersistent, nullptr, Pop()); }

  // REDUCE and NEWOBJ: a call of a class or function, by name only.
  void Call() {
    PickleValue* arguments = Pop();
    PickleValue* callee = Pop();
    if (callee->text == "collections.OrderedDict")
      return Push(New(Kind::kDict));
    // LibTorch's way to annotate a value with its type.
    if (callee->text == "torch.jit._pickle.restore_type_tag" &&
        !arguments->items.empty()) {
      return Push(arguments->items[0]);
    }
    PushCall(Kind::kObject, callee, arguments);
  }

  void PushCall(Kind kind, const PickleValue* callee,
                const PickleValue* arguments) {
    Push(New(kind));
    stack_.back()->callee = callee;
    stack_.back()->arguments = arguments;
  }

  // A dict's state is the _metadata of Module.state_dict(): of no use here.
  void Build() {
    PickleValue* state = Pop();
    if (PickleValue* object = Top(); object->kind == Kind::kObject)
      object->state = state;
  }

  void StackGlobal() {
    const PickleValue* name = Pop();
    const PickleValue* module = Pop();
    PushClass(module->text, name->text);
  }

  void Global() {
    const absl::string_view module = Line();
    const absl::string_view name = Line();
    PushClass(module, name);
  }

  // LONG1: two's complement of any length; more than 8 bytes is no size of
  // ours.
  void Long(uint64_t size) {
    if (size > 8) return Fail("an integer of more than 8 bytes");
    uint64_t number = Number(static_cast<int>(size));
    if (size > 0 && size < 8 && (number >> (8 * size - 1)) != 0)
      number |= ~uint64_t{0} << (8 * size);
    PushInt(static_cast<int64_t>(number));
  }

  void Remember(uint64_t key) { memo_[key] = Top(); }

  void Recall(uint64_t key) {
    const auto found = memo_.find(key);
    if (found == memo_.end()) return Fail("an unknown memo");
    Push(found->second);
  }

  // One instruction a line.
  // clang-format off
  void Step(uint8_t op) {
    switch (op) {
      case 0x80: Number(1); break;                          // PROTO
      case 0x95: Number(8); break;                          // FRAME
      case '(': marks_.push_back(stack_.size()); break;     // MARK
      case '0': Pop(); break;                               // POP
      case '1': PopToMark(); break;                         // POP_MARK
      case '2': Push(Top()); break;                         // DUP
      case 'N': Push(New(Kind::kOther)); break;             // NONE
      case 0x88: PushInt(1); break;                         // NEWTRUE
      case 0x89: PushInt(0); break;                         // NEWFALSE
      case 'J': PushInt(static_cast<int32_t>(Number(4))); break;  // BININT
      case 'K': PushInt(Number(1)); break;                  // BININT1
      case 'M': PushInt(Number(2)); break;                  // BININT2
      case 0x8a: Long(Number(1)); break;                    // LONG1
      case 'G': Skip(8); break;                              // BINFLOAT
      case 'X': PushText(Bytes(Number(4))); break;          // BINUNICODE
      case 0x8c: PushText(Bytes(Number(1))); break;         // SHORT_BINUNICODE
      case 0x8d: PushText(Bytes(Number(8))); break;         // BINUNICODE8
      case 'U': PushText(Bytes(Number(1))); break;          // SHORT_BINSTRING
      case 'T': PushText(Bytes(Number(4))); break;          // BINSTRING
      case 'C': Skip(Number(1)); break;                      // SHORT_BINBYTES
      case 'B': Skip(Number(4)); break;                      // BINBYTES
      case ']': Push(New(Kind::kSequence)); break;          // EMPTY_LIST
      case ')': Push(New(Kind::kSequence)); break;          // EMPTY_TUPLE
      case 0x8f: Push(New(Kind::kSequence)); break;         // EMPTY_SET
      case '}': Push(New(Kind::kDict)); break;              // EMPTY_DICT
      case 'l': PushItems(PopToMark()); break;              // LIST
      case 't': PushItems(PopToMark()); break;              // TUPLE
      case 0x85: PushItems(PopCount(1)); break;             // TUPLE1
      case 0x86: PushItems(PopCount(2)); break;             // TUPLE2
      case 0x87: PushItems(PopCount(3)); break;             // TUPLE3
      case 'a': Extend(PopCount(1)); break;                 // APPEND
      case 'e': Extend(PopToMark()); break;                 // APPENDS
      case 0x90: Extend(PopToMark()); break;                // ADDITEMS
      case 's': Extend(PopCount(2)); break;                 // SETITEM
      case 'u': Extend(PopToMark()); break;                 // SETITEMS
      case 'c': Global(); break;                            // GLOBAL
      case 0x93: StackGlobal(); break;                      // STACK_GLOBAL
      case 'R': Call(); break;                              // REDUCE
      case 0x81: Call(); break;                             // NEWOBJ
      case 'b': Build(); break;                             // BUILD
      case 'Q': PersistentId(); break;                       // BINPERSID
      case 'q': Remember(Number(1)); break;                 // BINPUT
      case 'r': Remember(Number(4)); break;                 // LONG_BINPUT
      case 0x94: Remember(memo_.size()); break;             // MEMOIZE
      case 'h': Recall(Number(1)); break;                   // BINGET
      case 'j': Recall(Number(4)); break;                   // LONG_BINGET
      default: Fail(absl::StrCat("unsupported opcode ", static_cast<int>(op)));
    }
  }
  // clang-format on

  const absl::Span<const uint8_t> bytes_;
  size_t position_ = 0;
  std::deque<PickleValue>& values_;
  std::vector<PickleValue*> stack_;
  std::vector<size_t> marks_;  // stack sizes
  std::unordered_map<uint64_t, PickleValue*> memo_;
  absl::Status status_;
};

}  // namespace

absl::StatusOr<Pickle> Pickle::Parse(absl::Span<const uint8_t> bytes) {
  if (bytes.size() > kMaxBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("pickle: it has ", bytes.size(), " bytes; at most ",
                     kMaxBytes, " are allowed"));
  }
  Pickle pickle;
  absl::StatusOr<const PickleValue*> root =
      Machine(bytes, &pickle.values_).Run();
  if (!root.ok()) return root.status();
  pickle.root_ = *root;
  return pickle;
}

}  // namespace clip
