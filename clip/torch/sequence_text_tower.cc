#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "clip/torch/cpu_transformer.h"
#include "clip/torch/step_rows.h"
#include "clip/torch/text_tower.h"
#include "clip/torch/transformer.h"

namespace clip {
namespace {

// Token positions computed at once.
constexpr int64_t kPositionsCpu = 2048;
constexpr int64_t kPositionsCuda = 32768;

// The tokens of sequences, one sequence after the other, those of equal length
// next to each other. The tensors are int64 and on the CPU.
struct TokenRows {
  at::Tensor ids, places;         // [rows]; places are of the positions
  std::vector<SequencesOf> runs;  // in the order of the rows
  at::Tensor pooled;              // [n], rows; undefined: the mean of each
};

class SequenceTextTower : public TextTower {
 public:
  explicit SequenceTextTower(const WeightLoader& loader)
      : architecture_(loader.architecture()),
        options_(at::TensorOptions(loader.compute().device)
                     .dtype(loader.compute().dtype)),
        tokens_(loader),
        positions_(loader.Matrix("positional_embedding")),
        projection_(loader, "text_projection") {
    if (architecture_.text.norm_after) {
      positions_ = positions_ + loader.Matrix("token_type_embedding");
      ln_pre_ = LayerNorm(loader, "ln_pre", architecture_.text.norm_epsilon);
    }
  }

  int64_t Positions(const TokenTrie& trie) const override {
    int64_t positions = 0;
    for (const Batch& batch : Batches(trie)) positions += batch.rows;
    return positions;
  }

  at::Tensor Encode(const TokenTrie& trie) const override {
    const at::Tensor embeddings =
        at::empty({trie.num_ends(), architecture_.embedding_dim}, options_);
    for (const Batch& batch : Batches(trie)) {
      const TokenRows rows = RowsOf(trie, batch);
      const at::Tensor x = Transformed(rows);
      std::vector<int64_t> ends;
      for (const Sequence& sequence : batch.sequences)
        ends.push_back(sequence.end);
      embeddings.index_copy_(
          0, at::tensor(ends, at::kLong).to(options_.device()),
          projection_(rows.pooled.defined() ? x : Means(x, rows.runs))
              .narrow(0, 0, static_cast<int64_t>(ends.size())));
    }
    return embeddings;
  }

 protected:
  const Architecture& architecture() const { return architecture_; }
  bool HasClassToken() const {
    return architecture_.text_pool == TextPool::kClass;
  }
  at::Device device() const { return positions_.device(); }

  // What goes into the first block, [rows, width].
  at::Tensor Embedded(const at::Tensor& ids, const at::Tensor& places) const {
    const at::Tensor x =
        tokens_(ids.to(device())) + positions_.index_select(0, places);
    return ln_pre_.weight.defined() ? ln_pre_(x) : x;
  }

 private:
  // Rows behind the transformer, [n, width], those that are pooled; all of them
  // where the mean is.
  virtual at::Tensor Transformed(const TokenRows& rows) const = 0;
  // How many rows are computed for so many.
  virtual int64_t RowsFor(int64_t rows) const { return rows; }

  struct Sequence {
    int64_t end;     // of the trie
    int64_t length;  // without padding
  };

  // Sequences that go through the tower together.
  struct Batch {
    std::vector<Sequence> sequences;
    int64_t rows = 0;
  };

  // One sequence, as the tower gets it.
  struct Tokens {
    std::vector<int64_t> ids, places;
  };

  // A text may spell the token that pads.
  bool IsMasked(int64_t id) const {
    return architecture_.text_mask == TextMask::kPadding &&
           id == architecture_.pad_token;
  }

  static absl::Span<const int32_t> NodesOf(const TokenTrie& trie, int64_t end) {
    const int32_t node = trie.ends[end];
    return absl::MakeConstSpan(trie.ancestors)
        .subspan(trie.offsets[node], trie.depths[node] + 1);
  }

  Sequence SequenceOf(const TokenTrie& trie, int64_t end) const {
    int64_t length = 0;
    for (const int32_t node : NodesOf(trie, end))
      length += IsMasked(trie.tokens[node]) ? 0 : 1;
    return {end, std::max<int64_t>(length, 1)};  // of nothing there is no mean
  }

  // Its tokens without those that are masked, in `length` rows.
  Tokens TokensOf(const TokenTrie& trie, const Sequence& sequence,
                  int64_t length) const {
    Tokens tokens;
    const absl::Span<const int32_t> nodes = NodesOf(trie, sequence.end);
    for (size_t place = 0; place < nodes.size(); ++place) {
      const int64_t id = trie.tokens[nodes[place]];
      if (IsMasked(id)) continue;
      tokens.places.push_back(architecture_.padding_has_places
                                  ? static_cast<int64_t>(place)
                                  : static_cast<int64_t>(tokens.ids.size()));
      tokens.ids.push_back(id);
    }
    const int64_t missing = length - static_cast<int64_t>(tokens.ids.size());
    if (missing == 0) return tokens;
    tokens.ids.insert(
        architecture_.pad_left ? tokens.ids.begin() : tokens.ids.end(), missing,
        architecture_.pad_token);
    if (HasClassToken()) tokens.ids.back() = architecture_.vocab_size;
    tokens.places.resize(length);
    std::iota(tokens.places.begin(), tokens.places.end(), 0);
    return tokens;
  }

