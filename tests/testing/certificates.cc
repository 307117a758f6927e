#include "tests/testing/certificates.h"

#include <stdlib.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <utility>

namespace testing_certificates {
namespace {

void RunOrEnd(const std::string& command) {
  if (std::system((command + " 2>/dev/null").c_str()) == 0) return;
  std::fprintf(stderr, "failed: %s\n", command.c_str());
  std::abort();
}

// Elliptic curves: made in milliseconds.
constexpr char kNewKey[] =
    "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
    "-days 2 ";

}  // namespace

Authority::Authority(std::string folder) : folder_(std::move(folder)) {
  RunOrEnd(kNewKey + std::string("-x509 -subj /CN=test-authority -keyout ") +
           KeyFile("ca") + " -out " + CaFile());
}

void Authority::Sign(const std::string& name) const {
  const std::string request = folder_ + "/" + name + ".csr";
  const std::string names = folder_ + "/" + name + ".names";
  std::ofstream(names) << "subjectAltName=IP:127.0.0.1,DNS:localhost\n";
  RunOrEnd(kNewKey + std::string("-subj /CN=") + name + " -keyout " +
           KeyFile(name) + " -out " + request);
  RunOrEnd("openssl x509 -req -days 2 -in " + request + " -CA " + CaFile() +
           " -CAkey " + KeyFile("ca") + " -CAcreateserial -extfile " + names +
           " -out " + CertFile(name));
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

std::string NewFolder() {
  const char* base = std::getenv("TMPDIR");
  std::string path =
      std::string(base == nullptr ? "/tmp" : base) + "/zeroshot_test_XXXXXX";
  if (mkdtemp(path.data()) == nullptr) std::abort();
  return path;
}

}  // namespace testing_certificates
