/* What a program of csmith's prints, kept as text: one more file of it, for the host and for a bare CPU. */
#include <stdarg.h>
#include <stddef.h>

static char *end;

static void put_hex(unsigned long value)
{
	char digits[16];
	int n = 0;
	do
		digits[n++] = "0123456789ABCDEF"[value & 15];
	while (value >>= 4);
	while (n > 0)
		*end++ = digits[--n];
}

/* %s and numbers of both lengths are what it uses. */
int printf(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	for (; *format != 0; format++) {
		if (*format != '%') {
			*end++ = *format;
			continue;
		}
		switch (*++format) {
		case 's':
			for (const char *from = va_arg(arguments, const char *); *from != 0; from++)
				*end++ = *from;
			break;
		case 'l':
			format++;
			put_hex(va_arg(arguments, unsigned long));
			break;
		default:
			put_hex(va_arg(arguments, unsigned));
		}
	}
	va_end(arguments);
	return 0;
}

#if !__STDC_HOSTED__
int strcmp(const char *a, const char *b)
{
	while (*a == *b && *a != 0)
		a++, b++;
	return *a - *b;
}
#endif

int program(int argc, char *argv[]);

/* As in ../programs: the length of the text. "1" has the program tell its checksum after each variable. */
size_t run(unsigned number, char *text, unsigned times)
{
	char *arguments[] = { "program", "1", NULL };
	end = text;
	program(2, arguments);
	return end - text;
}
