/* Bit tricks: counts, reversal, Morton codes, Gray codes, queens, a sieve, popcounts of many widths, saturating sums. */
#include "program.h"

static u64 reverse(u64 x)
{
	x = (x >> 1 & 0x5555555555555555) | (x & 0x5555555555555555) << 1;
	x = (x >> 2 & 0x3333333333333333) | (x & 0x3333333333333333) << 2;
	x = (x >> 4 & 0x0f0f0f0f0f0f0f0f) | (x & 0x0f0f0f0f0f0f0f0f) << 4;
	return __builtin_bswap64(x);
}
static u64 spread(u32 v)
{
	u64 x = v;
	x = (x | x << 16) & 0x0000ffff0000ffff; x = (x | x << 8) & 0x00ff00ff00ff00ff;
	x = (x | x << 4) & 0x0f0f0f0f0f0f0f0f; x = (x | x << 2) & 0x3333333333333333;
	return (x | x << 1) & 0x5555555555555555;
}
static int queens(u32 all, u32 columns, u32 left, u32 right)
{
	int found = 0;
	if (columns == all) return 1;
	for (u32 free = all & ~(columns | left | right); free; free &= free - 1) {
		u32 bit = free & -free;
		found += queens(all, columns | bit, (left | bit) << 1, (right | bit) >> 1);
	}
	return found;
}
static u64 sieve[64];
void bits(struct out *out)
{
	u64 seed = 99, sum = 0;
	int count = 0;
	for (int i = 0; i < 500; i++) {
		u64 x = next_random(&seed);
		int n = i % 63 + 1;
		sum += reverse(x) ^ spread((u32)x) ^ (x << n | x >> (64 - n)) ^ (x ^ x >> 1);
		sum += __builtin_popcountll(x) + __builtin_ctzll(x | 1ull << n) + __builtin_clzll(x >> n | 1) + __builtin_parityll(x);
		sum += (u16)__builtin_bswap16((u16)x) + __builtin_bswap32((u32)x) + __builtin_ffsll(x << n) + (x & -x) + (x & ~(x >> n));
		u32 a = x, b = x >> 32, saturated;
		if (__builtin_add_overflow(a, b, &saturated)) saturated = ~0u;
		int product;
		sum += saturated + (__builtin_mul_overflow((int)a, (int)b, &product) ? 1 : (u32)product);
		sum = sum << 7 | sum >> 57;
	}
	put_hex(out, sum, 16); put(out, ' '); put_number(out, queens(255, 0, 0, 0));
	for (int i = 2; i < 4096; i++) {
		if (sieve[i / 64] >> (i % 64) & 1) continue;
		count++;
		for (int j = i * i; j < 4096; j += i) sieve[j / 64] |= 1ull << (j % 64);
	}
	put(out, ' '); put_number(out, count);
	for (int i = 0; i < 64; i++) sieve[i] = 0;
}
