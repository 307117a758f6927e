// What GeneratePage is made of: a writer for each kind of page.
#ifndef ZEROSHOT_BASE_PAGE_WRITERS_H_
#define ZEROSHOT_BASE_PAGE_WRITERS_H_

#include <string>

#include "absl/strings/string_view.h"
#include "base/program_pages.h"

namespace base {

std::string ManPage(const ProgramPage& program);
std::string BashCompletion(const ProgramPage& program);
std::string ZshCompletion(const ProgramPage& program);
std::string FishCompletion(const ProgramPage& program);

// Of a flag's help, without its full stop.
absl::string_view FirstSentence(const FlagPage& flag);

}  // namespace base

#endif  // ZEROSHOT_BASE_PAGE_WRITERS_H_
