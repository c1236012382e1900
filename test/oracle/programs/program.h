/* What the sample programs share: they write text into a buffer, and nothing else. */
#pragma once
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int64_t s64;

struct out {
	char *text;
	size_t length;
};

static inline void put(struct out *out, char c) { out->text[out->length++] = c; }
static inline void put_text(struct out *out, const char *text) { while (*text) put(out, *text++); }
static inline void put_hex(struct out *out, u64 value, int digits)
{
	for (int i = digits - 1; i >= 0; i--)
		put(out, "0123456789abcdef"[(value >> (4 * i)) & 15]);
}
static inline void put_number(struct out *out, s64 value)
{
	char digits[24];
	int n = 0;
	u64 rest = value < 0 ? -(u64)value : (u64)value;
	if (value < 0) put(out, '-');
	do digits[n++] = '0' + rest % 10; while (rest /= 10);
	while (n) put(out, digits[--n]);
}
static inline u64 next_random(u64 *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

void sorting(struct out *), sha256(struct out *), checksums(struct out *), lz(struct out *), bignum(struct out *);
void json(struct out *), interpreter(struct out *), strings(struct out *), division(struct out *), bits(struct out *);
