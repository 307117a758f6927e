// A server that asks for tokens: `shop-token` may classify, `trainer-token` may
// build too.
#ifndef ZEROSHOT_TESTS_SERVER_WITH_TOKENS_H_
#define ZEROSHOT_TESTS_SERVER_WITH_TOKENS_H_

#include <fstream>
#include <string>

#include "server/options.h"
#include "tests/testing/certificates.h"

namespace zeroshot::server {

inline ServerOptions WithTokens() {
  const std::string file = testing_certificates::NewFolder() + "/tokens";
  // printf %s TOKEN | sha256sum.
  std::ofstream(file)
      << "shop classify "
         "88cc4600551e64b7cb97dd7f63ebad405255e5d17bdd71ee9fe1ed5cc20d0b3b\n"
         "trainer classify,build "
         "7913868486a8f53bb47d4c0557d26493dc77536998063d945da4705649deabfc\n";
  ServerOptions options;
  options.security.auth_tokens = file;
  return options;
}

}  // namespace zeroshot::server

#endif  // ZEROSHOT_TESTS_SERVER_WITH_TOKENS_H_
