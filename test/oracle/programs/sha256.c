/* SHA-256 (FIPS 180-4) of messages of several lengths. */
#include "program.h"

static u32 k[64];
static u32 rotate(u32 x, int n) { return x >> n | x << (32 - n); }

/* The round constants: the first 32 bits of the fractions of the cube roots of the first 64 primes. */
static void constants(void)
{
	int count = 0;
	for (u32 p = 2; count < 64; p++) {
		int prime = 1;
		for (u32 d = 2; d * d <= p; d++) if (p % d == 0) prime = 0;
		if (!prime) continue;
		/* cube root of p in 8.32 fixed point, by bisection on 128-bit products */
		u64 low = 0, high = 8ull << 32;
		while (high - low > 1) {
			u64 mid = (low + high) / 2;
			unsigned __int128 square = (unsigned __int128)mid * mid >> 32;
			unsigned __int128 cube = square * mid;
			if (cube >> 64 < p) low = mid; else high = mid;
		}
		k[count++] = (u32)low;
	}
}

static void block(u32 *h, const u8 *data)
{
	u32 w[64], s[8];
	for (int i = 0; i < 16; i++) w[i] = (u32)data[4 * i] << 24 | data[4 * i + 1] << 16 | data[4 * i + 2] << 8 | data[4 * i + 3];
	for (int i = 16; i < 64; i++) {
		u32 x = w[i - 15], y = w[i - 2];
		w[i] = w[i - 16] + w[i - 7] + (rotate(x, 7) ^ rotate(x, 18) ^ x >> 3) + (rotate(y, 17) ^ rotate(y, 19) ^ y >> 10);
	}
	for (int i = 0; i < 8; i++) s[i] = h[i];
	for (int i = 0; i < 64; i++) {
		u32 t1 = s[7] + (rotate(s[4], 6) ^ rotate(s[4], 11) ^ rotate(s[4], 25)) + ((s[4] & s[5]) ^ (~s[4] & s[6])) + k[i] + w[i];
		u32 t2 = (rotate(s[0], 2) ^ rotate(s[0], 13) ^ rotate(s[0], 22)) + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
		for (int j = 7; j > 0; j--) s[j] = s[j - 1];
		s[4] += t1; s[0] = t1 + t2;
	}
	for (int i = 0; i < 8; i++) h[i] += s[i];
}

static u8 message[1024];
void sha256(struct out *out)
{
	static const int lengths[] = { 0, 3, 55, 56, 64, 500, 900 };
	constants();
	for (unsigned n = 0; n < sizeof lengths / sizeof *lengths; n++) {
		u32 h[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };
		int length = lengths[n], end = (length + 8) / 64 * 64 + 64;
		for (int i = 0; i < end; i++) message[i] = i < length ? 'a' + i % 26 : 0;
		message[length] = 0x80;
		for (int i = 0; i < 8; i++) message[end - 1 - i] = (u64)length * 8 >> (8 * i);
		for (int i = 0; i < end; i += 64) block(h, message + i);
		for (int i = 0; i < 8; i++) put_hex(out, h[i], 8);
		put(out, '\n');
	}
}
