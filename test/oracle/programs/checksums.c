/* CRC-32 by bits, by table and by slices of eight, CRC-64, Adler-32, FNV and MurmurHash's finish. */
#include "program.h"

static u8 data[5000];
static u32 table[8][256];

static u32 by_bits(const u8 *p, int n)
{
	u32 crc = ~0u;
	while (n--) { crc ^= *p++; for (int i = 0; i < 8; i++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0); }
	return ~crc;
}
static u32 by_slices(const u8 *p, int n)
{
	u32 crc = ~0u;
	for (; n >= 8; n -= 8, p += 8) {
		u32 low = crc ^ (p[0] | p[1] << 8 | p[2] << 16 | (u32)p[3] << 24);
		crc = table[7][low & 255] ^ table[6][low >> 8 & 255] ^ table[5][low >> 16 & 255] ^ table[4][low >> 24] ^
		      table[3][p[4]] ^ table[2][p[5]] ^ table[1][p[6]] ^ table[0][p[7]];
	}
	while (n--) crc = table[0][(crc ^ *p++) & 255] ^ crc >> 8;
	return ~crc;
}
static u64 crc64(const u8 *p, int n)
{
	u64 crc = 0;
	while (n--) { crc ^= (u64)*p++ << 56; for (int i = 0; i < 8; i++) crc = crc << 1 ^ (crc >> 63 ? 0x42f0e1eba9ea3693u : 0); }
	return crc;
}
static u32 adler(const u8 *p, int n)
{
	u32 a = 1, b = 0;
	while (n--) { a = (a + *p++) % 65521; b = (b + a) % 65521; }
	return b << 16 | a;
}
static u64 murmur(u64 h)
{
	h ^= h >> 33; h *= 0xff51afd7ed558ccdu; h ^= h >> 33; h *= 0xc4ceb9fe1a85ec53u;
	return h ^ h >> 33;
}

void checksums(struct out *out)
{
	u64 seed = 42, fnv = 0xcbf29ce484222325u;
	for (unsigned i = 0; i < sizeof data; i++) data[i] = next_random(&seed) >> 20;
	for (int i = 0; i < 256; i++) {
		u32 crc = i;
		for (int j = 0; j < 8; j++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
		table[0][i] = crc;
	}
	for (int s = 1; s < 8; s++) for (int i = 0; i < 256; i++) table[s][i] = table[s - 1][i] >> 8 ^ table[0][table[s - 1][i] & 255];
	for (int n = 1; n <= 5000; n = n * 7 + 1) {
		put_hex(out, by_bits(data, n), 8); put(out, by_bits(data, n) == by_slices(data, n) ? '=' : '!');
		put_hex(out, crc64(data, n), 16); put(out, ' '); put_hex(out, adler(data, n), 8); put(out, '\n');
	}
	for (unsigned i = 0; i < sizeof data; i++) fnv = (fnv ^ data[i]) * 0x100000001b3u;
	put_hex(out, fnv, 16); put_hex(out, murmur(fnv), 16);
}