  // Sequences of similar length together.
  std::vector<Batch> Batches(const TokenTrie& trie) const {
    std::vector<Sequence> sequences;
    for (int64_t end = 0; end < trie.num_ends(); ++end)
      sequences.push_back(SequenceOf(trie, end));
    std::stable_sort(sequences.begin(), sequences.end(),
                     [](const Sequence& a, const Sequence& b) {
                       return a.length < b.length;
                     });
    const int64_t bound =
        options_.device().is_cuda() ? kPositionsCuda : kPositionsCpu;
    std::vector<Batch> batches;
    for (const Sequence& sequence : sequences) {
      // With padding all are as long as the longest, which comes last.
      const auto rows_with = [&](const Batch& batch) -> int64_t {
        const int64_t n = static_cast<int64_t>(batch.sequences.size()) + 1;
        if (HasClassToken()) return n * (architecture_.context_length + 1);
        switch (architecture_.text_mask) {
          case TextMask::kCausal:
            return n * sequence.length;
          case TextMask::kNone:
            return n * architecture_.context_length;
          case TextMask::kPadding:
            break;
        }
        return batch.rows + sequence.length;
      };
      if (batches.empty() || rows_with(batches.back()) > bound)
        batches.emplace_back();
      Batch& batch = batches.back();
      batch.rows = rows_with(batch);
      batch.sequences.push_back(sequence);
    }
    return batches;
  }

  TokenRows RowsOf(const TokenTrie& trie, const Batch& batch) const {
    TokenRows rows;
    std::vector<int64_t> ids, places, pooled;
    const auto add = [&](absl::Span<const int64_t> more_ids,
                         absl::Span<const int64_t> more_places) {
      const int64_t length = static_cast<int64_t>(more_ids.size());
      if (rows.runs.empty() || rows.runs.back().length != length)
        rows.runs.push_back({0, length});
      ++rows.runs.back().count;
      pooled.push_back(static_cast<int64_t>(ids.size()) +
                       PooledPlace(more_ids));
      ids.insert(ids.end(), more_ids.begin(), more_ids.end());
      places.insert(places.end(), more_places.begin(), more_places.end());
    };
    const bool padded = architecture_.text_mask != TextMask::kPadding;
    const int64_t n = static_cast<int64_t>(batch.sequences.size());
    for (const Sequence& sequence : batch.sequences) {
      const Tokens tokens =
          TokensOf(trie, sequence, padded ? batch.rows / n : sequence.length);
      add(tokens.ids, tokens.places);
    }
    // Sequences of no meaning behind the others.
    for (int64_t more = RowsFor(batch.rows) - batch.rows; more > 0;) {
      const int64_t length =
          std::min<int64_t>(more, architecture_.context_length);
      const std::vector<int64_t> zeros(length);
      add(zeros, zeros);
      more -= length;
    }
    rows.ids = at::tensor(ids, at::kLong);
    rows.places = at::tensor(places, at::kLong);
    if (architecture_.text_pool != TextPool::kMean)
      rows.pooled = at::tensor(pooled, at::kLong);
    return rows;
  }

  int64_t PooledPlace(absl::Span<const int64_t> ids) const {
    switch (architecture_.text_pool) {
      case TextPool::kHighest:
        return std::max_element(ids.begin(), ids.end()) - ids.begin();
      case TextPool::kFirst:
      case TextPool::kMean:
        return 0;
      case TextPool::kLast:
      case TextPool::kClass:
        return static_cast<int64_t>(ids.size()) - 1;
      case TextPool::kEnd: {
        const auto end =
            std::find(ids.begin(), ids.end(), architecture_.end_token);
        return end == ids.end() ? 0 : end - ids.begin();
      }
    }
    return 0;
  }

  static at::Tensor Means(const at::Tensor& x,
                          const std::vector<SequencesOf>& runs) {
    std::vector<at::Tensor> means;
    int64_t row = 0;
    for (const SequencesOf& run : runs) {
      means.push_back(x.narrow(0, row, run.count * run.length)
                          .view({run.count, run.length, -1})
                          .mean(1));
      row += run.count * run.length;
    }
    return at::cat(means);
  }

