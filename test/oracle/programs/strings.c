/* String routines: search, compare, reverse, tokens, edit distance, number conversion, UTF-8. */
#include "program.h"

static size_t length(const char *s) { const char *p = s; while (*p) p++; return p - s; }
static int compare(const char *a, const char *b) { while (*a && *a == *b) a++, b++; return (u8)*a - (u8)*b; }
static const char *find(const char *text, const char *what)
{
	size_t n = length(text), m = length(what), skip[256];
	for (int i = 0; i < 256; i++) skip[i] = m;
	for (size_t i = 0; i + 1 < m; i++) skip[(u8)what[i]] = m - 1 - i;
	for (size_t i = 0; i + m <= n; i += skip[(u8)text[i + m - 1]]) {
		size_t j = m;
		while (j && text[i + j - 1] == what[j - 1]) j--;
		if (!j) return text + i;
	}
	return 0;
}
static int distance(const char *a, const char *b)
{
	int row[64];
	int n = length(b);
	for (int j = 0; j <= n; j++) row[j] = j;
	for (int i = 1; a[i - 1]; i++) {
		int diagonal = row[0];
		row[0] = i;
		for (int j = 1; j <= n; j++) {
			int best = diagonal + (a[i - 1] != b[j - 1]);
			if (row[j] + 1 < best) best = row[j] + 1;
			if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
			diagonal = row[j]; row[j] = best;
		}
	}
	return row[n];
}
static u64 parse(const char *s, int base)
{
	u64 value = 0;
	for (; *s; s++) {
		int digit = *s >= 'a' ? *s - 'a' + 10 : *s >= 'A' ? *s - 'A' + 10 : *s - '0';
		if (digit < 0 || digit >= base) break;
		value = value * base + digit;
	}
	return value;
}
static int points(const u8 *s, u32 *sum)
{
	int n = 0;
	while (*s) {
		int more = *s < 0x80 ? 0 : *s < 0xe0 ? 1 : *s < 0xf0 ? 2 : 3;
		u32 point = more ? *s & (0x3f >> more) : *s;
		for (s++; more--; s++) point = point << 6 | (*s & 63);
		*sum = *sum * 131 + point; n++;
	}
	return n;
}
void strings(struct out *out)
{
	static const char text[] = "the page walk of the faulting address and the EPT walk of each of its table entries";
	static const char *words[] = { "walk", "the EPT", "entries", "absent", "t", "page walk of" };
	char copy[100];
	u32 sum = 0;
	for (int i = 0; i < 6; i++) { const char *p = find(text, words[i]); put_number(out, p ? p - text : -1); put(out, ' '); }
	for (int i = 0; i < 6; i++) for (int j = 0; j < 6; j++) put(out, compare(words[i], words[j]) < 0 ? '<' : compare(words[i], words[j]) ? '>' : '=');
	size_t n = length(text);
	for (size_t i = 0; i <= n; i++) copy[i] = i == n ? 0 : text[n - 1 - i];
	put_text(out, copy);
	put_number(out, distance("interpretation", "translation")); put(out, ' ');
	put_number(out, distance("kitten", "sitting")); put(out, ' ');
	put_hex(out, parse("deadBEEFcafe", 16), 16); put_number(out, parse("18446744073709551615", 10)); put_number(out, parse("zz", 36));
	put_number(out, points((const u8 *)"a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80z", &sum)); put_hex(out, sum, 8);
}
