/* LZ77 with a hash chain: compress, decompress, compare. */
#include "program.h"

#define SIZE 6000
static u8 plain[SIZE], packed[2 * SIZE], back[SIZE];
static int head[4096], previous[SIZE];

static int compress(const u8 *in, int n, u8 *to)
{
	u8 *start = to;
	for (int i = 0; i < 4096; i++) head[i] = -1;
	for (int at = 0; at < n;) {
		int best = 0, from = 0;
		if (at + 3 < n) {
			u32 hash = ((in[at] | in[at + 1] << 8 | in[at + 2] << 16) * 2654435761u) >> 20;
			for (int j = head[hash], tries = 16; j >= 0 && tries--; j = previous[j]) {
				int length = 0;
				while (at + length < n && length < 255 && in[j + length] == in[at + length]) length++;
				if (length > best) { best = length; from = j; }
			}
			previous[at] = head[hash]; head[hash] = at;
		}
		if (best >= 4) {
			*to++ = 1; *to++ = best; *to++ = (at - from) & 255; *to++ = (at - from) >> 8;
			at += best;
		} else { *to++ = 0; *to++ = in[at++]; }
	}
	return to - start;
}
static int decompress(const u8 *in, int n, u8 *to)
{
	u8 *start = to;
	for (const u8 *end = in + n; in < end;) {
		if (*in++) {
			int length = *in++, distance = in[0] | in[1] << 8;
			in += 2;
			while (length--) { *to = to[-distance]; to++; }
		} else *to++ = *in++;
	}
	return to - start;
}
void lz(struct out *out)
{
	static const char *words[] = { "virtual ", "machine ", "page ", "table ", "exit ", "entry ", "the ", "a " };
	u64 seed = 7;
	int n = 0;
	while (n < SIZE - 16) for (const char *w = words[next_random(&seed) >> 40 & 7]; *w; w++) plain[n++] = *w;
	int small = compress(plain, n, packed), again = decompress(packed, small, back);
	u32 sum = 0;
	for (int i = 0; i < small; i++) sum = sum * 33 + packed[i];
	put_number(out, n); put(out, ' '); put_number(out, small); put(out, ' '); put_number(out, again); put(out, ' '); put_hex(out, sum, 8);
	for (int i = 0; i < n; i++) if (plain[i] != back[i]) put_text(out, " differs");
}
