/* 64- and 128-bit division, signed and unsigned, gcd, modular powers, Miller-Rabin, square roots, calendar. */
#include "program.h"

static u64 gcd(u64 a, u64 b) { while (b) { u64 t = a % b; a = b; b = t; } return a; }
static u64 power(u64 base, u64 exponent, u64 modulus)
{
	u64 result = 1;
	for (base %= modulus; exponent; exponent >>= 1) {
		if (exponent & 1) result = (unsigned __int128)result * base % modulus;
		base = (unsigned __int128)base * base % modulus;
	}
	return result;
}
static int is_prime(u64 n)
{
	static const u64 witnesses[] = { 2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37 };
	int twos = __builtin_ctzll(n - 1);
	for (int i = 0; i < 12; i++) {
		if (n % witnesses[i] == 0) return n == witnesses[i];
		u64 x = power(witnesses[i], (n - 1) >> twos, n);
		int ok = x == 1 || x == n - 1;
		for (int r = 1; r < twos && !ok; r++) { x = (unsigned __int128)x * x % n; ok = x == n - 1; }
		if (!ok) return 0;
	}
	return 1;
}
static u64 root(u64 n)
{
	u64 x = n, y = x / 2 + 1;
	while (y < x) { x = y; y = (x + n / x) / 2; }
	return x;
}
void division(struct out *out)
{
	u64 seed = 12345, sum = 0;
	for (int i = 0; i < 300; i++) {
		u64 a = next_random(&seed), b = next_random(&seed) >> (i % 60) | 1;
		s64 c = (s64)a, d = (s64)b;
		sum = sum * 3 + a / b + a % b + (u64)(c / d) + (u64)(c % d) + (u32)a / (u32)b + (u64)((int)a / ((int)b | 1));
		sum += a / 10 + a / 7 + (u64)(c / 10) + (u64)(c % 1000) + (u64)((short)a / ((short)b | 1)) + (u8)a / (u8)(b | 1);
		__int128 wide = ((__int128)c << 32) + d;
		sum ^= (u64)(wide / d) ^ (u64)(wide % (d | 0x100000000));
		sum += gcd(a, b) + root(a);
	}
	put_hex(out, sum, 16);
	for (u64 n = 18446744073709551557u - 200; n < 18446744073709551557u + 2; n += 2) if (is_prime(n)) { put(out, ' '); put_hex(out, n, 16); }
	for (int day = -100000; day < 200000; day += 44444) {
		int z = day + 719468, era = (z >= 0 ? z : z - 146096) / 146097, doe = z - era * 146097;
		int yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365, doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
		put(out, ' '); put_number(out, yoe + era * 400 + (mp >= 10)); put(out, '-'); put_number(out, mp + (mp < 10 ? 3 : -9)); put(out, '-'); put_number(out, doy - (153 * mp + 2) / 5 + 1);
	}
}
