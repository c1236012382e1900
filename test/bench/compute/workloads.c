/*
 * Workloads of the benchmark: the same source for the host and for a bare machine, of 64 bits or of 32. Each gives a checksum of
 * what it did, the same on both.
 */

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;
/* As wide as an address. */
typedef unsigned long word;

#define BYTES (1 << 20)
static u8 buffer[BYTES + 64];
static u8 other[BYTES + 64];

static u64 random_state;
static u64 next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static u64 sieve(void)
{
	u32 i, j, count = 0;
	for (i = 0; i <= 1000000; i++)
		buffer[i] = 1;
	for (i = 2; i * i <= 1000000; i++)
		if (buffer[i])
			for (j = i * i; j <= 1000000; j += i)
				buffer[j] = 0;
	for (i = 2; i <= 1000000; i++)
		count += buffer[i];
	return count;
}

static u64 crc32(void)
{
	u32 crc = ~0u, i, bit;
	for (i = 0; i < 65536; i++) {
		crc ^= buffer[i];
		for (bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ (0xedb88320u & -(crc & 1));
	}
	return ~crc;
}

static const u32 K[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01,
	0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc,
	0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
	0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08,
	0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
	0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};
#define ROR(x, n) ((x) >> (n) | (x) << (32 - (n)))

static u64 sha256(void)
{
	u32 h[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };
	u32 w[64], v[8], i, at;
	for (at = 0; at < 65536; at += 64) {
		for (i = 0; i < 16; i++)
			w[i] = (u32)buffer[at + 4 * i] << 24 | buffer[at + 4 * i + 1] << 16 | buffer[at + 4 * i + 2] << 8 | buffer[at + 4 * i + 3];
		for (; i < 64; i++)
			w[i] = w[i - 16] + (ROR(w[i - 15], 7) ^ ROR(w[i - 15], 18) ^ w[i - 15] >> 3) + w[i - 7] +
			       (ROR(w[i - 2], 17) ^ ROR(w[i - 2], 19) ^ w[i - 2] >> 10);
		for (i = 0; i < 8; i++)
			v[i] = h[i];
		for (i = 0; i < 64; i++) {
			u32 a = v[7] + (ROR(v[4], 6) ^ ROR(v[4], 11) ^ ROR(v[4], 25)) + ((v[4] & v[5]) ^ (~v[4] & v[6])) + K[i] + w[i];
			u32 b = (ROR(v[0], 2) ^ ROR(v[0], 13) ^ ROR(v[0], 22)) + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
			v[7] = v[6], v[6] = v[5], v[5] = v[4], v[4] = v[3] + a;
			v[3] = v[2], v[2] = v[1], v[1] = v[0], v[0] = a + b;
		}
		for (i = 0; i < 8; i++)
			h[i] += v[i];
	}
	return (u64)h[0] << 32 | h[7];
}

#define NUMBERS 20000
static u32 numbers[NUMBERS];

static void quicksort(u32 *a, long low, long high)
{
	while (low < high) {
		u32 pivot = a[(low + high) / 2], swap;
		long i = low, j = high;
		while (i <= j) {
			while (a[i] < pivot)
				i++;
			while (a[j] > pivot)
				j--;
			if (i <= j)
				swap = a[i], a[i] = a[j], a[j] = swap, i++, j--;
		}
		quicksort(a, low, j);
		low = i;
	}
}

static u64 sort(void)
{
	u64 sum = 0;
	long i;
	random_state = 88172645463325252u;
	for (i = 0; i < NUMBERS; i++)
		numbers[i] = next_random();
	quicksort(numbers, 0, NUMBERS - 1);
	for (i = 0; i < NUMBERS; i++)
		sum = sum * 31 + numbers[i];
	return sum;
}

#ifdef __SIZEOF_INT128__
#define LIMBS 64
static u64 left_number[LIMBS], right_number[LIMBS], product[2 * LIMBS];

static u64 multiply(void)
{
	long i, j;
	u64 sum = 0;
	for (i = 0; i < LIMBS; i++)
		left_number[i] = next_random(), right_number[i] = next_random();
	for (i = 0; i < 2 * LIMBS; i++)
		product[i] = 0;
	for (i = 0; i < LIMBS; i++) {
		u64 carry = 0;
		for (j = 0; j < LIMBS; j++) {
			unsigned __int128 t = (unsigned __int128)left_number[i] * right_number[j] + product[i + j] + carry;
			product[i + j] = t;
			carry = t >> 64;
		}
		product[i + LIMBS] = carry;
	}
	for (i = 0; i < 2 * LIMBS; i++)
		sum = sum * 31 + product[i];
	return sum;
}
#endif

#define NODES 4096
static struct node {
	struct node *next;
	u64 value;
} nodes[NODES];

static u64 walk(void)
{
	u64 sum = 0;
	struct node *node;
	long i;
	for (i = 0; i < NODES; i++)
		nodes[i].next = &nodes[(i * 1237 + 1) % NODES], nodes[i].value = i;
	for (node = nodes, i = 0; i < 65536; i++, node = node->next)
		sum += node->value ^ i;
	return sum;
}

/* A stack machine: counts down in a loop. */
enum { PUSH, ADD, SUB, DUP, MUL, SWAP, DROP, XOR, JUMP_IF, HALT };
static const int script[] = {
	PUSH, 0, PUSH, 20000, SWAP, PUSH, 3, MUL, PUSH, 7, ADD, SWAP, DUP, PUSH, 1, SUB, SWAP, DROP, DUP, DUP, XOR, DROP, DUP, JUMP_IF, 4, HALT,
};

static u64 interpret(void)
{
	u64 stack[16];
	long top = -1, at = 0;
	u64 swap;
	for (;;) {
		switch (script[at++]) {
		case PUSH: stack[++top] = script[at++]; break;
		case ADD: top--, stack[top] += stack[top + 1]; break;
		case SUB: top--, stack[top] -= stack[top + 1]; break;
		case DUP: top++, stack[top] = stack[top - 1]; break;
		case MUL: top--, stack[top] *= stack[top + 1]; break;
		case SWAP: swap = stack[top], stack[top] = stack[top - 1], stack[top - 1] = swap; break;
		case DROP: top--; break;
		case XOR: top--, stack[top] ^= stack[top + 1]; break;
		case JUMP_IF: if (stack[top--]) at = script[at]; else at++; break;
		case HALT: return stack[0];
		}
	}
}

__attribute__((noinline)) static void copy(u8 *to, const u8 *from, word count)
{
	word i;
	for (i = 0; i + 8 <= count; i += 8)
		*(u64 *)(to + i) = *(const u64 *)(from + i);
	for (; i < count; i++)
		to[i] = from[i];
}

__attribute__((noinline)) static word length(const u8 *text)
{
	const u8 *end = text;
	while (*end)
		end++;
	return end - text;
}

static u64 strings(void)
{
	u64 sum = 0;
	word i;
	for (i = 0; i < 65536; i++)
		buffer[i] = 'a' + i % 23;
	buffer[65535] = 0;
	for (i = 0; i < 8; i++) {
		copy(other + i, buffer, 65536);
		sum += length(other + i);
	}
	return sum;
}

/* A copy as GCC's -Os expands it in place. */
#ifdef __x86_64__
#define REP_MOVS "rep movsq"
#else
#define REP_MOVS "rep movsl"
#endif
static u64 repeat(void)
{
	u64 sum = 0;
	word i;
	buffer[70] = 7;
	for (i = 0; i < 8; i++) {
		word count = 65536 / sizeof(word);
		u8 *to = other + i;
		const u8 *from = buffer;
		__asm__ volatile(REP_MOVS : "+D"(to), "+S"(from), "+c"(count) : : "memory");
		sum += other[i + 70];
	}
	return sum;
}

u64 workload(long which, long rounds)
{
	u64 sum = 0;
	random_state = 88172645463325252u;
	for (; rounds > 0; rounds--)
		switch (which) {
		case 0: sum += sieve(); break;
		case 1: sum += crc32(); break;
		case 2: sum += sha256(); break;
		case 3: sum += sort(); break;
#ifdef __SIZEOF_INT128__
		case 4: sum += multiply(); break;
#endif
		case 5: sum += walk(); break;
		case 6: sum += interpret(); break;
		case 7: sum += strings(); break;
		default: sum += repeat(); break;
		}
	return sum;
}
