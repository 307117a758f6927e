// The pages for browsers: / and /docs. Each is one file, embedded, that asks
// this server only: a Content-Security-Policy names the hashes of its scripts
// and styles and allows nothing else.
#ifndef ZEROSHOT_SERVER_HTTP_PAGES_H_
#define ZEROSHOT_SERVER_HTTP_PAGES_H_

#include <string>

#include "absl/strings/string_view.h"
#include "server/http/message.h"

namespace zeroshot::server::http {

Response MainPage();
Response DocsPage();

// The policy for a page whose <script> and <style> elements have no attributes.
std::string PolicyFor(absl::string_view html);

}  // namespace zeroshot::server::http

#endif  // ZEROSHOT_SERVER_HTTP_PAGES_H_
