// Says whether an image shows a cat or a dog.
#ifndef PETS_H_
#define PETS_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "client/classifier.h"
#include "client/client_interface.h"

class Pets {
 public:
  // Borrows the client: a server's, or a test's.
  static absl::StatusOr<Pets> Make(zeroshot::client::ClientInterface* client);

  // "cat 97 %". InvalidArgument: the bytes are no image. Others: the
  // client's.
  absl::StatusOr<std::string> Describe(const std::string& image) const;

 private:
  explicit Pets(std::unique_ptr<zeroshot::client::Classifier> classifier)
      : classifier_(std::move(classifier)) {}

  std::unique_ptr<zeroshot::client::Classifier> classifier_;
};

#endif  // PETS_H_
