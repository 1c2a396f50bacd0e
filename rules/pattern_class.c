/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Classes of characters, from RE2's to PCRE2's: written as ranges, so that neither engine's idea of
 * "\\s" or "[:^alpha:]" counts, and with what a case-insensitive RE2 takes in before it negates.
 */
#include "rules/pattern_translation.h"

#include <stdio.h>
#include <string.h>

#include "rules/ascii.h"

/* RE2 takes in what a class folds to before it negates it; PCRE2 folds what is left. */
#define FOLDED "not supported: where case does not matter, "

/* What folds to an ASCII letter, K and long s, is no other letter where the case does not matter. */
#define OTHERS	      "\\x{10FFFF}"
#define OTHERS_FOLDED "\\x{17E}\\x{180}-\\x{2129}\\x{212B}-\\x{10FFFF}"

/* \d \D \s \S \w \W. In RE2 \s has no vertical tab, in PCRE2 it has. */
bool translation_perl_class(struct translation *t, unsigned long c, bool in_class)
{
	switch (c) {
	case 'd':
		translation_put(t, in_class ? "0-9" : "[0-9]");
		return true;
	case 'D':
		translation_put(t, in_class ? "\\x{0}-/:-\\x{10FFFF}" : "[^0-9]");
		return true;
	case 's':
		translation_put(t, in_class ? "\\t\\n\\f\\r\\x20" : "[\\t\\n\\f\\r\\x20]");
		return true;
	case 'S':
		translation_put(t, in_class ? "\\x{0}-\\x{8}\\x{B}\\x{E}-\\x{1F}!-\\x{10FFFF}"
				: "[^\\t\\n\\f\\r\\x20]");
		return true;
	case 'w':
		translation_put(t, in_class ? "0-9A-Za-z_" : "[0-9A-Za-z_]");
		return true;
	case 'W':
		translation_put(t, in_class ? "\\x{0}-/:-@\\x{5B}-\\x{5E}`\\x{7B}-" : "[^0-9A-Za-z_]");
		if (in_class)
			translation_put(t, t->flags.fold ? OTHERS_FOLDED : OTHERS);
		return true;
	default:
		return false;
	}
}

/* PCRE2 takes the names in any case, and short ones; RE2 takes these. */
static const char categories[] =
    " Any C Cc Cf Co Cs L Ll Lm Lo Lt Lu M Mc Me Mn N Nd Nl No P Pc Pd Pe Pf Pi Po Ps S Sc Sk Sm "
    "So Z Zl Zp Zs ";
static const char scripts[] =
    " "
    "Adlam Ahom Anatolian_Hieroglyphs Arabic Armenian Avestan Balinese Bamum "
    "Bassa_Vah Batak Bengali Bhaiksuki Bopomofo Brahmi Braille Buginese Buhid "
    "Canadian_Aboriginal Carian Caucasian_Albanian Chakma Cham Cherokee "
    "Chorasmian Common Coptic Cuneiform Cypriot Cypro_Minoan Cyrillic Deseret "
    "Devanagari Dives_Akuru Dogra Duployan Egyptian_Hieroglyphs Elbasan Elymaic "
    "Ethiopic Georgian Glagolitic Gothic Grantha Greek Gujarati Gunjala_Gondi "
    "Gurmukhi Han Hangul Hanifi_Rohingya Hanunoo Hatran Hebrew Hiragana "
    "Imperial_Aramaic Inherited Inscriptional_Pahlavi Inscriptional_Parthian "
    "Javanese Kaithi Kannada Katakana Kayah_Li Kharoshthi Khitan_Small_Script "
    "Khmer Khojki Khudawadi Lao Latin Lepcha Limbu Linear_A Linear_B Lisu Lycian "
    "Lydian Mahajani Makasar Malayalam Mandaic Manichaean Marchen Masaram_Gondi "
    "Medefaidrin Meetei_Mayek Mende_Kikakui Meroitic_Cursive Meroitic_Hieroglyphs "
    "Miao Modi Mongolian Mro Multani Myanmar Nabataean Nandinagari New_Tai_Lue "
    "Newa Nko Nushu Nyiakeng_Puachue_Hmong Ogham Ol_Chiki Old_Hungarian "
    "Old_Italic Old_North_Arabian Old_Permic Old_Persian Old_Sogdian "
    "Old_South_Arabian Old_Turkic Old_Uyghur Oriya Osage Osmanya Pahawh_Hmong "
    "Palmyrene Pau_Cin_Hau Phags_Pa Phoenician Psalter_Pahlavi Rejang Runic "
    "Samaritan Saurashtra Sharada Shavian Siddham SignWriting Sinhala Sogdian "
    "Sora_Sompeng Soyombo Sundanese Syloti_Nagri Syriac Tagalog Tagbanwa Tai_Le "
    "Tai_Tham Tai_Viet Takri Tamil Tangsa Tangut Telugu Thaana Thai Tibetan "
    "Tifinagh Tirhuta Toto Ugaritic Vai Vithkuqi Wancho Warang_Citi Yezidi Yi "
    "Zanabazar_Square ";
