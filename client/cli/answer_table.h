// What people see of answers: lines such as `frog.png   frog 93.1 %   turtle
// 2.0 %`, in columns; of several weight sets a line each, the beginning of its
// id before the guesses.
//
// Thread rule: use from one thread.
#ifndef ZEROSHOT_CLIENT_CLI_ANSWER_TABLE_H_
#define ZEROSHOT_CLIENT_CLI_ANSWER_TABLE_H_

#include <string>
#include <vector>

#include "client/cli/answers.h"
#include "client/cli/console.h"
#include "client/types.h"

namespace zeroshot::client {

class AnswerTable {
 public:
  // `labels`: those that are known before, which give the first column's width,
  // as the sets' class names do the others'. Borrows the console.
  AnswerTable(const Console& console, const std::vector<std::string>& labels,
              const std::vector<WeightSet>& sets);

  void Print(const std::string& label, const Answers& shown);

 private:
  std::string Guesses(const Answer& answer) const;
  std::string Other(const Answer& answer) const;
  // As many as there are guesses.
  static std::string Groups(const Answer& answer);

  const Console& console_;
  const bool colour_;
  int label_columns_ = 0;
  int class_columns_ = 0;
};

}  // namespace zeroshot::client

#endif  // ZEROSHOT_CLIENT_CLI_ANSWER_TABLE_H_
