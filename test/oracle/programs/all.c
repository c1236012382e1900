/* All programs by number: run(number, text, times) returns the length of what the last time wrote. */
#include "program.h"

static void (*const programs[])(struct out *) = { sorting, sha256, checksums, lz, bignum, json, interpreter, strings, division, bits };

size_t run(unsigned number, char *text, unsigned times)
{
	struct out out = { text, 0 };
	while (times--) {
		out.length = 0;
		programs[number](&out);
	}
	return out.length;
}