/* Of later versions of Unicode than PCRE2's. */
static const char unknown_scripts[] = " Kawi Nag_Mundari ";

static bool is_among(const char *names, const char *name)
{
	size_t len = strlen(name);

	for (const char *at = names; len && (at = strstr(at, name)); at++)
		if (at > names && at[-1] == ' ' && at[len] == ' ')
			return true;
	return false;
}

/* What the characters of a property fold to beside themselves, as far as RE2 knows. */
static const char *folded_into(const char *name)
{
	static const struct {
		const char *names, *others;
	} all[] = {
	    {" L ", "\\x{345}"},
	    {" M Mn Inherited ", "\\x{399}"},
	    {" Greek ", "\\x{B5}\\x{345}"},
	    {" Common ", "\\x{3BC}"},
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (is_among(all[i].names, name))
			return all[i].others;
	return "";
}

static int put_property(struct translation *t, const char *name, bool negated, bool in_class)
{
	const char *others = t->flags.fold ? folded_into(name) : "";
	char text[48];
	bool simple;

	if (t->flags.fold && is_among(" Ll Lt Lu ", name))
		return translation_fail(t, FOLDED "\\p{%s}", name);
	if (*others && negated && in_class)
		return translation_fail(t, FOLDED "[\\P{%s}]", name);
	/* In PCRE2 "C" has what is not assigned, in RE2 it has not. */
	if (!strcmp(name, "C"))
		others = in_class && negated ? "\\P{C}\\p{Cn}" : "\\p{Cc}\\p{Cf}\\p{Co}\\p{Cs}";
	simple = in_class || !*others;
	/* PCRE2's bare script names mean script extensions, RE2 means the script. */
	snprintf(text, sizeof(text), "\\%c{%s%s}", negated && simple ? 'P' : 'p',
		 is_among(categories, name) ? "" : "sc:", name);
	if (!simple)
		translation_put(t, negated ? "[^" : "[");
	if (strcmp(name, "C") != 0)
		translation_put(t, text);
	translation_put(t, others);
	if (!simple)
		translation_put(t, "]");
	return 0;
}

/* \pN, \p{Name}, \p{^Name}: a general category, or a script. */
int translation_property(struct translation *t, bool negated, bool in_class)
{
	const char *from = t->at, *end = t->at + 1;
	char name[32];

	if (t->at < t->end && *t->at == '{') {
		from++;
		end = memchr(from, '}', (size_t)(t->end - from));
		if (end && from < end && *from == '^') {
			negated = !negated;
			from++;
		}
	}
	if (!end || from >= t->end || from >= end || end - from > 30)
		return translation_fail(t, "invalid character class range: \\p");
	snprintf(name, sizeof(name), "%.*s", (int)(end - from), from);
	t->at = *t->at == '{' ? end + 1 : end;
	/* No name has a blank, which is between them, or a NUL. */
	if (strlen(name) != (size_t)(end - from) || strchr(name, ' ') ||
	    (!is_among(categories, name) && !is_among(scripts, name)))
		return translation_fail(t,
					is_among(unknown_scripts, name)
					    ? "not supported: \\p{%s}"
					    : "invalid character class range: \\p{%s}",
					name);
	return put_property(t, name, negated, in_class);
}

/* ---- [...] -------------------------------------------------------------------------------- */

/* [:alpha:] inside a class. Returns 1 if there was one, 0 if not, -1 for an unknown name. */
static int posix_class(struct translation *t)
{
	/* As ranges: PCRE2's own negated ones leave out what is not ASCII. `others` goes on to the
	 * last character; what has letters leaves out what folds to them. */
	static const struct posix {
		const char *name, *ranges, *others;
		bool letters;
	} all[] = {
	    {"alnum", "0-9A-Za-z", "\\x{0}-\\x{2F}\\x{3A}-\\x{40}\\x{5B}-\\x{60}\\x{7B}-", true},
	    {"alpha", "A-Za-z", "\\x{0}-\\x{40}\\x{5B}-\\x{60}\\x{7B}-", true},
	    {"ascii", "\\x{0}-\\x{7F}", "\\x{80}-", true},
	    {"blank", "\\x{9}\\x{20}", "\\x{0}-\\x{8}\\x{A}-\\x{1F}\\x{21}-", false},
	    {"cntrl", "\\x{0}-\\x{1F}\\x{7F}", "\\x{20}-\\x{7E}\\x{80}-", false},
	    {"digit", "0-9", "\\x{0}-\\x{2F}\\x{3A}-", false},
	    {"graph", "\\x{21}-\\x{7E}", "\\x{0}-\\x{20}\\x{7F}-", true},
	    {"lower", "a-z", "\\x{0}-\\x{60}\\x{7B}-", true},
	    {"print", "\\x{20}-\\x{7E}", "\\x{0}-\\x{1F}\\x{7F}-", true},
	    {"punct", "\\x{21}-\\x{2F}\\x{3A}-\\x{40}\\x{5B}-\\x{60}\\x{7B}-\\x{7E}",
	     "\\x{0}-\\x{20}0-9A-Za-z\\x{7F}-", false},
	    {"space", "\\x{9}-\\x{D}\\x{20}", "\\x{0}-\\x{8}\\x{E}-\\x{1F}\\x{21}-", false},
	    {"upper", "A-Z", "\\x{0}-\\x{40}\\x{5B}-", true},
	    {"word", "0-9A-Z\\x{5F}a-z",
	     "\\x{0}-\\x{2F}\\x{3A}-\\x{40}\\x{5B}-\\x{5E}\\x{60}\\x{7B}-", true},
	    {"xdigit", "0-9A-Fa-f", "\\x{0}-\\x{2F}\\x{3A}-\\x{40}G-\\x{60}g-", false},
	};
	/* The other case is as good. */
	static const char no_letters[] = "\\x{0}-\\x{40}\\x{5B}-\\x{60}\\x{7B}-";
	const char *name = t->at + 2, *end;
	bool negated, folded;

	if (!translation_next_is(t, "[:"))
		return 0;
	for (end = name; end + 1 < t->end && !(end[0] == ':' && end[1] == ']');)
		end++;
	if (end + 1 >= t->end)
		return 0; /* no ":]": a literal bracket */
	negated = name < end && *name == '^';
	name += negated;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (strlen(all[i].name) != (size_t)(end - name) ||
		    memcmp(all[i].name, name, strlen(all[i].name)) != 0)
			continue;
		folded = t->flags.fold && all[i].letters;
		if (negated && folded && (!strcmp(all[i].name, "lower") || !strcmp(all[i].name, "upper")))
			translation_put(t, no_letters);
		else
			translation_put(t, negated ? all[i].others : all[i].ranges);
		if (negated)
			translation_put(t, folded ? OTHERS_FOLDED : OTHERS);
		t->at = end + 2;
		return 1;
	}
	return translation_fail(t, "invalid character class range: [:%.*s:]",
		    (int)(end - name > 20 ? 20 : end - name), name);
}

