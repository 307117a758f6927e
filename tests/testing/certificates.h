// Certificates made at test time with the openssl program.
#ifndef ZEROSHOT_TESTS_TESTING_CERTIFICATES_H_
#define ZEROSHOT_TESTS_TESTING_CERTIFICATES_H_

#include <string>

namespace testing_certificates {

// An authority and certificates signed by it, as PEM files in a folder of
// their own. Thread rule: one thread.
class Authority {
 public:
  // Makes the authority in `folder`, which must be there.
  explicit Authority(std::string folder);

  // Makes NAME.crt and NAME.key: a certificate for 127.0.0.1 and localhost
  // whose common name is NAME.
  void Sign(const std::string& name) const;

  std::string CaFile() const { return folder_ + "/ca.crt"; }
  std::string CertFile(const std::string& name) const {
    return folder_ + "/" + name + ".crt";
  }
  std::string KeyFile(const std::string& name) const {
    return folder_ + "/" + name + ".key";
  }

 private:
  const std::string folder_;
};

std::string ReadFile(const std::string& path);

// A new empty folder for one test.
std::string NewFolder();

}  // namespace testing_certificates

#endif  // ZEROSHOT_TESTS_TESTING_CERTIFICATES_H_
