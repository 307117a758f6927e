#include "clip/torch/packed_linear.h"

#include <ATen/Context.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>

#include <optional>
#include <utility>

namespace clip {
namespace {

// The batch that packed weights are laid out for; they serve any.
constexpr int64_t kTypicalRows = 512;

bool CpuHasVnni() { return __builtin_cpu_supports("avx512vnni"); }

// An operator that is registered by name only. Empty where this LibTorch lacks
// it.
class Operator {
 public:
  explicit Operator(const char* name)
      : handle_(c10::Dispatcher::singleton().findSchema({name, ""})) {}

  explicit operator bool() const { return handle_.has_value(); }

  template <typename... Arguments>
  c10::IValue operator()(Arguments&&... arguments) const {
    torch::jit::Stack stack;
    (stack.emplace_back(std::forward<Arguments>(arguments)), ...);
    handle_->callBoxed(stack);
    return stack[0];
  }

 private:
  const std::optional<c10::OperatorHandle> handle_;
};

const Operator& ReorderWeight() {
  static const Operator op("mkldnn::_reorder_linear_weight");
  return op;
}
const Operator& Product() {
  static const Operator op("mkldnn::_linear_pointwise");
  return op;
}
const Operator& PackInt8() {
  static const Operator op("onednn::qlinear_prepack");
  return op;
}
const Operator& ProductInt8() {
  static const Operator op("onednn::qlinear_pointwise");
  return op;
}
const Operator& PackFbgemm() {
  static const Operator op("quantized::linear_prepack");
  return op;
}
const Operator& ProductFbgemm() {
  static const Operator op(
      "quantized::linear_with_input_q_dq_qweight_dq_output_fp32");
  return op;
}

c10::List<std::optional<at::Scalar>> NoScalars() {
  return c10::List<std::optional<at::Scalar>>();
}

ElementType TypeOf(const at::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kBFloat16:
      return ElementType::kBFloat16;
    case at::kByte:
      return ElementType::kUint8;
    default:
      return ElementType::kFloat32;
  }
}

float* Floats(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.data_ptr<float>() : nullptr;
}

// An activation as the product's operator names it, and which way of it.
struct NamedActivation {
  const char* name = "none";
  const char* way = "";
};

NamedActivation NameOf(std::optional<Activation> activation) {
  if (activation == Activation::kQuickGelu) return {"swish", ""};
  if (activation == Activation::kGelu) return {"gelu", "none"};
  if (activation == Activation::kTanhGelu) return {"gelu", "tanh"};
  return {};
}

}  // namespace

bool CpuHasBFloat16() { return __builtin_cpu_supports("avx512bf16"); }

RowsIn Rows::in() const {
  return {data.data_ptr(), TypeOf(data), data.stride(0), Floats(scales),
          Floats(bias)};
}

RowsOut Rows::out() const {
  return {data.data_ptr(), TypeOf(data), Floats(scales)};
}

Rows Rows::Select(const at::Tensor& indices) const {
  return {data.index_select(0, indices),
          scales.defined() ? scales.index_select(0, indices) : at::Tensor(),
          bias};
}

PackedLinear::PackedLinear(const at::Tensor& weight, const at::Tensor& bias,
                           CpuPrecision precision,
                           std::optional<Activation> activation)
    : precision_(precision),
      in_(weight.size(1)),
      out_(weight.size(0)),
      bias_(bias.defined() ? bias : at::zeros({weight.size(0)})) {
  if (precision == CpuPrecision::kInt8) {
    // By output channel, symmetric.
    const int64_t largest = CpuHasVnni() ? 127 : 63;
    scales_ = weight.abs().amax(1).clamp_min_(1e-20f) / largest;
    zeros_ = at::zeros({out_}, at::kLong);
    if (CpuHasVnni()) {
      weight_ =
          PackInt8()(at::round(weight / scales_.unsqueeze(1)).to(at::kChar),
                     c10::List<int64_t>({kTypicalRows, in_}));
    } else {
      at::globalContext().setQEngine(at::QEngine::FBGEMM);
      weight_ = PackFbgemm()(
          at::quantize_per_channel(weight, scales_.to(at::kDouble), zeros_,
                                   /*axis=*/0, at::kQInt8),
          c10::IValue());
    }
    return;
  }
  const bool packs =
      Product() && ReorderWeight() && at::globalContext().userEnabledMkldnn();
  // A float32 product in the place of a bfloat16 one would not round what it
  // activates.
  if (packs && (precision == CpuPrecision::kFp32 || CpuHasBFloat16())) {
    applied_ = activation;
  }
  at::Tensor plain = weight;
  if (applied_ == Activation::kQuickGelu) {
    // x sigmoid(1.702 x) is y sigmoid(y) / 1.702 of y = 1.702 x.
    factor_ = 1.702;
    plain = weight * factor_;
    bias_ = bias_ * factor_;
  }
  if (precision == CpuPrecision::kBf16) {
    plain = plain.to(at::kBFloat16);
    if (!CpuHasBFloat16()) plain = plain.to(at::kFloat);
  }
  bias_ = bias_.to(plain.scalar_type());
  weight_ = packs ? ReorderWeight()(plain, kTypicalRows) : c10::IValue(plain);
}

Rows PackedLinear::Input(int64_t n) const {
  switch (precision_) {
    case CpuPrecision::kFp32:
      return {at::empty({n, in_}, at::kFloat), {}, {}};
    case CpuPrecision::kBf16:
      return {at::empty({n, in_}, at::kBFloat16), {}, {}};
    case CpuPrecision::kInt8:
      return {at::empty({n, in_}, CpuHasVnni() ? at::kByte : at::kFloat),
              at::empty({n}, at::kFloat),
              {}};
  }
  return {};
}

Rows PackedLinear::operator()(const Rows& x) const {
  if (precision_ == CpuPrecision::kInt8) {
    if (!CpuHasVnni()) {
      return {ProductFbgemm()(x.data, 1.0, int64_t{128}, weight_).toTensor(),
              x.scales, bias_};
    }
    const at::ScalarType type = CpuHasBFloat16() ? at::kBFloat16 : at::kFloat;
    return {ProductInt8()(x.data, 1.0, int64_t{128}, weight_, scales_, zeros_,
                          c10::IValue(), 1.0, int64_t{0}, type, "none",
                          NoScalars(), "")
                .toTensor(),
            x.scales, bias_};
  }
  const at::Tensor& weight = weight_.toTensor();
  const at::Tensor data = x.data.to(weight.scalar_type());
  if (!weight.is_mkldnn()) return {at::linear(data, weight, bias_), {}, {}};
  const NamedActivation applied = NameOf(applied_);
  return {Product()(data, weight, bias_, applied.name, NoScalars(), applied.way)
              .toTensor(),
          {},
          {}};
}

}  // namespace clip
