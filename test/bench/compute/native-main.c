/* which, rounds: prints the checksum. */
#include <stdio.h>
#include <stdlib.h>

unsigned long long workload(long which, long rounds);

int main(int argc, char **argv)
{
	printf("%016llx\n", workload(atol(argv[argc - 2]), atol(argv[argc - 1])));
	return 0;
}
