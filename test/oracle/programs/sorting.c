/* Quicksort, heapsort, merge sort and insertion sort of the same numbers, and a check that they agree. */
#include "program.h"

#define N 3000
static s64 a[N], b[N], c[N], spare[N];

static void quick(s64 *x, long low, long high)
{
	while (low < high) {
		s64 pivot = x[(low + high) / 2];
		long i = low, j = high;
		while (i <= j) {
			while (x[i] < pivot) i++;
			while (x[j] > pivot) j--;
			if (i <= j) { s64 t = x[i]; x[i++] = x[j]; x[j--] = t; }
		}
		if (j - low < high - i) { quick(x, low, j); low = i; } else { quick(x, i, high); high = j; }
	}
}

static void sift(s64 *x, long root, long end)
{
	for (long child; (child = 2 * root + 1) < end; root = child) {
		if (child + 1 < end && x[child] < x[child + 1]) child++;
		if (x[root] >= x[child]) return;
		s64 t = x[root]; x[root] = x[child]; x[child] = t;
	}
}
static void heap(s64 *x, long n)
{
	for (long i = n / 2 - 1; i >= 0; i--) sift(x, i, n);
	for (long i = n - 1; i > 0; i--) { s64 t = x[0]; x[0] = x[i]; x[i] = t; sift(x, 0, i); }
}

static void merge(s64 *x, long n)
{
	if (n < 8) {
		for (long i = 1; i < n; i++) {
			s64 v = x[i]; long j = i;
			for (; j > 0 && x[j - 1] > v; j--) x[j] = x[j - 1];
			x[j] = v;
		}
		return;
	}
	long half = n / 2, i = 0, j = half;
	merge(x, half); merge(x + half, n - half);
	for (long k = 0; k < n; k++) spare[k] = j >= n || (i < half && x[i] <= x[j]) ? x[i++] : x[j++];
	for (long k = 0; k < n; k++) x[k] = spare[k];
}

void sorting(struct out *out)
{
	u64 seed = 88172645463325252u, sum = 0;
	for (int i = 0; i < N; i++) a[i] = b[i] = c[i] = (s64)next_random(&seed) >> (i % 50);
	quick(a, 0, N - 1); heap(b, N); merge(c, N);
	for (int i = 0; i < N; i++) {
		if (a[i] != b[i] || b[i] != c[i]) { put_text(out, "differ at "); put_number(out, i); return; }
		sum = sum * 31 + (u64)a[i];
	}
	put_number(out, a[0]); put(out, ' '); put_number(out, a[N / 2]); put(out, ' '); put_hex(out, sum, 16);
}
