/* Numbers of many limbs: factorial, powers, Fibonacci, division by a limb, decimal output. */
#include "program.h"

#define LIMBS 64
typedef struct { u64 limb[LIMBS]; } big;

static void times(big *x, u64 by)
{
	u64 carry = 0;
	for (int i = 0; i < LIMBS; i++) {
		unsigned __int128 t = (unsigned __int128)x->limb[i] * by + carry;
		x->limb[i] = (u64)t; carry = t >> 64;
	}
}
static void add(big *x, const big *y)
{
	unsigned __int128 t = 0;
	for (int i = 0; i < LIMBS; i++) { t += x->limb[i]; t += y->limb[i]; x->limb[i] = (u64)t; t >>= 64; }
}
static void multiply(big *to, const big *x, const big *y)
{
	for (int i = 0; i < LIMBS; i++) to->limb[i] = 0;
	for (int i = 0; i < LIMBS; i++) {
		u64 carry = 0;
		for (int j = 0; i + j < LIMBS; j++) {
			unsigned __int128 t = (unsigned __int128)x->limb[i] * y->limb[j] + to->limb[i + j] + carry;
			to->limb[i + j] = (u64)t; carry = t >> 64;
		}
	}
}
static u64 divide(big *x, u64 by)
{
	unsigned __int128 rest = 0;
	for (int i = LIMBS - 1; i >= 0; i--) {
		rest = rest << 64 | x->limb[i];
		x->limb[i] = (u64)(rest / by); rest %= by;
	}
	return (u64)rest;
}
static void print(struct out *out, big x)
{
	static char digits[LIMBS * 20];
	int n = 0;
	for (;;) {
		int zero = 1;
		for (int i = 0; i < LIMBS; i++) if (x.limb[i]) zero = 0;
		if (zero) break;
		digits[n++] = '0' + divide(&x, 10);
	}
	while (n) put(out, digits[--n]);
	put(out, '\n');
}
void bignum(struct out *out)
{
	big x = { { 1 } }, a = { { 0 } }, b = { { 1 } }, t;
	for (int i = 2; i <= 60; i++) times(&x, i);
	print(out, x);
	for (int i = 0; i < 300; i++) { t = a; add(&t, &b); a = b; b = t; }
	print(out, a);
	multiply(&t, &x, &a);
	print(out, t);
	put_number(out, divide(&t, 1000000007));
}
