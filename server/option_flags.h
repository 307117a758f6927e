// The table of the server's flags: a line each, with the option that it sets.
#ifndef ZEROSHOT_SERVER_OPTION_FLAGS_H_
#define ZEROSHOT_SERVER_OPTION_FLAGS_H_

#include <string>

#include "clip/image_formats.h"
#include "server/flags.h"
#include "server/options.h"
#include "stores/redis_client.h"

namespace zeroshot::server {

// What is set otherwise than by a field of Options.
struct FlagExtras {
  std::string flagfile;
  std::string image_formats = clip::ImageFormats::OnByDefault().List();
  std::string http_cors_origins;
  std::string redis_url;
  stores::RedisOptions redis;  // ca_file and timeout
  bool check = false, help = false, version = false;
  std::string generate;
};

// Both are set by flags->Parse and outlive `flags`.
void DeclareFlags(Flags* flags, Options* options, FlagExtras* extras);

}  // namespace zeroshot::server

#endif  // ZEROSHOT_SERVER_OPTION_FLAGS_H_
