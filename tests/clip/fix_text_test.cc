#include "clip/text/fix_text.h"

#include <string>

#include "clip/text/html_unescape.h"
#include "clip/text/mojibake.h"
#include "gtest/gtest.h"

namespace clip {
namespace {

TEST(FixTextTest, MendsMojibake) {
  EXPECT_EQ(FixText(U"âœ” No problems"), U"✔ No problems");
  EXPECT_EQ(FixText(U"sÃ³"), U"só");
  EXPECT_EQ(FixText(U"voilÃ le travail"), U"voilà le travail");
  EXPECT_EQ(FixText(U"l’humanitÃƒÂ©"), U"l'humanité");
}

TEST(FixTextTest, LeavesWellFormedTextAlone) {
  for (const std::u32string text :
       {U"a photo of a café", U"¿Qué?", U"Ångström", U"日本語", U"Привет",
        U"👩‍👩‍👧"}) {
    EXPECT_EQ(FixText(text), text);
  }
}

TEST(FixTextTest, MendsPartsOfDifferentEncodings) {
  EXPECT_EQ(FixText(U"– Ã©tÃ© 日本語"), U"– été 日本語");
}

TEST(FixTextTest, ReplacesLigaturesWidthsAndQuotes) {
  EXPECT_EQ(FixText(U"ﬂuﬃeﬆ"), U"fluffiest");
  EXPECT_EQ(FixText(U"ＬＯＵＤ　Ｕﾀｰﾝ"), U"LOUD Uターン");
  EXPECT_EQ(FixText(U"“here’s”"), U"\"here's\"");
}

TEST(FixTextTest, RemovesTerminalEscapesAndControls) {
  EXPECT_EQ(FixText(U"\x1B[36;44mblue\x1B[0m\x07"), U"blue");
  EXPECT_EQ(FixText(U"a\r\nb\rc\u2028"), U"a\nb\nc\n");
}

TEST(FixTextTest, UnescapesReferencesUntilALineHasATag) {
  EXPECT_EQ(FixText(U"&eacute;&EACUTE;\n<b>&eacute;\n&eacute;"),
            U"éÉ\n<b>&eacute;\n&eacute;");
}

TEST(MojibakeTest, DecodesVariantsOfUtf8) {
  EXPECT_EQ(DecodeUtf8Variants("a\xC0\x80"), std::u32string(U"a\0", 2));
  EXPECT_EQ(DecodeUtf8Variants("\xED\xA0\xBD\xED\xB8\x8D"), U"\U0001F60D");
  EXPECT_EQ(DecodeUtf8Variants("\xED\xA0\xBD\xED\xB8"), std::nullopt);
  EXPECT_EQ(DecodeUtf8Variants("\xC0"), std::nullopt);
  EXPECT_EQ(DecodeUtf8Variants("\xE2\x82"), std::nullopt);
}

// The reference's expressions end in `$`, which matches before a last newline.
TEST(MojibakeTest, TakesALastNewlineForACutByte) {
  EXPECT_EQ(DecodeUtf8Variants("\xC0\n"), std::u32string(U"\0", 1));
  EXPECT_EQ(DecodeUtf8Variants("\xC0\nx"), std::nullopt);
  EXPECT_EQ(DecodeUtf8Variants("\xED\xA0\xBD\xED\xB8\n"), U"\U0001F60A");
}

TEST(MojibakeTest, RestoresByteA0) {
  EXPECT_EQ(RestoreByteA0("\xC3 la"), "\xC3\xA0 la");
  EXPECT_EQ(RestoreByteA0("\xC3 quele"), "\xC3\xA0quele");
  EXPECT_EQ(RestoreByteA0("\xE2 \x84"), "\xE2\xA0\x84");
  EXPECT_EQ(RestoreByteA0("\xE2 \x85"), "\xE2 \x85");
}

TEST(MojibakeTest, ReplacesLossySequences) {
  EXPECT_EQ(ReplaceLossySequences("\xE2\x80\x1A"), "\xEF\xBF\xBD");
  EXPECT_EQ(ReplaceLossySequences("\xC3?"), "\xEF\xBF\xBD");
  EXPECT_EQ(ReplaceLossySequences("\xC4?"), "\xC4?");
  EXPECT_EQ(ReplaceLossySequences("a\x1A"), "a\xEF\xBF\xBD");
}

TEST(HtmlUnescapeTest, TakesTheLongestName) {
  EXPECT_EQ(HtmlUnescape(U"&notit; &notin; &amp &zzz;"), U"¬it; ∉ & &zzz;");
}

TEST(HtmlUnescapeTest, CorrectsNumbersAsHtml5Does) {
  EXPECT_EQ(HtmlUnescape(U"&#128;&#x80&#0;&#xD800;&#x110000;&#1;&#xFFFE;"),
            U"€€\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(HtmlUnescape(U"&#99999999999999999999;"), U"\uFFFD");
  EXPECT_EQ(HtmlUnescape(U"&#; &#x; &"), U"&#; &#x; &");
}

TEST(HtmlUnescapeTest, IsCautiousWhereFtfyIs) {
  EXPECT_EQ(FtfyUnescapeHtml(U"this&not that &amp &#59; &nTILDE; &NTILDE;"),
            U"this&not that &amp &#59; &nTILDE; Ñ");
}

}  // namespace
}  // namespace clip