static int class_char(struct translation *t, unsigned long *code)
{
	unsigned long c;

	if (t->at == t->end)
		return translation_fail(t, "missing closing ]");
	c = translation_take_char(t);
	if (c != '\\') {
		*code = c;
		return 0;
	}
	if (t->at == t->end)
		return translation_fail(t, "trailing backslash");
	return translation_char_escape(t, translation_take_char(t), code);
}

/* \d and \p inside a class. Returns 1 if there was one, 0 if not, -1 for an error. */
static int class_escape(struct translation *t)
{
	if (t->end - t->at < 2 || t->at[0] != '\\')
		return 0;
	if (t->at[1] == 'p' || t->at[1] == 'P') {
		t->at += 2;
		return translation_property(t, t->at[-1] == 'P', true) < 0 ? -1 : 1;
	}
	if (!translation_perl_class(t, (unsigned char)t->at[1], true))
		return 0;
	t->at += 2;
	return 1;
}

static int class_range(struct translation *t)
{
	unsigned long low, high;

	if (class_char(t, &low) < 0)
		return -1;
	if (translation_put_char(t, low) < 0)
		return -1;
	if (t->end - t->at < 2 || t->at[0] != '-' || t->at[1] == ']')
		return 0;
	t->at++;
	if (class_char(t, &high) < 0)
		return -1;
	if (high < low)
		return translation_fail(t, "invalid character class range");
	translation_put(t, "-");
	return translation_put_char(t, high);
}

int translation_class(struct translation *t)
{
	bool first = true;

	t->at++;
	translation_put(t, "[");
	if (translation_next_is(t, "^")) {
		t->at++;
		translation_put(t, "^");
	}
	while (t->at < t->end && (*t->at != ']' || first)) {
		int special = posix_class(t);

		first = false;
		if (!special)
			special = class_escape(t);
		if (special < 0 || (!special && class_range(t) < 0))
			return -1;
	}
	if (t->at == t->end)
		return translation_fail(t, "missing closing ]");
	t->at++;
	translation_put(t, "]");
	t->can_repeat = true;
	return 0;
}