  const Architecture architecture_;
  const at::TensorOptions options_;  // of what it computes with
  const TokenTable tokens_;
  at::Tensor positions_;  // [context, width]
  LayerNorm ln_pre_;      // its weight undefined: none
  const Projection projection_;
};

// WithClassTokens' rule: ids [n, length] to [n, 1, length, length].
at::Tensor ClassMask(const at::Tensor& ids) {
  const int64_t n = ids.size(0), length = ids.size(1);
  at::Tensor seen = at::ones({n, length}, at::kBool);
  seen.narrow(1, 1, length - 1).copy_(ids.narrow(1, 0, length - 1) != 0);
  return seen.view({n, 1, 1, length})
      .logical_and(at::ones({length, length}, at::kBool).tril());
}

class AnyDeviceSequenceTextTower : public SequenceTextTower {
 public:
  explicit AnyDeviceSequenceTextTower(const WeightLoader& loader)
      : SequenceTextTower(loader),
        transformer_(loader, "transformer", architecture().text) {
    if (!architecture().text.norm_after) {
      ln_final_ =
          LayerNorm(loader, "ln_final", architecture().text.norm_epsilon);
    }
  }

 private:
  at::Tensor Transformed(const TokenRows& rows) const override {
    const at::Tensor x = Embedded(rows.ids, rows.places.to(device()));
    std::vector<at::Tensor> parts;
    int64_t row = 0;
    for (const SequencesOf& run : rows.runs) {
      const int64_t count = run.count * run.length;
      const std::vector<int64_t> shape = {run.count, run.length};
      const at::Tensor mask =
          HasClassToken()
              ? ClassMask(rows.ids.narrow(0, row, count).view(shape))
                    .to(device())
              : at::Tensor();
      parts.push_back(
          transformer_(
              x.narrow(0, row, count).view({run.count, run.length, x.size(1)}),
              architecture().text_mask == TextMask::kCausal,
              /*rotary=*/nullptr, mask)
              .flatten(0, 1));
      row += count;
    }
    at::Tensor y = parts.size() == 1 ? parts[0] : at::cat(parts);
    if (rows.pooled.defined()) y = y.index_select(0, rows.pooled.to(device()));
    return ln_final_.weight.defined() ? ln_final_(y) : y;
  }

  const Transformer transformer_;
  LayerNorm ln_final_;  // its weight undefined: none
};

// Of the different pairs of id and place: where each is first, and for all rows
// which of them it has.
struct DistinctRows {
  explicit DistinctRows(const TokenRows& rows) {
    const int64_t count = rows.ids.numel();
    const int64_t* id = rows.ids.data_ptr<int64_t>();
    const int64_t* place = rows.places.data_ptr<int64_t>();
    std::vector<int64_t> order(count);
    std::iota(order.begin(), order.end(), 0);
    const auto key = [&](int64_t i) { return std::pair(place[i], id[i]); };
    std::sort(order.begin(), order.end(),
              [&](int64_t a, int64_t b) { return key(a) < key(b); });
    which = at::empty({count}, at::kLong);
    for (int64_t i = 0; i < count; ++i) {
      if (i == 0 || key(order[i]) != key(order[i - 1]))
        first.push_back(order[i]);
      which.data_ptr<int64_t>()[order[i]] =
          static_cast<int64_t>(first.size()) - 1;
    }
    // Few numbers of rows: step_rows.h.
    first.resize(
        RoundUpRows(static_cast<int64_t>(first.size()), kNodesPerOctave),
        first[0]);
  }

  std::vector<int64_t> first;
  at::Tensor which;  // int64
};

// On the CPU, where no token sees only what is before it.
class CpuSequenceTextTower : public SequenceTextTower {
 public:
  CpuSequenceTextTower(const WeightLoader& loader, CpuPrecision precision)
      : SequenceTextTower(loader.InFloat32()),
        transformer_(loader, "transformer", architecture().text,
                     architecture().text.norm_after ? "" : "ln_final",
                     /*keeps_some=*/architecture().text_pool != TextPool::kMean,
                     precision) {}

 private:
  // Padded sequences are alike in length as it is.
  int64_t RowsFor(int64_t rows) const override {
    return architecture().text_mask == TextMask::kPadding
               ? RoundUpRows(rows, kNodesPerOctave)
               : rows;
  }

  // Texts have much in common: how they begin, and their padding.
  at::Tensor Transformed(const TokenRows& rows) const override {
    const DistinctRows distinct(rows);
    const at::Tensor first = at::tensor(distinct.first, at::kLong);
    return transformer_.Run(
        Embedded(rows.ids.index_select(0, first),
                 rows.places.index_select(0, first)),
        rows.pooled, WithinSequences(rows.runs, architecture().text.heads),
        distinct.which);
  }

  const CpuTransformer transformer_;
};

}  // namespace

std::unique_ptr<TextTower> MakeSequenceTextTower(const WeightLoader& loader) {
  return std::make_unique<AnyDeviceSequenceTextTower>(loader);
}

std::unique_ptr<TextTower> MakeCpuSequenceTextTower(const WeightLoader& loader,
                                                    CpuPrecision precision) {
  return std::make_unique<CpuSequenceTextTower>(loader, precision);
}

}  // namespace clip
