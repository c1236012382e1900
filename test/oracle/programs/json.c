/* A JSON parser and printer over a pool of nodes. */
#include "program.h"

struct node { char kind; s64 number; const char *text; int length; struct node *child, *next; };
static struct node pool[400];
static int used;
static const char *at;

static void blanks(void) { while (*at == ' ' || *at == '\n' || *at == '\t') at++; }
static struct node *value(void);
static struct node *string(void)
{
	struct node *n = &pool[used++];
	n->kind = '"'; n->text = ++at; n->length = 0;
	while (*at != '"') { if (*at == '\\') { at++; n->length++; } at++; n->length++; }
	at++;
	return n;
}
static struct node *list(char kind, char close)
{
	struct node *n = &pool[used++], **tail = &n->child;
	n->kind = kind; n->child = 0; at++;
	for (blanks(); *at != close; blanks()) {
		if (kind == '{') {
			*tail = string(); tail = &(*tail)->next;
			blanks(); at++;
		}
		*tail = value(); tail = &(*tail)->next;
		blanks();
		if (*at == ',') at++;
	}
	at++;
	*tail = 0;
	return n;
}
static struct node *value(void)
{
	blanks();
	switch (*at) {
	case '{': return list('{', '}');
	case '[': return list('[', ']');
	case '"': return string();
	case 't': at += 4; goto word;
	case 'f': at += 5; goto word;
	case 'n': at += 4;
	word: { struct node *n = &pool[used++]; n->kind = 'w'; n->number = at[-1] == 'l' ? 0 : at[-3] == 'r' ? 1 : 2; return n; }
	}
	struct node *n = &pool[used++];
	int negative = *at == '-';
	if (negative) at++;
	n->kind = '0'; n->number = 0;
	while (*at >= '0' && *at <= '9') n->number = n->number * 10 + (*at++ - '0');
	if (negative) n->number = -n->number;
	return n;
}
static void print(struct out *out, const struct node *n, int depth)
{
	switch (n->kind) {
	case '"': put(out, '"'); for (int i = 0; i < n->length; i++) put(out, n->text[i]); put(out, '"'); return;
	case '0': put_number(out, n->number); return;
	case 'w': put_text(out, n->number == 0 ? "null" : n->number == 1 ? "true" : "false"); return;
	}
	put(out, n->kind);
	int index = 0;
	for (const struct node *c = n->child; c; c = c->next, index++) {
		if (n->kind == '[' || index % 2 == 0) {
			if (index) put(out, ',');
			put(out, '\n');
			for (int i = 0; i <= depth; i++) put(out, ' ');
		} else put(out, ':');
		print(out, c, depth + 1);
	}
	put(out, n->kind == '{' ? '}' : ']');
}
void json(struct out *out)
{
	used = 0;
	at = "{\"name\": \"vmbuf\", \"bars\": [{\"size\": 4096, \"io\": false}, {\"size\": 8, \"io\": true}, null],\n"
	     " \"quote\\\"d\": [-1, 0, 9007199254740993, [], [[[1]]], {\"deep\": {\"er\": {\"est\": [1, 2, 3]}}}], \"empty\": {} }";
	print(out, value(), 0);
}
