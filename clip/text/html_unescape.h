// HTML character references, by the two rules that the reference applies:
// Python's html.unescape and ftfy's cautious variant.
#ifndef ZEROSHOT_CLIP_TEXT_HTML_UNESCAPE_H_
#define ZEROSHOT_CLIP_TEXT_HTML_UNESCAPE_H_

#include <string>
#include <string_view>

namespace clip {

// html.unescape: all names of HTML5, those that may lack their semicolon too
// (the longest name that begins the text wins), and numbers with the
// standard's corrections.
//
// A number of more than 4,300 digits makes Python 3.11 raise; here it is what
// every number above 10FFFF is, U+FFFD.
std::u32string HtmlUnescape(std::u32string_view text);

// ftfy.fixes.unescape_html: only references of at most 24 letters or digits
// and a semicolon, but upper-cased names such as &NTILDE; too.
std::u32string FtfyUnescapeHtml(std::u32string_view text);

}  // namespace clip

#endif  // ZEROSHOT_CLIP_TEXT_HTML_UNESCAPE_H_
