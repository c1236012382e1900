/* A stack machine with a switch, and one with a table of functions, run the same program: primes and a Collatz search. */
#include "program.h"

enum { PUSH, ADD, SUB, MUL, MOD, LESS, JUMP, BRANCH, LOAD, STORE, PRINT, HALT };
static const short code[] = {
	/* 0: n = 2 */ PUSH, 2, STORE, 0,
	/* 4: while n < 200 */ LOAD, 0, PUSH, 200, LESS, BRANCH, 13, JUMP, 52,
	/* 13: d = 2 */ PUSH, 2, STORE, 1,
	/* 17: while d * d < n + 1 */ LOAD, 1, LOAD, 1, MUL, LOAD, 0, PUSH, 1, ADD, LESS, BRANCH, 32, JUMP, 49 - 6,
	/* 32: if n % d == 0 goto next */ LOAD, 0, LOAD, 1, MOD, BRANCH, 57, JUMP, 46,
	0, 0,
	/* 43: print n */ LOAD, 0, PRINT,
	/* 46: n++ */ LOAD, 0, PUSH, 1, ADD, JUMP, 53 + 11,
	/* 53: */ HALT, HALT, HALT, HALT,
	/* 57: d++ */ LOAD, 1, PUSH, 1, ADD, JUMP, 68,
	/* 64: */ STORE, 0, JUMP, 4,
	/* 68: */ STORE, 1, JUMP, 17,
};
static s64 stack[64], variables[4];

static void by_switch(struct out *out)
{
	s64 *sp = stack;
	for (const short *pc = code;;) {
		switch (*pc++) {
		case PUSH: *sp++ = *pc++; break;
		case ADD: sp--; sp[-1] += *sp; break;
		case SUB: sp--; sp[-1] -= *sp; break;
		case MUL: sp--; sp[-1] *= *sp; break;
		case MOD: sp--; sp[-1] %= *sp; break;
		case LESS: sp--; sp[-1] = sp[-1] < *sp; break;
		case JUMP: pc = code + *pc; break;
		case BRANCH: if (*--sp) pc = code + *pc; else pc++; break;
		case LOAD: *sp++ = variables[*pc++]; break;
		case STORE: variables[*pc++] = *--sp; break;
		case PRINT: put_number(out, *--sp); put(out, ' '); break;
		default: return;
		}
	}
}

typedef s64 (*step)(s64);
static s64 halve(s64 n) { return n / 2; }
static s64 triple(s64 n) { return 3 * n + 1; }
static step volatile steps[2] = { halve, triple };

void interpreter(struct out *out)
{
	s64 longest = 0, start = 0;
	by_switch(out);
	for (s64 n = 1; n < 400; n++) {
		s64 length = 0;
		for (s64 x = n; x != 1; length++) x = steps[x & 1](x);
		if (length > longest) { longest = length; start = n; }
	}
	put_number(out, start); put(out, ' '); put_number(out, longest);
}
