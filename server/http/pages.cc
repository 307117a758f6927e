#include "server/http/pages.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/sha256.h"
#include "server/http/embedded_pages.h"

namespace zeroshot::server::http {
namespace {

// 'sha256-...' of what stands in each <NAME> of the page; 'none' if there is
// none.
std::string HashesOf(absl::string_view html, absl::string_view name) {
  const std::string open = absl::StrCat("<", name, ">");
  const std::string close = absl::StrCat("</", name, ">");
  std::string hashes;
  size_t at = 0;
  while ((at = html.find(open, at)) != html.npos) {
    at += open.size();
    const size_t end = html.find(close, at);
    if (end == html.npos) break;
    base::Sha256 hash;
    hash.Update(html.substr(at, end - at));
    absl::StrAppend(&hashes, hashes.empty() ? "" : " ", "'sha256-",
                    absl::Base64Escape(hash.Digest()), "'");
    at = end;
  }
  return hashes.empty() ? "'none'" : hashes;
}

Response PageOf(absl::string_view html, const std::string& policy) {
  Response response;
  response.content_type = "text/html; charset=utf-8";
  response.headers = {{"Content-Security-Policy", policy},
                      {"Referrer-Policy", "no-referrer"},
                      {"Permissions-Policy", "camera=(self)"},
                      {"Cache-Control", "no-cache"}};
  response.body = std::string(html);
  return response;
}

}  // namespace

std::string PolicyFor(absl::string_view html) {
  return absl::StrCat("default-src 'none'; script-src ",
                      HashesOf(html, "script"), "; style-src ",
                      HashesOf(html, "style"),
                      "; img-src 'self' data: blob:; media-src blob:; "
                      "connect-src 'self'; base-uri 'none'; form-action "
                      "'none'; frame-ancestors 'none'");
}

Response MainPage() {
  static const auto* const policy =
      new std::string(PolicyFor(embedded::page_html()));
  return PageOf(embedded::page_html(), *policy);
}

Response DocsPage() {
  static const auto* const policy =
      new std::string(PolicyFor(embedded::docs_html()));
  return PageOf(embedded::docs_html(), *policy);
}

}  // namespace zeroshot::server::http
